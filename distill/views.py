"""What a network looks at: the raw signal, or an image stack painted from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsimage.errors import UserError, unknown
from tsimage.fields import FIELDS, parse_stack, split_stack
from tsimage.imager import Imager

if TYPE_CHECKING:
    import torch

SIGNAL = "signal"


@dataclass(frozen=True, kw_only=True)
class View:
    """A named view of windows: `signal`, or an image stack such as `gasf+mtf` with its recipe.

    Parameters
    ----------
    imager : Imager or None
        None for the raw signal.
    units : tuple of str
        Unit of each channel, for fixed scaling.
    """

    imager: Imager | None
    units: tuple[str, ...]

    @property
    def name(self) -> str:
        return SIGNAL if self.imager is None else self.imager.stack

    @property
    def dims(self) -> int:
        """1 for signals, 2 for images."""
        return 1 if self.imager is None else 2

    @property
    def channels(self) -> int:
        """Input channels of a network on this view."""
        return len(self.units if self.imager is None else self.imager.channel_names(self.units))

    def key(self) -> str:
        """Return what identifies the view: its name, or the hash of the image recipe, and the units."""
        return f"{SIGNAL if self.imager is None else self.imager.hash()}|{','.join(self.units)}"

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """Return the view of raw windows (window, channel, time): the same, or images, on the same device.

        Images are painted batch by batch when they are needed and never stored.
        """
        import torch

        if self.imager is None:
            return values
        return self.imager(values, self.units).contiguous(memory_format=torch.channels_last)


def check_view(name: str) -> str:
    """Return the name if it is a view.

    Raises
    ------
    UserError
        For an unknown view, with the nearest valid name.

    Examples
    --------
    >>> check_view("gasf+mtf")
    'gasf+mtf'
    """
    if name == SIGNAL:
        return name
    parts = [part.partition("(")[0].strip() for part in split_stack(name)]
    if SIGNAL in parts:
        raise UserError(f"view '{name}' stacks the signal with images: name two teachers, one for each")
    for part in parts:
        if part not in FIELDS:
            raise unknown("view", part, [SIGNAL, *FIELDS, "or several images joined by +, as gasf+gadf+mtf"])
    parse_stack(name)
    return name
