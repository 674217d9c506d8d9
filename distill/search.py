"""Search: lambda, T, alpha and the like are proposed one trial after the other and judged on validation subjects.

Every trial is a run that evaluates its validation part, in `trial-K` of the folder of the search. What is proposed for trial
K follows from the seed, K and the trials before it alone, so that a search that was broken off goes on as if it had not
been. The journal of optuna takes a trial up when it is finished, in one line. The test part is not looked at: the command
that the search ends with opens it, once.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from distill.config import Run
from distill.divergence import DivergenceError
from distill.layout import sealed
from distill.options import command, words_of
from distill.plan import Plan
from distill.progress import Progress
from distill.proposals import SEARCHED, Span, Trial, frozen, open_journal, propose, trials_in
from distill.runner import alone, check_folder, execute
from distill.seeds import random_seed
from distill.selection import Candidate, check_unchosen, share, with_values
from tsimage import atomic
from tsimage.datasets import load
from tsimage.errors import UserError, unknown
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Searched:
    """A finished search: its trials, the best of them, and the run that is left to do with its values, with its command."""

    folder: Path
    trials: tuple[Trial, ...]
    best: Trial
    run: Run
    command: str

    def __str__(self) -> str:
        grid = Table(title="Accuracy in % on validation subjects", box=box.SIMPLE_HEAD, title_justify="left")
        for name in ("trial", *map(words_of, self.best.values), "accuracy"):
            grid.add_column(name, justify="right", no_wrap=True)
        for trial in self.trials:
            shown = "failed" if trial.accuracy is None else f"{trial.accuracy:.2f}"
            grid.add_row(str(trial.number), *(f"{v:g}" for v in trial.values.values()), shown)
        text = io.StringIO()
        Console(file=text, width=10_000, color_system=None).print(grid)
        lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
        lines += [
            "",
            f"Best: {_in_words(self.best.values)} (trial {self.best.number}, {self.best.accuracy:.2f}). An accuracy that is the "
            f"best of {len(self.trials)} is too high: report that of the test part.",
            f"The test part was not looked at. This opens it, once: {self.command}",
        ]
        return "\n".join(lines)


def search(
    run: Run,
    space: Mapping[str, Span],
    trials: int,
    folder: str | Path,
    windows: Windows | None = None,
    progress: Progress | None = None,
) -> Searched:
    """Search for the values of options with which the student does best on validation subjects.

    Proposals are those of a tree-structured Parzen estimator [1]_, the first ten drawn at random. Where lambda, temperature
    and alpha alone are searched, the teachers and the student from scratch are trained once, for the first trial, and shared.

    Parameters
    ----------
    run : Run
        What all trials have in common; its first seed is that of the proposals, too.
    space : mapping of str to Span
        Options among lambda, temperature, alpha, learning_rate and weight_decay; see `distill.proposals.parse_space`.
    trials : int
        How many in all, at least 1; a search that is done can be gone on with by giving more.
    folder : str or Path
        Where the search is, or will be.
    windows : Windows, optional
        In place of `run.data`; the read options that choose channels and classes still apply.
    progress : Progress, optional
        Who is told; by default nobody.

    Returns
    -------
    Searched
        A trial that diverged is in it as failed.

    Raises
    ------
    UserError
        If optuna is not installed, for an impossible run or range, a folder that holds something else, or if all trials
        failed.

    References
    ----------
    .. [1] Watanabe, "Tree-Structured Parzen Estimator: Understanding Its Algorithm Components and Their Roles for Better
       Empirical Performance", arXiv:2304.11127.
    """
    if windows is None:
        return execute_search(run, space, trials, Path(folder), load(run.data, run.read), progress or Progress())
    run, windows = replace(run, data=windows.name), load(windows, run.read)
    searched = execute_search(run, space, trials, Path(folder), windows, progress or Progress())
    return replace(searched, command="distill.run(searched.run, windows=windows)")


def execute_search(
    run: Run, space: Mapping[str, Span], trials: int, folder: Path, windows: Windows, progress: Progress
) -> Searched:
    """Do what is missing of a search on windows that are loaded; see `search`."""
    if importlib.util.find_spec("optuna") is None:
        raise UserError("a search needs optuna, which is not installed: pip install 'tsimage[search]'")
    check_search(run, space, trials)
    asked = replace(run, evaluate="validation")
    first = Plan(asked, windows, folder / "trial-1")  # refuses what is wrong before anything is written
    about = _about(first, space)
    _check_folder(folder, about)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        if not (folder / "search.json").exists():
            atomic.write_json(folder / "search.json", about)
        study = open_journal(folder)
        done = trials_in(study, space)
        candidates = [Candidate(values=dict(t.values), run=with_values(asked, dict(t.values))) for t in done]
        for number in range(len(done) + 1, trials + 1):
            values = propose(space, done, random_seed(run.seeds[0], "search", number) % 2**32)
            progress.say(f"Trial {number} of {trials}: {_in_words(values)}, on validation subjects")
            candidates.append(Candidate(values=dict(values), run=with_values(asked, dict(values))))
            accuracy = _try(candidates, windows, folder, progress)
            done.append(Trial(number=number, values=values, accuracy=accuracy))
            study.add_trial(frozen(done[-1], space))
    finished = done[:trials]
    succeeded = [trial for trial in finished if trial.accuracy is not None]
    if not succeeded:
        raise UserError(f"all {trials} trials of '{folder}' failed: lower the learning-rate or search other ranges")
    best = max(succeeded, key=lambda trial: trial.accuracy or 0.0)  # of equals the first
    final = with_values(run, dict(best.values))
    return Searched(folder=folder, trials=tuple(finished), best=best, run=final, command=command(final))


def _try(candidates: Sequence[Candidate], windows: Windows, folder: Path, progress: Progress) -> float | None:
    """Do the last of the trials, with what it shares with the first; return its accuracy in %, None if it failed."""
    number, candidate = len(candidates), candidates[-1]
    plan = Plan(candidate.run, windows, folder / f"trial-{number}")
    check_folder(plan)
    plan.folder.mkdir(exist_ok=True)
    if not (plan.folder / "run.json").exists():
        atomic.write_json(plan.folder / "run.json", sealed(plan.describe()))
    share(candidate, plan.folder, candidates[0], folder / "trial-1")
    try:
        accuracy = float(execute(plan, progress).table()["mean"].iloc[-1])
    except DivergenceError as error:
        progress.say(f"Trial {number}: failed, {error}")
        return None
    progress.say(f"Trial {number}: accuracy {accuracy:.2f} on validation subjects")
    return accuracy


def check_search(run: Run, space: Mapping[str, Span], trials: int) -> None:
    """Refuse a search that could not be done, or whose best values could not be tested fairly; no data are looked at.

    Raises
    ------
    UserError
        If so.
    """
    if trials < 1:
        raise UserError(f"trials {trials} are not allowed: give a number from 1 on")
    if not space:
        raise UserError("no option to search is named: give a space, as lambda=0.1..0.9")
    if run.select:
        raise UserError("select and a search choose both: leave out select")
    if run.evaluate == "validation":
        raise UserError("a search looks at validation subjects already: leave out evaluate validation")
    if run.folds:
        raise UserError("a search over folds would see everybody who is tested: search on one split, then give folds")
    if run.protocol == "lab":
        raise UserError("a search has no place in protocol lab, which chooses on the test part: take protocol clean")
    if any(teacher.source for teacher in run.teachers()):
        raise UserError(
            "a search trains without the validation subjects, and a teacher of an earlier run was trained on another split: "
            "name the teachers without @DIR"
        )
    for name in space:
        if name not in SEARCHED:
            raise unknown("option to search", name, SEARCHED)
    check_unchosen(run, dict.fromkeys(space, "the search"))
    for name, span in space.items():
        shown = f"{words_of(name)} from {span.low:g} to {span.high:g}"
        if not -math.inf < span.low < span.high < math.inf:
            raise UserError(f"the range of {shown} is empty: give a lower and a higher number")
        if span.log and span.low <= 0:
            raise UserError(f"the range of {shown} has no logarithm: begin above 0, or leave out log")
        for end in (span.low, span.high):
            with_values(run, {name: end})


def default_folder(run: Run, space: Mapping[str, Span]) -> Path:
    """Return the folder of a search below `runs/`: what the run is in words, and a hash of all its options and ranges."""
    named = run.folder(json.dumps({name: asdict(span) for name, span in space.items()}, sort_keys=True))
    return named.with_name(f"search-{named.name}")


def _about(plan: Plan, space: Mapping[str, Span]) -> dict[str, Any]:
    """Return the content of `search.json`: all but the number of trials."""
    environment = plan.environment()
    return {
        "run": plan.run.to_json(),
        "space": {name: asdict(span) for name, span in space.items()},
        "windows_sha256": plan.fingerprint,
        "environment": {name: environment[name] for name in ("code_sha256", "torch", "device_type", "precision")},
    }


def _check_folder(folder: Path, about: dict[str, Any]) -> None:
    """See that the folder is new, or holds this very search."""
    path = folder / "search.json"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"'{folder}' is a file: choose a folder")
    if not path.exists():
        if folder.exists() and any(p.name != ".lock" and not p.name.endswith(".partial") for p in folder.iterdir()):
            raise UserError(f"'{folder}' is not empty and holds no search: choose another folder")
        return
    before = atomic.read_json(path)
    for what, now in about.items():
        if not isinstance(before, dict) or before.get(what) != now:
            called = {"run": "options", "windows_sha256": "data", "environment": "code, torch, device or precision"}
            raise UserError(
                f"'{folder}' holds another search, with other {called.get(what, what)}: choose another folder or remove it"
            )


def _in_words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{words_of(name)} {value:g}" for name, value in values.items())
