"""A finished run under stress: measured once, condition by condition, and kept beside its result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distill.layout import digest
from distill.plan import Plan
from distill.progress import Progress
from distill.records import Record, read_records
from distill.rereading import at_home, windows_again
from distill.stress import files
from distill.stress.measuring import CLEAN, measure
from distill.stress.registry import CONDITIONS
from distill.stress.told import Stress
from tsimage.errors import UserError, unknown
from tsimage.locks import locked
from tsimage.windows import Windows


def stress(
    folder: str | Path,
    conditions: Sequence[str] = (),
    *,
    windows: Windows | None = None,
    seed: int = 0,
    again: bool = False,
    progress: Progress | None = None,
) -> Stress:
    """Measure the models of a finished run under stress, or what is missing of it, and keep it in the run directory.

    Every condition is kept as soon as it is measured: one that is broken off is all that is lost.

    Parameters
    ----------
    folder : str or Path
        A run directory.
    conditions : sequence of str
        Of `distill.stress.CONDITIONS`; by default all that these windows allow.
    windows : Windows, optional
        In place of the data that the run names.
    seed : int
        Of the damage.
    again : bool
        Measure these conditions anew.
    progress : Progress, optional
        Told a line for each condition.

    Returns
    -------
    Stress

    Raises
    ------
    UserError
        If the run is not finished, its windows or weights are not those of its result, what was measured is damaged or was
        measured otherwise (unless `again`), or for a condition that is unknown or not for these windows.
    """
    for name in conditions:
        if name not in CONDITIONS:
            raise unknown("condition", name, CONDITIONS)
    record = _finished(Path(folder))
    earlier = _earlier(record, seed, again)
    asked = [name for name in CONDITIONS if name in conditions or not conditions]
    missing = asked if again or earlier is None else [name for name in asked if name not in _known_of(earlier)]
    if missing or earlier is None:
        files.check_writable(record.folder)
        for found in _measured(record, missing, bool(conditions), windows, seed, progress or Progress()):
            earlier = _kept(record, found, again)
    assert earlier is not None
    frame, about = earlier
    for name in conditions:
        if name in about["left_out"]:
            raise _not_for(record, name, about["left_out"][name])
    files.tell(record.folder, frame)
    shown = frame[frame["condition"].isin([CLEAN, *asked])].reset_index(drop=True)
    left_out = {name: why for name, why in about["left_out"].items() if name in asked}
    return Stress(record=record, frame=shown, about=about | {"left_out": left_out}, was_measured=not missing)


def read_stress(record: Record) -> Stress | None:
    """Return what was measured of a finished run; None where nothing was.

    Raises
    ------
    UserError
        If it is damaged, of another version, or of another result.
    """
    found = files.read(record.folder)
    if found is None or record.result is None:
        return None
    _check_result(record, found[1])
    return Stress(record=record, frame=found[0], about=found[1], was_measured=True)


def _finished(folder: Path) -> Record:
    records = read_records([folder])
    if len(records) > 1:
        raise UserError(f"'{folder}' holds {len(records)} runs: give the directory of one, as {records[0].folder}")
    if not records[0].is_done:
        raise UserError(f"run '{records[0].folder}' {records[0].shortfall}: finish it first")
    return records[0]


Found = tuple[pd.DataFrame, dict[str, Any]]


def _earlier(record: Record, seed: int, again: bool) -> Found | None:
    """Return what was measured before and may be added to."""
    try:
        found = files.read(record.folder)
        if found is not None:
            _check_result(record, found[1])
            if found[1]["seed"] != seed:
                raise UserError(
                    f"'{record.folder / files.ABOUT}' is of damage drawn with seed {found[1]['seed']}, not {seed}: give that seed, "
                    "or --again to measure anew and put it in the place of all that is there"
                )
    except UserError:
        if again:
            return None
        raise
    return found


def _check_result(record: Record, about: Mapping[str, Any]) -> None:
    assert record.result is not None
    if about["result_sha256"] != digest(record.result):
        raise UserError(
            f"'{record.folder / files.ABOUT}' is of another result of this run: {files.mended(record.folder)}"
        )


def _known_of(found: Found) -> set[str]:
    """Return the conditions that need not be measured: those with the levels of today, and those left out."""
    about = found[1]
    measured = {name: made["levels"] for name, made in about["conditions"].items()}
    same = {name for name, levels in measured.items() if levels == list(CONDITIONS[name].levels or levels)}
    return same | set(about["left_out"])


def _kept(record: Record, found: Found, again: bool) -> Found:
    """Write what was found to the run directory, beside what another process may have put there meanwhile."""
    with locked(record.folder / files.LOCK):
        earlier = _earlier(record, found[1]["seed"], again)
        joined = found if earlier is None else _joined(earlier, found)
        files.write(record.folder, *joined)
    return joined


def _joined(earlier: Found, found: Found) -> Found:
    """Put new conditions in the place of earlier ones of their name, all in the order of the registry."""
    frame, about = earlier
    kept = frame[~frame["condition"].isin(found[0]["condition"])]
    order = {name: place for place, name in enumerate((CLEAN, *CONDITIONS))}
    made = pd.concat([found[0], kept]).sort_values("condition", key=lambda names: names.map(order), kind="stable")
    conditions = about["conditions"] | found[1]["conditions"]
    return made.reset_index(drop=True), found[1] | {
        "conditions": {name: conditions[name] for name in CONDITIONS if name in conditions},
        "left_out": about["left_out"] | found[1]["left_out"],
    }


def _measured(
    record: Record, wanted: Sequence[str], named: bool, windows: Windows | None, seed: int, progress: Progress
) -> Iterator[Found]:
    """Measure conditions one by one; those that are not for these windows are left out, unless they were named."""
    loaded = windows_again(record, windows)
    reasons = {name: CONDITIONS[name].why_not(loaded.channels, loaded.length) for name in wanted}
    left_out = {name: why for name, why in reasons.items() if why}
    if named and left_out:
        name, why = next(iter(left_out.items()))
        raise _not_for(record, name, why)
    measured = [name for name in wanted if name not in left_out]
    with at_home(record):  # teachers may come from an earlier run
        plan = Plan(record.run, loaded, record.folder, chosen=record.about["chosen"])
    assert record.result is not None
    labels = loaded.labels[np.concatenate([split.evaluation for split in plan.splits])]
    about = {
        "result_sha256": digest(record.result),
        "seed": seed,
        "left_out": left_out,
        "most_frequent": float(np.bincount(labels).max() / len(labels)),
    }
    for number, name in enumerate(measured):
        began = time.monotonic()
        levels = list(CONDITIONS[name].levels_for(loaded.channels))
        frame = measure(plan, record, [name] if number else [CLEAN, name], seed)
        models = len(frame[["model", "seed"]].drop_duplicates())
        progress.say(
            f"[{number + 1}/{len(measured)}] {name}: {len(levels)} level{'s' * (len(levels) > 1)}, {models} models, "
            f"{time.monotonic() - began:.1f} s"
        )
        yield frame, about | {"conditions": {name: {"levels": levels, "environment": plan.environment()}}}


def _not_for(record: Record, name: str, why: str) -> UserError:
    return UserError(f"condition '{name}' is not for the windows of run '{record.folder}', for {why}: leave it out")
