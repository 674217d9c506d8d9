"""How a training is kept on disk while it goes on; nothing of it changes what comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from tsimage.errors import UserError, unknown

Track = Literal["nothing", "tensorboard"]


@dataclass(frozen=True, kw_only=True)
class Every:
    """How often a checkpoint is written: each so many seconds, or after each so many epochs."""

    seconds: float = 0.0
    epochs: int = 0


def parse_every(text: str) -> Every:
    """Read seconds with an s, or a number of epochs.

    Raises
    ------
    UserError
        For anything else.

    Examples
    --------
    >>> parse_every("60s"), parse_every("5")
    (Every(seconds=60.0, epochs=0), Every(seconds=0.0, epochs=5))
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s?)\s*", text)
    if match is None or (not match[2] and ("." in match[1] or int(match[1]) == 0)):
        raise UserError(
            f"checkpoint-every '{text}' is not understood: give seconds with an s (60s), or a number of epochs (5)"
        )
    return Every(seconds=float(match[1])) if match[2] else Every(epochs=int(match[1]))


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """How a training is kept on disk while it goes on."""

    checkpoint_every: str = "60s"
    """How often the training under way is written, to go on from if it is killed: seconds with an s, or a number of epochs."""
    track: Track = "nothing"
    """tensorboard copies every history to event files while it grows (pip install 'tsimage[track]')."""

    def __post_init__(self) -> None:
        parse_every(self.checkpoint_every)
        if self.track not in get_args(Track):
            raise unknown("track", self.track, get_args(Track))
        if self.track == "tensorboard":
            from distill.track import check_installed

            check_installed()

    @property
    def every(self) -> Every:
        return parse_every(self.checkpoint_every)
