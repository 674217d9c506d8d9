"""How a training is kept on disk while it goes on; nothing of it changes what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from distill.checkpoint import Every, parse_every
from tsimage.errors import unknown

Track = Literal["nothing", "tensorboard"]


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
