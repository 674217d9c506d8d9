"""The audit of a data set: everything that can be asked of it, in one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from distill.audit.canaries import Canary, canaries, splits_in_use
from distill.audit.contradictions import Contradicted, contradictions
from distill.audit.earlier import Earlier, Since, since
from distill.audit.inflation import DRAWS, Accuracy, Inflation, inflation, why_no_inflation
from distill.audit.quick import nearest_accuracy, quick_model, why_no_quick_model
from distill.audit.sharing import Sharing, sharing
from distill.audit.student import student_trainer
from distill.config import Part, Run
from distill.progress import Progress
from distill.splits import Split, groups_of
from tsimage.errors import UserError
from tsimage.windows import Windows

NEAREST = "nearest training window"
QUICK = "random convolutions with a ridge"


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """What could not be found out, and why."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found.

    Parameters
    ----------
    name : str
        Of the data set.
    data : str
        The windows in words.
    windows : int
    split : str
        What keeps the parts apart; empty where the windows cannot be split.
    refused : str
        Why they cannot be split; empty where they can.
    trained, evaluated : int
        Windows in the parts; over folds, the most that are trained on, and all that are evaluated.
    sharing : Sharing
    canaries : tuple of Canary
        Empty where the windows cannot be split.
    inflation : tuple of Inflation, or Unmeasured
        Of the quick models, and of the real student where it was asked for.
    contradicted : tuple of Contradicted, or Unmeasured
        Most contradicted first.
    since : Since or None
        Compared with the run whose data these are, where they are those of a run.
    """

    name: str
    data: str
    windows: int
    split: str
    refused: str
    trained: int
    evaluated: int
    sharing: Sharing
    canaries: tuple[Canary, ...]
    inflation: tuple[Inflation, ...] | Unmeasured
    contradicted: tuple[Contradicted, ...] | Unmeasured
    since: Since | None

    @property
    def leaks(self) -> bool:
        """Whether the parts share a person, a recording, a raw sample or a window, or a canary is loud."""
        return self.sharing.leaks or any(canary.voice == "loud" for canary in self.canaries)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types; accuracies are from 0 to 1."""
        content = asdict(self) | {"leaks": self.leaks, "verdict": self.verdict()}
        content["canaries"] = [asdict(canary) | {"voice": canary.voice} for canary in self.canaries]
        if isinstance(self.inflation, tuple):
            content["inflation"] = [
                asdict(found) | {"points": found.points, "is_clear": found.is_clear} for found in self.inflation
            ]
        return content

    def verdict(self) -> str:
        """Say in two or three plain sentences what follows."""
        from distill.audit.wording import verdict  # which imports this module

        return verdict(self)

    def __str__(self) -> str:
        from distill.audit.wording import text

        return text(self)


def audit(
    windows: Windows,
    *,
    folds: str = "",
    part: Part = "test",
    seed: int = 0,
    student: Run | None = None,
    earlier: Earlier | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Ask of windows, and of the split that `distill run` makes of them, all that can tell whether numbers are true.

    Parameters
    ----------
    windows : Windows
    folds, part : str
        The split, as `folds` and `evaluate` of `distill.Run`.
    seed : int
        Of all that is drawn; the same seed gives the same audit.
    student : Run, optional
        Train its student too, under the split in use, with one draw of people kept apart, and under one that leaks.
    earlier : Earlier, optional
        The run that the windows are of; see `distill.audit.read_earlier`.
    progress : Progress, optional
        Who is told what is being looked at.

    Returns
    -------
    Audit
        `str` of it is for people, `to_json` for scripts.

    Raises
    ------
    UserError
        If there are no windows, or the folds that were asked for cannot be made. A split that leaks is reported, and so
        are windows of which no split can be made.

    Examples
    --------
    >>> import tsimage
    >>> found = audit(tsimage.load("basic-motions"))
    >>> found.leaks, [canary.name for canary in found.canaries if canary.voice == "quiet"]
    (False, ['scaling on all data', 'duplicates before the split'])
    """
    if not len(windows):
        raise UserError(f"{windows.name}: there are no windows to audit")
    if folds and folds != "loso" and not folds.isdecimal():
        raise UserError(f"folds '{folds}' is not allowed: give loso or a number of folds from 2")
    told, refused = progress or Progress(), ""
    splits: tuple[Split, ...] = ()
    try:
        splits = splits_in_use(windows, folds, part)
    except UserError as error:
        if folds:  # which were asked for, and others may do
            raise
        refused = str(error)
    told.say("Comparing the parts")
    shared = sharing(windows, splits)
    birds: tuple[Canary, ...] = ()
    if splits:
        told.say("Listening for canaries")
        birds = canaries(windows, folds, part, seed)
    inflated, contradicted = _models(windows, splits, student, seed, told)
    return Audit(
        name=windows.name,
        data=str(windows),
        windows=len(windows),
        split=splits[0].basis if splits else "",
        refused=refused,
        trained=max((len(split.train) for split in splits), default=0),
        evaluated=sum(len(split.evaluation) for split in splits),
        sharing=shared,
        canaries=birds,
        inflation=inflated,
        contradicted=contradicted,
        since=None if earlier is None else since(earlier, windows),
    )


def _models(
    windows: Windows, splits: Sequence[Split], student: Run | None, seed: int, told: Progress
) -> tuple[tuple[Inflation, ...] | Unmeasured, tuple[Contradicted, ...] | Unmeasured]:
    """Return what takes models: how much a leak adds, and contradicted labels."""
    why_no_model, why_no_quick = _why_no_model(windows), why_no_quick_model(windows)
    why_no_split = why_no_inflation(windows) if splits else "the windows cannot be split"
    why_no_groups = why_no_model or why_no_quick or _why_no_groups(windows)
    models: list[tuple[Accuracy, str, int]] = [(partial(nearest_accuracy, windows), NEAREST, DRAWS)]
    inflated: tuple[Inflation, ...] | Unmeasured = Unmeasured(why=why_no_model or why_no_split)
    contradicted: tuple[Contradicted, ...] | Unmeasured = Unmeasured(why=why_no_groups)
    if not why_no_model and not why_no_quick:
        told.say("Fitting quick models")
        quick = quick_model(windows, splits[0].train if splits else np.arange(len(windows)), seed)
        models.append((quick.accuracy, QUICK, DRAWS))
        if not why_no_groups:
            contradicted = contradictions(windows, quick, seed=seed)
    if student is not None:
        trainer = student_trainer(windows, student, told)
        models.append((trainer, f"{student.student} ({student.epochs} epochs)", 1))
    if isinstance(inflated, Unmeasured) and not inflated.why:
        inflated = tuple(inflation(windows, splits, model, name, n, seed) for model, name, n in models)
    return inflated, contradicted


def _why_no_model(windows: Windows) -> str:
    """Return why no model at all can learn from windows, empty where one can."""
    if len(windows.class_names) < 2:
        return f"there is only the class '{windows.class_names[0]}'"
    if windows.has_missing():
        return "samples are missing (load with missing '0.2s' to fill gaps up to 0.2 s)"
    return ""


def _why_no_groups(windows: Windows) -> str:
    """Return why no model can be kept from seeing a window's person or recording, empty where one can."""
    try:
        what, groups = groups_of(windows, np.arange(len(windows)))
    except UserError:
        return "neither people nor recordings are known, so that no model can be kept from seeing them"
    return "" if len(np.unique(groups)) > 1 else f"there is one {what} alone"
