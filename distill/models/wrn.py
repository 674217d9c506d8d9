"""Wide residual networks for signals (1-D) and images (2-D), one definition for both.

Source: S. Zagoruyko and N. Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146: pre-activation
blocks, a 1 x 1 shortcut only where the number of channels changes, and there BN-ReLU precedes the shortcut too.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from distill.models import check_shape
from distill.trace import Trace


class Block(nn.Module):
    """Two 3-wide convolutions around which the input is added."""

    def __init__(self, dims: int, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        conv, norm = _LAYERS[dims]
        self.bn1 = norm(in_channels)
        self.conv1 = conv(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(out_channels)
        self.conv2 = conv(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut = None if in_channels == out_channels else conv(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = F.relu(self.bn1(x))
        residual = x if self.shortcut is None else self.shortcut(active)
        return residual + self.conv2(F.relu(self.bn2(self.conv1(active))))


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

    Raises
    ------
    UserError
        For a depth that is not 6 n + 4, naming the nearest that are, or a width below 1.

    Examples
    --------
    >>> student = WideResNet(dims=1, depth=16, width=1, in_channels=3, classes=14)
    >>> sum(p.numel() for p in student.parameters())
    61374
    """

    def __init__(self, *, dims: int, depth: int, width: int, in_channels: int, classes: int) -> None:
        super().__init__()
        check_shape(depth, width)
        conv, norm = _LAYERS[dims]
        blocks = (depth - 4) // 6
        self.stem = conv(in_channels, 16, 3, padding=1, bias=False)
        groups, channels = [], 16
        for out_channels, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
            layers = []
            for block in range(blocks):
                layers.append(Block(dims, channels, out_channels, stride if block == 0 else 1))
                channels = out_channels
            groups.append(nn.Sequential(*layers))
        self.groups = nn.Sequential(*groups)
        self.bn = norm(channels)
        self.head = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                fan_out = module.out_channels * math.prod(module.kernel_size)
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))

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


_LAYERS = {1: (nn.Conv1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.BatchNorm2d)}
