"""Wide residual networks for signals (1-D) and images (2-D), one definition for both, and their light variants.

Source: S. Zagoruyko and N. Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146: pre-activation
blocks, a 1 x 1 shortcut only where the number of channels changes, and there BN-ReLU precedes the shortcut too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from distill.models import check_shape
from distill.models.layers import CONV, Norm, SqueezeExcitation, init_convolutions, normalisation, separable
from distill.trace import Trace


class Block(nn.Module):
    """Two 3-wide convolutions around which the input is added."""

    def __init__(
        self,
        dims: int,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        norm: Norm,
        is_separable: bool,
        excitation: bool,
    ) -> None:
        super().__init__()
        wide: Callable[[int, int, int, int], nn.Module] = separable if is_separable else _plain
        self.bn1 = normalisation(dims, norm, in_channels)
        self.conv1 = wide(dims, in_channels, out_channels, stride)
        self.bn2 = normalisation(dims, norm, out_channels)
        self.conv2 = wide(dims, out_channels, out_channels, 1)
        self.excitation = SqueezeExcitation(out_channels) if excitation else None
        self.shortcut = (
            None if in_channels == out_channels else CONV[dims](in_channels, out_channels, 1, stride, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = F.relu(self.bn1(x))
        residual = x if self.shortcut is None else self.shortcut(active)
        change = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return residual + (change if self.excitation is None else self.excitation(change))


class WideResNet(nn.Module):
    """WRN-d-k over signals (window, channel, time) or images (window, channel, height, width).

    Parameters
    ----------
    dims : {1, 2}
        1 for signals, 2 for images.
    depth : int
        d = 6 n + 4 with n >= 1 blocks in each of three groups of 16k, 32k and 64k channels, strides 1, 2, 2.
    width : int
        k >= 1.
    in_channels, classes : int
    norm : {"batch", "group"}
        What stands where the paper has batch normalisation; see `distill.models.layers.normalisation`.
    separable : bool
        Replace both 3-wide convolutions of each block by a depthwise-separable pair (MobileNets, arXiv:1704.04861);
        the first convolution of the network and the shortcuts stay.
    excitation : bool
        Weigh the channels that come out of the second convolution of each block by squeeze-excitation with
        reduction 4 (arXiv:1709.01507), before the input is added.

    Raises
    ------
    UserError
        For a depth that is not 6 n + 4, naming the nearest that are, or a width below 1.

    Examples
    --------
    >>> student = WideResNet(dims=1, depth=16, width=1, in_channels=3, classes=14)
    >>> sum(p.numel() for p in student.parameters())
    61374
    >>> light = WideResNet(dims=1, depth=16, width=1, in_channels=3, classes=14, separable=True)
    >>> sum(p.numel() for p in light.parameters())
    24686
    """

    def __init__(
        self,
        *,
        dims: int,
        depth: int,
        width: int,
        in_channels: int,
        classes: int,
        norm: Norm = "batch",
        separable: bool = False,
        excitation: bool = False,
    ) -> None:
        super().__init__()
        check_shape(depth, width)
        blocks = (depth - 4) // 6
        self.stem = CONV[dims](in_channels, 16, 3, padding=1, bias=False)
        groups, channels = [], 16
        for out_channels, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
            layers = []
            for block in range(blocks):
                layers.append(
                    Block(
                        dims,
                        channels,
                        out_channels,
                        stride if block == 0 else 1,
                        norm=norm,
                        is_separable=separable,
                        excitation=excitation,
                    )
                )
                channels = out_channels
            groups.append(nn.Sequential(*layers))
        self.groups = nn.Sequential(*groups)
        self.bn = normalisation(dims, norm, channels)
        self.head = nn.Linear(channels, classes)
        init_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (window, classes)."""
        return self.trace(x).logits

    def trace(self, x: torch.Tensor) -> Trace:
        """Return logits, the map after each of the three groups (of the last after BN and ReLU), and the pooled last one."""
        maps = []
        x = self.stem(x)
        for group in self.groups:
            x = group(x)
            maps.append(x)
        maps[-1] = F.relu(self.bn(x))
        embedding = maps[-1].flatten(2).mean(dim=2)
        return Trace(logits=self.head(embedding), maps=tuple(maps), embedding=embedding)


def _plain(dims: int, in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return CONV[dims](in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
