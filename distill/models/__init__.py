"""Networks by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tsimage.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

MODELS = ("wrn16-1", "wrn16-3", "wrn28-1", "wrn28-3")
"""The networks of the field; any `wrnD-K` with D = 6 n + 4 is valid."""


def parse_model(name: str) -> tuple[int, int]:
    """Return depth and width of a network name.

    Raises
    ------
    UserError
        For a name that is not `wrnD-K`, or a depth that is no WRN depth.

    Examples
    --------
    >>> parse_model("wrn28-3")
    (28, 3)
    """
    match = re.fullmatch(r"wrn(\d+)-(\d+)", name)
    if match is None:
        raise unknown("network", name, [*MODELS, "or any wrnD-K with D = 6 n + 4"])
    depth, width = int(match[1]), int(match[2])
    check_shape(depth, width)
    return depth, width


def check_shape(depth: int, width: int) -> None:
    """Refuse a depth that is not 6 n + 4 and a width below 1."""
    if depth < 10 or (depth - 4) % 6:
        below = max(10, depth - (depth - 4) % 6)
        nearest = sorted({below, below + 6 if depth > 10 else 10})
        raise UserError(
            f"depth {depth} is no WRN depth: it must be 6 n + 4 with n >= 1 blocks in each group; "
            f"nearest: {' and '.join(map(str, nearest))}"
        )
    if width < 1:
        raise UserError(f"width {width} is no WRN width: it must be at least 1")


def build_model(name: str, *, dims: int, in_channels: int, classes: int) -> nn.Module:
    """Build a network by name, freshly initialised from torch's random state.

    Parameters
    ----------
    name : str
        `wrnD-K`: a wide residual network of depth D and width K.
    dims : {1, 2}
        1 for signals (window, channel, time), 2 for images (window, channel, height, width).
    in_channels : int
        Channels of the input.
    classes : int
        Logits per window.

    Returns
    -------
    Module

    Raises
    ------
    UserError
        For an unknown name or an impossible depth or width.

    Examples
    --------
    >>> model = build_model("wrn16-3", dims=2, in_channels=3, classes=14)
    >>> sum(p.numel() for p in model.parameters())
    1550302
    """
    from distill.models.wrn import WideResNet

    depth, width = parse_model(name)
    return WideResNet(dims=dims, depth=depth, width=width, in_channels=in_channels, classes=classes)
