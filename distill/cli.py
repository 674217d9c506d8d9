"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from distill.config import Run
from tsimage.cli import main_for


def main(args: Sequence[str] | None = None) -> None:
    """Run the `distill` command."""

    def run(
        config: Annotated[Run, tyro.conf.arg(name="")],
        out: Path | None = None,
        dry_run: bool = False,
        debug: bool = False,
    ) -> None:
        """Train teachers, distil them into a small 1-D student, print the table.

        Teachers look at images or at the raw signal; the student sees only the raw signal.
        L = (1 - lambda) CE + lambda T^2 (alpha KL(image teacher) + (1 - alpha) KL(signal teacher)).
        A finished run is not done again; a killed one continues.

        Args:
            config: what to run.
            out: run directory; by default below runs/, named by the run.
            dry_run: print the plan with an estimate of time, and train nothing.
            debug: show the traceback of an error.
        """
        _run(config, out, dry_run)

    main_for("distill", "Knowledge distillation for wearable sensors.", {"run": run}, args)


def _run(config: Run, out: Path | None, dry_run: bool) -> None:
    from rich.console import Console

    from distill.device import describe, keep_freed_memory
    from distill.progress import Plain, Silent, Terminal
    from distill.runner import Plan, estimate, execute

    console = Console()
    progress: Silent = Terminal(console) if console.is_terminal else Plain(sys.stdout)
    plan = Plan(config, folder=out)
    parts = plan.certificate["parts"]
    progress.say(str(plan.windows))
    if plan.windows.cut_report is not None:
        progress.say(str(plan.windows.cut_report))
    progress.say(
        f"Split: {plan.split.basis}: {parts['train']['windows']:,} windows to train, "
        f"{parts[plan.split.part]['windows']:,} for {plan.split.part}"
    )
    progress.say(f"Teachers: {', '.join(f'{t.name} (weight {t.weight:.4g})' for t in plan.teachers)}")
    progress.say(f"Loss of the student: {config.formula()}")
    for view in dict.fromkeys(t.view for t in plan.teachers):
        imager = config.imager(view)
        if imager is not None:
            clipped = 100 * imager.clipped_share(plan.windows.select(plan.split.train))
            progress.say(
                f"Images {view}: {imager.size} x {imager.size}, scaling {imager.scaling}"
                + (f", {clipped:.2f} % of training samples clipped" if imager.scaling != "window" else "")
            )
    progress.say(f"On {describe(plan.device)} in {plan.precision}; run directory {plan.folder}")
    if plan.device.type == "cpu":
        keep_freed_memory()
    if dry_run:
        times = estimate(plan)
        for number, (training, seconds) in enumerate(times, start=1):
            progress.say(
                f"[{number}/{len(times)}] {training.title}  {config.epochs} epochs, about {_duration(seconds)}"
            )
        progress.say(
            f"In all about {_duration(sum(s for _, s in times))}, from timing a few steps of each; nothing was trained."
        )
        return
    try:
        result = execute(plan, progress)
    except KeyboardInterrupt:
        progress.say("Broken off: the same command continues with the trainings that are done.")
        raise
    if result.was_finished:
        progress.say("This run is finished; nothing was trained again.")
    progress.say("")
    progress.say(str(result))
    progress.say(f"Weights, histories and predictions: {result.folder}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
