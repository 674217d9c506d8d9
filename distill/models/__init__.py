"""Networks by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tsimage.errors import unknown

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
    from distill.models.wrn import check_shape

    depth, width = int(match[1]), int(match[2])
    check_shape(depth, width)
    return depth, width


def build_model(name: str, *, dims: int, in_channels: int, classes: int) -> nn.Module:
    """Build a network by name for signals (`dims=1`) or images (`dims=2`), freshly initialised.

    Raises
    ------
    UserError
        For an unknown name.

    Examples
    --------
    >>> model = build_model("wrn16-3", dims=2, in_channels=3, classes=14)
    >>> sum(p.numel() for p in model.parameters())
    1550302
    """
    from distill.models.wrn import WideResNet

    depth, width = parse_model(name)
    return WideResNet(dims=dims, depth=depth, width=width, in_channels=in_channels, classes=classes)
