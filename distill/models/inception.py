"""The network of InceptionTime for signals.

Source: H. Ismail Fawaz et al., "InceptionTime: Finding AlexNet for Time Series Classification", arXiv:1909.04939. The
paper's classifier is the mean of five such networks; this is one.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from distill.trace import Trace

FILTERS = 32
KERNELS = (40, 20, 10)
MODULES = 6


class Module(nn.Module):
    """Convolutions 40, 20 and 10 wide behind a bottleneck, and one 1 wide behind a maximum, side by side.

    Parameters
    ----------
    in_channels : int
        The bottleneck to 32 channels is left out for a single channel, as in the paper's code.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        narrow = FILTERS if in_channels > 1 else in_channels
        self.bottleneck = nn.Conv1d(in_channels, narrow, 1, bias=False) if in_channels > 1 else None
        self.convolutions = nn.ModuleList(nn.Conv1d(narrow, FILTERS, kernel, bias=False) for kernel in KERNELS)
        self.pooled = nn.Conv1d(in_channels, FILTERS, 1, bias=False)
        self.bn = nn.BatchNorm1d(FILTERS * (len(KERNELS) + 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        narrow = x if self.bottleneck is None else self.bottleneck(x)
        # the kernels are even: the sample that is left over is padded at the end, as TensorFlow does
        branches = [
            convolution(F.pad(narrow, ((kernel - 1) // 2, kernel // 2)))
            for convolution, kernel in zip(self.convolutions, KERNELS, strict=True)
        ]
        branches.append(self.pooled(F.max_pool1d(x, 3, stride=1, padding=1)))
        return F.relu(self.bn(torch.cat(branches, dim=1)))


class Shortcut(nn.Sequential):
    """What is added after three modules: their input, brought to the same channels and normalised."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv1d(in_channels, out_channels, 1, bias=False), nn.BatchNorm1d(out_channels))


class Inception(nn.Module):
    """Six inception modules of 128 channels over signals (window, channel, time), with a shortcut around each three.

    Nothing is strided, so every map is as long as the signal. Convolutions start as the paper's code does, uniform
    after Glorot.

    Parameters
    ----------
    in_channels, classes : int

    Examples
    --------
    >>> sum(p.numel() for p in Inception(in_channels=3, classes=14).parameters())
    491854
    """

    def __init__(self, *, in_channels: int, classes: int) -> None:
        super().__init__()
        channels = FILTERS * (len(KERNELS) + 1)
        self.blocks = nn.ModuleList(Module(channels if i else in_channels) for i in range(MODULES))
        self.shortcuts = nn.ModuleList(Shortcut(channels if i else in_channels, channels) for i in range(MODULES // 3))
        self.head = nn.Linear(channels, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (window, classes)."""
        return self.trace(x).logits

    def trace(self, x: torch.Tensor) -> Trace:
        """Return logits, the map after each two modules (the last with its shortcut added), and the pooled last one."""
        maps, before = [], x
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number % 3 == 0:
                x = F.relu(x + self.shortcuts[number // 3 - 1](before))
                before = x
            if number % 2 == 0:
                maps.append(x)
        embedding = x.mean(dim=2)
        return Trace(logits=self.head(embedding), maps=tuple(maps), embedding=embedding)
