"""The command `audit`: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from tsimage.errors import UserError
from tsimage.readers import ReadOptions


def audit(
    data: Annotated[str, tyro.conf.Positional],
    read: Annotated[ReadOptions, tyro.conf.arg(name="")] = ReadOptions(),  # noqa: B008  frozen
    folds: str = "",
    train: bool = False,
    epochs: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Tell whether numbers of a data set can be trusted: what its parts share, what a leak would add, which labels are doubtful.

    Args:
        data: data set, file or folder as for distill run; or a run directory, whose data, options and split are taken.
        read: what is read.
        folds: audit these folds (loso, or a number) in place of one split.
        train: train the real student too, from scratch, under the split in use and under a leaky one.
        epochs: of the student; 20 unless given.
        seed: of all that is drawn.
        out: folder for audit.json and contradicted.csv.
        json: write everything as JSON.
        debug: show the traceback of an error.
    """
    import json as writer

    from rich.console import Console

    from distill import interrupts
    from distill.audit import audit as audit_of
    from distill.audit import is_run, read_earlier
    from distill.audit.files import check_folder, write
    from distill.config import Run
    from distill.device import out_of_memory
    from distill.progress import Plain, Progress, Terminal
    from tsimage.cli import load_and_tell

    if out is not None:
        check_folder(out)
    if epochs is not None and not train:
        raise UserError("epochs are of the student: give train too, or leave them out")
    earlier, part = None, Run().evaluate
    if is_run(data):
        earlier = read_earlier(data)
        if read.given() or folds:
            raise UserError(
                f"'{data}' is a run and brings its own options: give none, or audit its data '{earlier.run.data}'"
            )
        data, read, folds, part = earlier.run.data, earlier.run.read, earlier.run.folds, earlier.run.evaluate
    student = Run(
        epochs=20 if epochs is None else epochs,
        seeds=(seed,),
        student=earlier.run.student if earlier else Run().student,
    )
    console = Console()
    progress = Progress() if json else Terminal(console) if console.is_terminal else Plain(sys.stdout)
    try:
        windows = load_and_tell(data, read, progress.say)
    except UserError as error:
        if earlier is None:
            raise
        raise UserError(f"the data of the run '{earlier.folder}' cannot be read here: {error}") from error
    with out_of_memory(), interrupts.handled():
        found = audit_of(
            windows,
            folds=folds,
            part=part,
            seed=seed,
            student=student if train else None,
            earlier=earlier,
            progress=progress,
        )
    written = [] if out is None else write(found, out)
    if json:
        sys.stdout.write(writer.dumps(found.to_json(), indent=1, allow_nan=False) + "\n")
        return
    sys.stdout.write(f"\n{found}\n")
    for path in written:
        sys.stdout.write(f"{path}\n")
