"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from distill.cli_audit import audit
from distill.cli_deploy import export
from distill.cli_grid import grid, status, work
from distill.cli_models import compare, predict, stream
from distill.cli_results import report, table
from distill.cli_stress import stress
from distill.config import Run
from distill.keeping import Keeping
from tsimage.cli import load_and_tell, main_for, options_given

if TYPE_CHECKING:
    from distill.plan import Plan
    from distill.progress import Progress


def run(
    config: Annotated[Run, tyro.conf.arg(name="")],
    keeping: Annotated[Keeping, tyro.conf.arg(name="")] = Keeping(),  # noqa: B008  frozen
    out: Path | None = None,
    dry_run: bool = False,
    debug: bool = False,
) -> None:
    """Train teachers, distil them into a small 1-D student, print the table.

    Teachers look at images or at the raw signal; the student sees only the raw signal.
    L = (1 - lambda) CE + lambda T^2 (alpha KL(image teacher) + (1 - alpha) KL(signal teacher)).
    A finished run is not done again; a killed one goes on from its last checkpoint, to the same end.

    Args:
        config: what is run.
        keeping: how trainings are kept.
        out: run directory; by default below runs/, named by the run.
        dry_run: print the plan with an estimate of time, and train nothing.
        debug: show the traceback of an error.
    """
    from rich.console import Console

    from distill import interrupts
    from distill.device import describe, keep_freed_memory, out_of_memory
    from distill.plan import Plan
    from distill.progress import Plain, Terminal
    from distill.runner import check_folder, execute
    from distill.selection import check_unchosen, selectors

    check_unchosen(config, selectors(config.select), options_given())
    console = Console()
    progress: Progress = Terminal(console) if console.is_terminal else Plain(sys.stdout)
    windows = load_and_tell(config.data, config.read, progress.say)
    plan = Plan(config, windows, out)
    check_folder(plan)
    _tell(plan, progress)
    progress.say(f"On {describe(plan.device)} in {plan.precision}; run directory {plan.folder}")
    if plan.device.type == "cpu":
        keep_freed_memory()
    with out_of_memory(), interrupts.handled():
        if dry_run:
            _tell_estimate(plan, progress)
            return
        try:
            result = execute(plan, progress, keeping)
        except KeyboardInterrupt:
            progress.say("Broken off: the same command goes on from the last checkpoint.")
            raise
    if result.was_finished:
        progress.say("This run is finished; nothing was trained again.")
    progress.say("")
    progress.say(str(result))
    progress.say(f"Weights, histories and predictions: {result.folder}")


def search(
    config: Annotated[Run, tyro.conf.arg(name="")],
    space: tuple[str, ...],
    trials: int = 30,
    out: Path | None = None,
    debug: bool = False,
) -> None:
    """Search lambda, temperature, alpha, learning-rate or weight-decay on validation subjects, and print the run to do.

    The test part is not looked at; the command at the end opens it once. A search that was broken off continues, one that
    is done can be gone on with by giving more trials. Needs optuna: pip install 'tsimage[search]'.

    Args:
        config: what all trials have in common.
        space: ranges, as lambda=0.1..0.9 alpha=0..1 temperature=1..8:log (evenly in the logarithm).
        trials: how many, in all.
        out: directory of the search; by default below runs/, named by the run.
        debug: show the traceback of an error.
    """
    from rich.console import Console

    from distill import interrupts
    from distill.device import keep_freed_memory, out_of_memory
    from distill.progress import Plain, Terminal
    from distill.proposals import parse_space
    from distill.search import check_search, default_folder, execute_search
    from distill.selection import check_unchosen

    spans = parse_space(space)
    check_search(config, spans, trials)
    check_unchosen(config, dict.fromkeys(spans, "the search"), options_given())
    console = Console()
    progress: Progress = Terminal(console) if console.is_terminal else Plain(sys.stdout)
    windows = load_and_tell(config.data, config.read, progress.say)
    folder = out or default_folder(config, spans)
    progress.say(f"Search directory {folder}")
    if config.device in ("auto", "cpu"):
        keep_freed_memory()
    with out_of_memory(), interrupts.handled():
        try:
            searched = execute_search(config, spans, trials, folder, windows, progress)
        except KeyboardInterrupt:
            progress.say("Broken off: the same command goes on from the last checkpoint.")
            raise
    progress.say("")
    progress.say(str(searched))


