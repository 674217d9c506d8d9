"""Histories of trainings as TensorBoard event files, beside the run: `tensorboard --logdir RUN/tensorboard`.

`history.jsonl` stays the truth; what TensorBoard shows is a copy of it. Before anything is added, the event files of a
training are compared with its history: rows that are missing are written, and files that say something else (of a training
that was begun anew, or cut off while they were written) are replaced. So no epoch is there twice, whatever was interrupted.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsimage.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
"""Below the run directory; in it, the trainings have the paths that they have in the run."""
HISTORY = "history.jsonl"


class Tracker:
    """Writes the trainings of a run for TensorBoard while they go on: `begin`, `epoch` after each one, `end`.

    Parameters
    ----------
    run : Path
        The run directory.

    Raises
    ------
    UserError
        If tensorboard is not installed.
    """

    def __init__(self, run: Path) -> None:
        check_installed()
        self.run = run
        self._writer: SummaryWriter | None = None
        self._last = 0.0

    def begin(self, folder: Path) -> None:
        """Begin or go on with a training of the run, once its history holds what it goes on from, or is empty.

        Parameters
        ----------
        folder : Path
            Of the training, below the run directory.
        """
        from torch.utils.tensorboard import SummaryWriter

        self.end()
        events = self.run / FOLDER / folder.relative_to(self.run)
        rows = read_history(folder / HISTORY)
        written = _written(events)
        if written != _points(rows[: len(written)]):
            for file in _event_files(events):
                file.unlink()
            written = {}
        missing = rows[len(written) :]
        self._last = rows[-1]["epoch"] if rows else 0.0
        self._writer = SummaryWriter(str(events))
        for row in missing:
            self._add(row)

    def epoch(self, row: dict[str, float]) -> None:
        """Add an epoch to the training that was begun; one that its history already held is there already."""
        if self._writer is not None and row["epoch"] > self._last:
            self._last = row["epoch"]
            self._add(row)
            self._writer.flush()

    def end(self) -> None:
        """End the training that was begun, if one was."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, row: dict[str, float]) -> None:
        assert self._writer is not None
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))


def check_installed() -> None:
    """See that there is tensorboard.

    Raises
    ------
    UserError
        If not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError("tracking needs tensorboard, which is not installed: pip install 'tsimage[track]'")


def track(run: Path) -> list[Path]:
    """Bring the event files of every training below a run directory up to its history.

    Parameters
    ----------
    run : Path

    Returns
    -------
    list of Path
        The trainings, relative to the run directory.

    Raises
    ------
    UserError
        If tensorboard is not installed.
    """
    tracker = Tracker(run)
    folders = sorted(path.parent for path in run.rglob(HISTORY))
    for folder in folders:
        events = run / FOLDER / folder.relative_to(run)
        if _written(events) != _points(read_history(folder / HISTORY)):
            tracker.begin(folder)
            tracker.end()
    return [folder.relative_to(run) for folder in folders]


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the epochs of a `history.jsonl`, without a last line that was not written to its end; none without a file."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


_Points = dict[int, dict[str, bytes]]
"""Epoch to name to value, as the bytes of the float32 that event files hold; so that NaN equals NaN."""


def _points(rows: list[dict[str, float]]) -> _Points:
    return {
        int(row["epoch"]): {name: np.float32(value).tobytes() for name, value in row.items() if name != "epoch"}
        for row in rows
    }


def _event_files(events: Path) -> list[Path]:
    return sorted(events.glob("events.out.tfevents.*"))


def _written(events: Path) -> _Points:
    """Return what the event files of a training hold, up to where one is damaged."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    found: _Points = {}
    for file in _event_files(events):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                number = np.float32(make_ndarray(value.tensor).item())
                names = found.setdefault(event.step, {})
                # a second value of one epoch is no bytes of a float32: such files never equal a history
                names[value.tag] = number.tobytes() if value.tag not in names else b""
    return found
