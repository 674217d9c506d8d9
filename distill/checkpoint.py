"""What a training needs to go on as if it had never stopped, in one file that is there whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from distill.keeping import Every
from distill.sealed import pack, unpack
from tsimage import atomic
from tsimage.errors import UserError

NAME = "checkpoint.safetensors"
REPLAY = "replay.safetensors"
"""Of a step whose loss was not finite: the state before it, as a checkpoint, and its windows."""


class Checkpoints:
    """The place of a training's checkpoint, and when it is due.

    Parameters
    ----------
    folder : Path
        Of the training.
    key : str
        What the training is; a checkpoint of another is refused.
    every : Every
    """

    def __init__(self, folder: Path, key: str, every: Every) -> None:
        self.path, self.replay_path = folder / NAME, folder / REPLAY
        self.key, self.every = key, every
        self._last = time.monotonic()

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the state that was written last, None if none was.

        Raises
        ------
        UserError
            If it is damaged, or of another training.
        """
        if not self.path.exists():
            return None
        tensors, about = unpack(self.path)
        if about.get("key") != self.key:
            raise UserError(
                f"'{self.path}' is of another training: remove it, and this training starts from the beginning"
            )
        return tensors, about

    def is_due(self, ended: int | None = None) -> bool:
        """Whether to write one after a step, or after the epoch that `ended`."""
        if ended is not None and self.every.epochs:
            return ended % self.every.epochs == 0
        return not self.every.epochs and time.monotonic() - self._last >= self.every.seconds

    def write(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Replace the checkpoint."""
        atomic.write_bytes(self.path, pack(tensors, {**about, "key": self.key}))
        self._last = time.monotonic()

    def write_replay(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Write the state before a step that failed, and what the step saw; renamed to the checkpoint, the step is done again."""
        atomic.write_bytes(self.replay_path, pack(tensors, {**about, "key": self.key}))

    def remove(self) -> None:
        """Remove what a training that ended needs no more."""
        self.path.unlink(missing_ok=True)
        self.replay_path.unlink(missing_ok=True)
