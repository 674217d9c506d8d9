"""The command `export`: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro


def export(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    role: str = "student",
    seed: int | None = None,
    fold: str = "",
    out: Path | None = None,
    debug: bool = False,
) -> None:
    """Write the distilled student of a finished run as ONNX files in float32 and int8, with a card.

    Raw windows go in, in the units of the data, and probabilities come out. The float32 file is only left if it says the same
    as torch in every window of the test part. Needs onnx and onnxruntime: pip install 'tsimage[export]'.

    Args:
        run: run directory; of a grid, one below runs/ of its folder.
        role: student, scratch, control, or teacher:signal.
        seed: the first of the run by default.
        fold: of a run with folds, the name of one.
        out: the float32 file, ending in .onnx; int8, card and numbers stand beside it. By default below export/ of the run.
        debug: show the traceback of an error.
    """
    from distill.deploy.exporting import export_run
    from distill.device import out_of_memory

    with out_of_memory():
        made = export_run(run, role=role, seed=seed, fold=fold, out=out)
    sys.stdout.write(f"{made}\n")
