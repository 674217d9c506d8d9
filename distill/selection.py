"""What may be chosen on validation subjects, lambda, T, alpha and the like: how it is given, tried, compared and told."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsimage.errors import UserError, unknown

if TYPE_CHECKING:
    from distill.config import Run

CHOSEN = {
    "lambda": float,
    "temperature": float,
    "alpha": float,
    "epochs": int,
    "learning_rate": float,
    "weight_decay": float,
    "loss": str,
    "weighing": str,
}
"""What may be chosen, and the type of its values."""
_EXAMPLES = {
    "temperature": "2,4",
    "epochs": "50,100",
    "learning_rate": "0.01,0.05",
    "weight_decay": "0,0.0001",
    "loss": "kd,dkd",
    "weighing": "fixed,aver",
}
SCORE = "validation_accuracy"
_OF_STUDENT_ALONE = {"lambda", "temperature", "alpha", "loss", "weighing"}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One combination of values: the run that tries it on validation subjects, and the folder that it has."""

    values: dict[str, Any]
    run: Run

    @property
    def name(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.values.items())


def parse_select(select: Sequence[str]) -> dict[str, list[Any]]:
    """Read what is to be chosen, as `lambda=0.1,0.5`.

    Raises
    ------
    UserError
        For an unknown option, one named twice, or fewer than two values.

    Examples
    --------
    >>> parse_select(["lambda=0.1,0.5", "temperature=2,4"])
    {'lambda': [0.1, 0.5], 'temperature': [2.0, 4.0]}
    """
    found: dict[str, list[Any]] = {}
    for text in select:
        name, _, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if name not in CHOSEN:
            raise unknown("option to select", name.replace("_", "-"), [option.replace("_", "-") for option in CHOSEN])
        words = name.replace("_", "-")
        if name in found:
            raise UserError(f"select names {words} twice: give all its values at once")
        try:
            made = [CHOSEN[name](value.strip()) for value in re.split(r",(?![^()]*\))", values)]
        except ValueError:
            made = []
        if len(set(made)) < 2 or len(set(made)) < len(made):
            example = f"{words}={_EXAMPLES.get(name, '0.1,0.5')}"
            raise UserError(f"select '{text}' is not understood: give two or more different values, as {example}")
        found[name] = made
    return found


def check_unchosen(run: Run, chosen: Mapping[str, str], explicit: Collection[str] = ()) -> None:
    """Refuse a value of an option that is to be chosen, since nothing would be done with it.

    Parameters
    ----------
    run : Run
        A value that is the default of its option counts as not given.
    chosen : mapping of str to str
        What chooses, as `select 'lambda=0.1,0.5'`, by the name of the option.
    explicit : collection of str
        Options that were given even so, with - as on the command line.

    Raises
    ------
    UserError
        If a value was given.
    """
    for name, by in chosen.items():
        field = _field(name)
        value, words = getattr(run, field), name.replace("_", "-")
        if value != type(run).__dataclass_fields__[field].default or words in explicit:
            raise UserError(f"{words} {value} does nothing, as {by} chooses it: leave out one of them")


def selectors(select: Sequence[str]) -> dict[str, str]:
    """Return what chooses each option that is selected, in words; see `check_unchosen`.

    Examples
    --------
    >>> selectors(["learning-rate=0.1,0.5"])
    {'learning_rate': "select 'learning-rate=0.1,0.5'"}
    """
    return {name: f"select '{text}'" for name, text in zip(parse_select(select), select, strict=True)}


def candidates(run: Run) -> list[Candidate]:
    """Return the runs that try every combination on validation subjects: on one split, even where the run has folds.

    Raises
    ------
    UserError
        If a combination is no possible run.
    """
    choices = parse_select(run.select)
    made = []
    for combination in product(*choices.values()):
        values = dict(zip(choices, combination, strict=True))
        tried = replace(with_values(run, values), evaluate="validation", folds="")
        made.append(Candidate(values=values, run=tried))
    return made


def with_values(run: Run, values: dict[str, Any]) -> Run:
    """Return the run with these values, in which nothing is left to select."""
    return replace(run, select=(), **{_field(name): value for name, value in values.items()})


def _field(name: str) -> str:
    """Return the field of a run that holds an option."""
    return "lambda_" if name == "lambda" else name


def share(candidate: Candidate, folder: Path, first: Candidate, first_folder: Path) -> None:
    """Copy to the folder of a candidate the finished trainings of the first that would come out the same.

    What the student takes from its teachers changes neither them nor the student from scratch.
    """
    differ = {name for name, value in candidate.values.items() if value != first.values[name]}
    if not differ <= _OF_STUDENT_ALONE or folder == first_folder:
        return
    for done in sorted(first_folder.rglob("training.json")):
        source = done.parent
        target = folder / source.relative_to(first_folder)
        if source.name.startswith(("teacher-", "scratch-")) and not target.exists():
            partial = target.with_name(f".{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial)
            partial.rename(target)


def best(tried: Sequence[tuple[Candidate, float | None]]) -> Candidate:
    """Return the candidate with the highest accuracy; of equals the first, and never one that failed (None).

    Raises
    ------
    UserError
        If all failed.
    """
    done = [(candidate, accuracy) for candidate, accuracy in tried if accuracy is not None]
    if not done:
        raise UserError(
            f"none of the {len(tried)} candidates could be trained: lower the learning-rate or give other values"
        )
    return max(done, key=lambda pair: pair[1])[0]


def described(tried: Sequence[dict[str, Any]] | Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """Return in one sentence what was chosen, from the `candidates` of a result: those of one split, or of each fold.

    Examples
    --------
    >>> ann = [{"lambda": 0.1, "validation_accuracy": 60.0}, {"lambda": 0.5, "validation_accuracy": 70.0}]
    >>> bob = [{"lambda": 0.1, "validation_accuracy": 80.0}, {"lambda": 0.5, "validation_accuracy": None}]
    >>> described({"ann": ann, "bob": bob})  # doctest: +NORMALIZE_WHITESPACE
    'Chosen on validation subjects of each fold: lambda 0.5 in 1 fold; lambda 0.1 in 1 fold (failed: lambda 0.5 in 1 fold);
     then the subjects left out were looked at once.'
    """
    if isinstance(tried, Mapping):
        chosen = _counted(_named(_highest(candidates)) for candidates in tried.values())
        failed = _counted(_named(c) for candidates in tried.values() for c in candidates if c[SCORE] is None)
        said = f"{chosen} (failed: {failed})" if failed else chosen
        return f"Chosen on validation subjects of each fold: {said}; then the subjects left out were looked at once."
    scores = [f"{_named(c)}: " + ("failed" if c[SCORE] is None else f"{c[SCORE]:.2f}") for c in tried]
    return (
        f"Chosen on validation subjects: {_named(_highest(tried))} (accuracies there {'; '.join(scores)}); then the test part "
        "was opened once."
    )


def _named(candidate: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in candidate.items() if name != SCORE)


def _highest(tried: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return max((c for c in tried if c[SCORE] is not None), key=lambda c: c[SCORE])


def _counted(names: Iterable[str]) -> str:
    return "; ".join(f"{name} in {n} fold{'s' * (n > 1)}" for name, n in Counter(names).most_common())