def models(channels: int = 3, classes: int = 6, samples: int = 128, image_size: int = 32, debug: bool = False) -> None:
    """List the networks with their parameters and the multiply-accumulates (MACs) of one window.

    Any other depth D = 6 n + 4 and width K of wrnD-K, dsD-K and seD-K can be named too, and each of these with the
    ending -gn, for group instead of batch normalisation.

    Args:
        channels: channels of the input.
        classes: classes to tell apart.
        samples: samples of a window, for networks on the signal (dims 1).
        image_size: side of the images in pixels, for networks on images (dims 2).
        debug: show the traceback of an error.
    """
    from rich.console import Console

    from distill.models.listing import model_table, plain_table, rich_table

    frame = model_table(channels, classes, samples, image_size)
    console = Console()
    if console.is_terminal:
        console.print(rich_table(frame))
    else:
        sys.stdout.write(plain_table(frame) + "\n")


def _tell(plan: Plan, progress: Progress) -> None:
    import numpy as np

    from distill.certificate import absent_classes

    sizes = [(len(split.train), len(split.evaluation)) for split in plan.splits]
    train, held = (f"{min(n):,}" if len(set(n)) == 1 else f"{min(n):,} to {max(n):,}" for n in zip(*sizes, strict=True))
    progress.say(f"Split: {plan.splits[0].basis}: {train} windows to train, {held} for {plan.run.evaluate}")
    shared = plan.certificates[0]["subjects_in_both"]
    if shared == "unknown":
        progress.say(
            "Subjects are unknown, so the same person may be in both parts: name the column (--subject) or store subjects"
        )
    elif shared:
        progress.say(f"{len(shared)} subjects are in both parts: {', '.join(shared[:5])}")
    absent = absent_classes(plan.windows, np.concatenate([split.evaluation for split in plan.splits]))
    if absent:
        progress.say(f"No window of the {plan.run.evaluate} part is of class {', '.join(absent)}")
    by = "" if plan.run.weighing == "fixed" else f"by {plan.run.weighing}"
    progress.say(f"Teachers: {', '.join(f'{t.name} (weight {by or round(t.weight, 4)})' for t in plan.teachers)}")
    but = ", but for what is chosen" if plan.run.select else ""
    progress.say(f"Loss of the student{but}: {plan.run.formula()}")
    if plan.run.select:
        from distill.selecting import validation_splits
        from distill.selection import candidates

        tried = candidates(plan.run)
        names = "; ".join(c.name for c in tried)
        inner = validation_splits(plan)  # refuses what is too small
        each = f" in each of {len(inner)} folds" if plan.run.folds else ""
        progress.say(f"To choose on validation subjects{each}: {len(tried)} candidates ({names})")
    if plan.run.protocol == "lab":
        part = plan.run.evaluate
        progress.say(f"Protocol lab: the epoch is chosen on the {part} part itself, so that every number is optimistic")
    if plan.smoothed:
        progress.say(
            f"Trained with label smoothing, which makes a teacher distil worse (arXiv:1906.02629): {', '.join(plan.smoothed)}"
        )
    first = plan.windows.select(plan.splits[0].train)
    for view in dict.fromkeys(t.view for t in plan.teachers):
        imager = plan.run.imager(view)
        for note in [] if imager is None else imager.notes(first):
            progress.say(note)


def _tell_estimate(plan: Plan, progress: Progress) -> None:
    from distill.durations import in_words
    from distill.estimate import estimate

    times = estimate(plan)
    for number, (training, seconds) in enumerate(times, start=1):
        ahead = f"{plan.run.epochs} epochs, about {in_words(seconds)}" if seconds == seconds else "time not estimated"
        progress.say(f"[{number}/{len(times)}] {training.title}  {'done already' if training.is_done else ahead}")
    total = in_words(sum(seconds for _, seconds in times if seconds == seconds))
    before = ", without the candidates that come before" if plan.run.select else ""
    progress.say(f"In all about {total}{before}, from timing a few steps of each; nothing was trained.")


def main(args: Sequence[str] | None = None) -> None:
    """Run the `distill` command."""
    main_for(
        "distill",
        "Knowledge distillation for wearable sensors.",
        {
            "run": run,
            "grid": grid,
            "work": work,
            "status": status,
            "search": search,
            "table": table,
            "report": report,
            "audit": audit,
            "stress": stress,
            "export": export,
            "models": models,
            "predict": predict,
            "stream": stream,
            "compare": compare,
        },
        args,
    )
