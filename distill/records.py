"""Run directories read back: what a run was, what came of it, or how far it is."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distill.config import Run
from distill.layout import GRID, LOGITS, PREDICTIONS, RESULT, described, has_candidates, is_sealed, read_result
from distill.options import options_of, run_from
from distill.sealed import unpack
from distill.selection import parse_select
from distill.status import RunStatus, status
from tsimage import atomic
from tsimage.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """A run directory.

    Parameters
    ----------
    folder : Path
    name : str
        What the run is called: by its folder, or in its grid.
    run : Run
        With the values that were chosen, if any, and nothing left to select; where each fold has its own, with the defaults.
    about : dict
        Of `run.json`; empty where the run has not begun.
    result : dict or None
        Of `result.json`; None where the run is not finished.
    status : RunStatus
    windows_sha256 : str
        Of the windows that it is about.
    precision : str
        Of its trainings: `fp32` or `bf16`.
    """

    folder: Path
    name: str
    run: Run
    about: Mapping[str, Any]
    result: Mapping[str, Any] | None
    status: RunStatus
    windows_sha256: str
    precision: str

    @property
    def is_done(self) -> bool:
        return self.result is not None

    @property
    def asked(self) -> Run:
        """The run as it was asked for: where values were chosen, with what they were chosen among in their place."""
        select = self.about["run"]["select"] if self.about else ()
        chosen = dict.fromkeys(parse_select(select))
        return run_from(options_of(self.run) | {"select": list(select)} | chosen) if select else self.run

    @property
    def options(self) -> dict[str, Any]:
        """All options of the run, flat, as JSON types: the values that were chosen, and what they were chosen among."""
        return options_of(self.run) | {"select": list(self.asked.select)}

    @property
    def test_to_train(self) -> float:
        """Windows tested for each trained on, as a mean over the folds; 0 of a run without folds."""
        if not self.run.folds:
            return 0.0
        folds = self.about["split"]["parts"].values()
        return float(np.mean([parts[self.run.evaluate]["windows"] / parts["train"]["windows"] for parts in folds]))

    @property
    def shortfall(self) -> str:
        """Why there is no result, in words; empty where there is one."""
        if self.is_done:
            return ""
        failed = [self.status.error] if self.status.error else []
        done = f"{self.status.done} of {self.status.trainings} trainings are done" if self.status.trainings else ""
        return "; ".join(
            [{"running": "is under way", "failed": "failed"}.get(self.status.state, "is not finished"), *failed, done]
        )

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What every model said: `window`, `subject`, `fold` (of several), `label`, and a column per model and seed."""
        return pd.read_csv(io.BytesIO(self._checked(PREDICTIONS)), dtype=str, keep_default_na=False)

    @cached_property
    def logits(self) -> dict[str, np.ndarray]:
        """The logits (window, class) by the columns of `predictions`, in its order of windows."""
        self._checked(LOGITS)
        return {name: tensor.numpy() for name, tensor in unpack(self.folder / LOGITS)[0].items()}

    @cached_property
    def trainings(self) -> dict[str, Path]:
        """The folders of the finished trainings of this run, by the sha256 of their weights."""
        found = {}
        for name in self.about.get("trainings", []):
            path = self.folder / name / "training.json"
            if path.exists():
                record = atomic.read_json(path)
                if not isinstance(record, dict) or "weights_sha256" not in record:
                    raise UserError(
                        f"'{path}' describes no training of this version: remove its folder and train it anew"
                    )
                found[record["weights_sha256"]] = path.parent
        return found

    def history(self, weights_sha256: str) -> pd.DataFrame:
        """Return one row per epoch of the training that made these weights; empty for one without epochs.

        Raises
        ------
        UserError
            If the training is no longer there, or its history is not as it was written.
        """
        folder = self.trainings.get(weights_sha256)
        if folder is None:
            raise UserError(f"'{self.folder}': the training of weights {weights_sha256[:8]} is no longer there")
        recorded = atomic.read_json(folder / "training.json").get("history_sha256")
        if recorded is None:  # of a ridge
            return pd.DataFrame()
        path = folder / "history.jsonl"
        content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != recorded:
            raise UserError(f"'{path}' is missing or not as it was written (its sha256 differs): train it anew")
        return pd.DataFrame([json.loads(line) for line in content.decode().splitlines()])

    def _checked(self, name: str) -> bytes:
        if self.result is None:
            raise UserError(f"run '{self.folder}' {self.shortfall}: finish it first")
        path = self.folder / name
        content = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(content).hexdigest() != self.result["files"][name]:
            raise UserError(
                f"'{path}' is missing or not as it was written (its sha256 differs): remove '{self.folder / RESULT}' and do the "
                "same run again, which only evaluates what is trained"
            )
        return content


