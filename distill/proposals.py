"""What a search tries next, from the trials before, and the journal that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distill.options import words_of
from distill.selection import CHOSEN
from tsimage import atomic
from tsimage.errors import UserError, unknown

if TYPE_CHECKING:
    import optuna

SEARCHED = tuple(name for name, kind in CHOSEN.items() if kind is float)
"""What can be searched: lambda, temperature, alpha, learning_rate, weight_decay."""
DIGITS = 4
"""Significant digits of what is proposed, so that the last command can be read and typed."""
JOURNAL = "optuna.journal"
_STUDY = "search"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True, kw_only=True)
class Span:
    """The values of an option that are searched: from `low` to `high`, evenly or, with `log`, evenly in their logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial: its number from 1, what was tried, and the accuracy in % on validation subjects; None where it failed."""

    number: int
    values: dict[str, float]
    accuracy: float | None


def parse_space(space: Sequence[str]) -> dict[str, Span]:
    """Read what is searched, as `lambda=0.1..0.9` or `temperature=1..8:log`.

    Raises
    ------
    UserError
        For an option that is not searched, one named twice, or a range that is none.

    Examples
    --------
    >>> parse_space(["alpha=0..1", "learning-rate=1e-3..0.1:log"])
    {'alpha': Span(low=0.0, high=1.0, log=False), 'learning_rate': Span(low=0.001, high=0.1, log=True)}
    """
    found: dict[str, Span] = {}
    for text in space:
        given, _, values = text.partition("=")
        name = given.strip().replace("-", "_")
        if name not in SEARCHED:
            raise unknown("option to search", given, map(words_of, SEARCHED))
        if name in found:
            raise UserError(f"space names {words_of(name)} twice: give one range")
        match = re.fullmatch(rf"\s*({_NUMBER})\.\.({_NUMBER})(:log)?\s*", values)
        if match is None:
            raise UserError(
                f"space '{text}' is not understood: give a range, as {words_of(name)}=0.1..0.9, or with :log after it"
            )
        found[name] = Span(low=float(match[1]), high=float(match[2]), log=match[3] is not None)
    return found


def propose(space: Mapping[str, Span], done: Sequence[Trial], seed: int) -> dict[str, float]:
    """Return what to try next, from the trials so far; the same for the same arguments.

    Parameters
    ----------
    space : mapping of str to Span
    done : sequence of Trial
        In their order; those that failed teach nothing.
    seed : int
        From 0 to 2^32 - 1, another one for every trial.

    Returns
    -------
    dict
        A value of four significant digits for each option.

    Examples
    --------
    >>> value = propose({"alpha": Span(low=0.2, high=0.4)}, [], seed=0)["alpha"]
    >>> 0.2 <= value <= 0.4 and value == round(value, 4)
    True
    """
    import optuna

    with _quiet():
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        for trial in done:
            study.add_trial(frozen(trial, space))
        asked = study.ask(_distributions(space))
    return {
        name: min(max(float(f"{asked.params[name]:.{DIGITS}g}"), span.low), span.high) for name, span in space.items()
    }


def open_journal(folder: Path) -> optuna.Study:
    """Open the journal of a search, or begin it, without a last line that was not written to its end.

    Parameters
    ----------
    folder : Path
        Of the search; no other process may be at work there.

    Raises
    ------
    UserError
        If it is damaged.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / JOURNAL
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        atomic.write_bytes(path, whole)
    for lock in folder.glob(f"{JOURNAL}.lock*"):  # of a process that was killed: we are alone here
        lock.unlink()
    with _quiet():
        try:
            storage = JournalStorage(JournalFileBackend(str(path)))
            if whole:
                return optuna.load_study(storage=storage, study_name=_STUDY)
            return optuna.create_study(storage=storage, study_name=_STUDY, direction="maximize")
        except (ValueError, KeyError, TypeError) as error:
            said = str(error).replace("\n", " ")
            raise UserError(f"'{path}' is damaged ({said}): remove '{folder}' and search anew") from error


def trials_in(study: optuna.Study, space: Mapping[str, Span]) -> list[Trial]:
    """Return the trials of a journal, in their order."""
    return [
        Trial(number=number, values={name: trial.params[name] for name in space}, accuracy=trial.value)
        for number, trial in enumerate(study.get_trials(deepcopy=False), start=1)
    ]


def frozen(trial: Trial, space: Mapping[str, Span]) -> optuna.trial.FrozenTrial:
    """Return a trial as optuna takes it up, done or failed."""
    import optuna

    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.FAIL if trial.accuracy is None else optuna.trial.TrialState.COMPLETE,
        value=trial.accuracy,
        params=dict(trial.values),
        distributions=_distributions(space),
    )


def _distributions(space: Mapping[str, Span]) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import FloatDistribution

    return {name: FloatDistribution(span.low, span.high, log=span.log) for name, span in space.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna from telling on stderr what `progress` tells."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
