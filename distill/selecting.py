"""Choosing on validation subjects: out of the training part of one split, or in every fold anew out of what it trains on.

Who is tested has no part in it. The folder of the run then holds the candidates, each a run of its own:

    select/1, select/2, ...                     of one split
    select/fold-1/1, select/fold-1/2, ...       of each fold
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from distill.divergence import DivergenceError
from distill.layout import SELECT
from distill.plan import Plan
from distill.progress import Progress
from distill.selection import SCORE, Candidate, best, candidates, share, with_values
from distill.splits import Split, validation_within, with_stopping
from tsimage.errors import UserError

Attempt = Callable[[Plan, Callable[[], None]], float]
"""Does the run of a candidate, calling what it is given once the folder is there; returns the student's accuracy in %."""
Tried = list[dict[str, Any]] | dict[str, list[dict[str, Any]]]
"""The values of every candidate with its accuracy, None if it failed; where there are folds, by the name of the fold."""


def validation_splits(plan: Plan) -> tuple[Split, ...]:
    """Return the splits to choose on, one inside the training part of each split of a plan.

    Raises
    ------
    UserError
        If a training part is too small to hold validation subjects out of it.
    """
    made = (validation_within(plan.windows, split) for split in plan.splits)
    return tuple(with_stopping(plan.windows, split) if plan.run.patience else split for split in made)


def choose(plan: Plan, attempt: Attempt, progress: Progress) -> tuple[Plan, Tried]:
    """Try all candidates, and return the plan with the values chosen.

    Parameters
    ----------
    plan : Plan
        Of a run with something to select.
    attempt : callable
        Does what is missing of the run of a candidate.
    progress : Progress

    Returns
    -------
    plan : Plan
        In the same folder, nothing left to choose.
    tried : list, or dict of list
        The `candidates` of the result.

    Raises
    ------
    UserError
        If a training part is too small, before anything is trained; if all candidates of a split failed.
    """
    everyone = candidates(plan.run)
    tried: dict[str, list[tuple[Candidate, float | None]]] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for split, inner in zip(plan.splits, validation_splits(plan), strict=True):
        parent = plan.folder / SELECT / f"fold-{split.number}" if split.fold else plan.folder / SELECT
        said = f"without {split.fold}  " if split.fold else ""
        tried[split.fold] = _try(plan, everyone, inner, parent, said, attempt, progress)
        try:
            winner = best(tried[split.fold])
        except UserError as error:
            raise UserError(f"without {split.fold}, {error}" if split.fold else str(error)) from error
        chosen[split.fold] = winner.values
        end = "" if split.fold else ". Now on the whole training part; the test part is opened once."
        progress.say(f"{said}Chosen: {winner.name}{end}")
    scores = {name: [c.values | {SCORE: score} for c, score in pairs] for name, pairs in tried.items()}
    if not plan.run.folds:
        return Plan(with_values(plan.run, chosen[""]), plan.windows, plan.folder, asked=plan.run), scores[""]
    progress.say("Now every fold on its whole training part; the subjects left out are looked at once.")
    return Plan(plan.run, plan.windows, plan.folder, splits=plan.splits, chosen=chosen), scores


def _try(
    plan: Plan,
    everyone: list[Candidate],
    split: Split,
    parent: Path,
    said: str,
    attempt: Attempt,
    progress: Progress,
) -> list[tuple[Candidate, float | None]]:
    """Try all candidates on one split, in the folders `parent`/1, /2 and so on, with what they share trained once."""
    tried: list[tuple[Candidate, float | None]] = []
    for number, candidate in enumerate(everyone, start=1):
        progress.say(f"{said}Candidate {number} of {len(everyone)}: {candidate.name}, on validation subjects")
        trial = Plan(candidate.run, plan.windows, parent / str(number), splits=(split,))
        begin = partial(share, candidate, trial.folder, everyone[0], parent / "1")
        try:
            accuracy = attempt(trial, begin)
        except DivergenceError as error:
            progress.say(f"{said}{candidate.name}: failed, {error}")
            tried.append((candidate, None))
            continue
        progress.say(f"{said}{candidate.name}: accuracy {accuracy:.2f} on validation subjects")
        tried.append((candidate, accuracy))
    return tried
