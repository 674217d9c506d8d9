"""The command `stress`: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from tsimage.errors import UserError, unknown


def stress(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
    conditions: str = "",
    plot: Path | None = None,
    again: bool = False,
    seed: int = 0,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Damage the windows of a finished run more and more, and tell how accurate its teachers and students stay.

    All models see the same damaged windows and standardise as in their training. Scores are kept in the run directory as
    stress.csv, condition by condition; what was measured is not measured again.

    Args:
        run: run directory; of a grid, one below runs/ of its folder.
        conditions: some of noise (exact signal-to-noise ratio), jitter, missing, gap, rotation, scaling, drift, dropped, rate
            and stuck, joined by commas; by default all that the windows allow.
        plot: draw curves to this file (.png, .svg or .pdf).
        again: measure these conditions anew; whatever was drawn with another seed is replaced.
        seed: of the damage, the same for all seeds of the run.
        json: write everything as JSON.
        debug: show the traceback of an error.
    """
    import json as writer

    from distill.device import out_of_memory
    from distill.progress import Plain, Progress
    from distill.stress import stress as stress_of
    from distill.stress.files import SCORES

    if plot is not None and plot.suffix not in (".png", ".svg", ".pdf"):
        raise unknown("ending of a plot", plot.suffix, [".png", ".svg", ".pdf"])
    names = [name.strip() for name in conditions.split(",")] if conditions else []
    if "" in names:
        raise UserError(f"conditions '{conditions}' has an empty name: join names by single commas, as noise,rotation")
    progress = Progress() if json else Plain(sys.stdout)
    with out_of_memory():
        found = stress_of(run, names, seed=seed, again=again, progress=progress)
    if plot is not None:
        plot.parent.mkdir(parents=True, exist_ok=True)
        found.figure().savefig(plot, dpi=160)
    if json:
        sys.stdout.write(writer.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        return
    if found.was_measured:
        progress.say("All of it was measured before; --again measures anew.")
    sys.stdout.write(f"\n{found}\n\nScores of every seed: {run / SCORES}\n")
    if plot is not None:
        sys.stdout.write(f"Curves: {plot}\n")