def read_records(folders: Sequence[str | Path]) -> list[Record]:
    """Read runs back.

    Parameters
    ----------
    folders : sequence of str or Path
        Each a run directory, the folder of a grid, or a folder of such.

    Returns
    -------
    list of Record
        In the order given, each run once; those of a folder of runs by name.

    Raises
    ------
    UserError
        If a folder is none of these, or a file in it is damaged.
    """
    records: dict[Path, Record] = {}
    for given in map(Path, folders):
        for record in _of(given):
            records.setdefault(record.folder.resolve(), record)
    return list(records.values())


def _of(folder: Path) -> Iterator[Record]:
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}': give run directories, folders of grids, or a folder of such")
    if (folder / "run.json").exists():
        yield _of_run(folder)
        return
    if (folder / GRID).exists():
        yield from _of_grid(folder)
        return
    if has_candidates(folder):
        found = status(folder)
        raise UserError(
            f"'{folder}' is a run that has not chosen its values yet; {found.counts()['done']} of {len(found.trainings)} "
            "trainings of its candidates are done: finish it first, or name the others one by one"
        )
    inside = [
        d for d in sorted(folder.iterdir()) if (d / "run.json").exists() or (d / GRID).exists() or has_candidates(d)
    ]
    if not inside:
        raise UserError(
            f"'{folder}' holds no run and no grid: give run directories, folders of grids, or a folder of such"
        )
    for each in inside:
        yield from _of(each)


def _of_run(folder: Path) -> Record:
    about, run = _described(folder / "run.json")
    return Record(
        folder=folder,
        name=folder.absolute().name,
        run=run,
        about=about,
        result=_result(folder),
        status=status(folder).runs[0],
        windows_sha256=about["data"]["windows_sha256"],
        precision=about["environment"]["precision"],
    )


def _of_grid(folder: Path) -> Iterator[Record]:
    content = described(folder)
    for entry, state in zip(content["runs"], status(folder, content).runs, strict=True):
        place = folder / entry["folder"]
        yield Record(
            folder=place,
            name=entry["name"],
            run=run_from(entry["options"]),
            about=_described(place / "run.json")[0] if (place / "run.json").exists() else {},
            result=_result(place),
            status=state,
            windows_sha256=entry["windows"],
            precision=entry["precision"],
        )


def _described(path: Path) -> tuple[dict[str, Any], Run]:
    """Return what a `run.json` says, and the run; what others will look for is there."""
    about = atomic.read_json(path)
    if isinstance(about, dict) and "sha256" in about and not is_sealed(about):
        raise UserError(
            f"'{path}' is not as it was written (its sha256 differs): put back what was changed, or do the run anew"
        )
    try:
        options = dict(about["run"])
        about["sha256"]
        run = run_from({**options.pop("read"), **options, "select": None})
        about["data"]["name"], about["data"]["classes"], about["data"]["windows_sha256"], about["trainings"]
        about["split"]["parts"], about["split"]["subjects_in_both"], dict(about["chosen"] or {})
        about["environment"]["code_sha256"], about["environment"]["precision"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"'{path}' describes no run of this version: do the run anew") from error
    return about, run


def _result(folder: Path) -> dict[str, Any] | None:
    return read_result(folder) if (folder / RESULT).exists() else None
