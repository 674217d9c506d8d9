"""Layers by the number of dimensions: 1 for signals (window, channel, time), 2 for images (window, channel, height, width)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

Norm = Literal["batch", "group"]

CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
BATCH_NORM: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}

GROUP_CHANNELS = 8
"""Channels of a group of group normalisation: it divides the 16k, 32k and 64k channels of every wide residual network."""


def normalisation(dims: int, norm: Norm, channels: int) -> Any:
    """Return a normalisation of `channels` channels, with a scale and a shift for each.

    Parameters
    ----------
    dims : {1, 2}
    norm : {"batch", "group"}
        group takes mean and deviation over 8 channels of one window, so nothing depends on the rest of the batch and
        training and evaluation compute the same: Y. Wu and K. He, "Group Normalization", arXiv:1803.08494.
    channels : int
        With group a multiple of 8.

    Returns
    -------
    Module

    Examples
    --------
    >>> normalisation(1, "group", 48).num_groups
    6
    """
    if norm == "group":
        return nn.GroupNorm(channels // GROUP_CHANNELS, channels)
    return BATCH_NORM[dims](channels)


def separable(dims: int, in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Return a 3-wide convolution of each channel by itself, then a 1-wide one across channels; neither has a bias.

    Source: A. Howard et al., "MobileNets", arXiv:1704.04861. There each half is followed by normalisation and ReLU; here
    nothing stands between the halves, and the pair takes the place of one 3-wide convolution.

    Parameters
    ----------
    dims : {1, 2}
    in_channels, out_channels : int
    stride : int
        Of the first half.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> sum(p.numel() for p in separable(1, 16, 32).parameters())  # 16 x 3 and 16 x 32, where 3 x 16 x 32 were
    560
    """
    conv = CONV[dims]
    return nn.Sequential(
        conv(in_channels, in_channels, 3, stride=stride, padding=1, groups=in_channels, bias=False),
        conv(in_channels, out_channels, 1, bias=False),
    )


class SqueezeExcitation(nn.Module):
    """Weigh each channel, from 0 to 1, by what all channels are on the average over the window.

    Source: J. Hu et al., "Squeeze-and-Excitation Networks", arXiv:1709.01507.

    Parameters
    ----------
    channels : int
    reduction : int
        The hidden layer has `channels // reduction` units; both layers have biases.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(x.flatten(2).mean(dim=2)))))
        return x * weights.unflatten(1, (-1, *[1] * (x.ndim - 2)))


def init_convolutions(module: nn.Module) -> None:
    """Draw the weights of all convolutions from a normal distribution of variance 2 / fan-out.

    The fan-out is kernel size x output channels / groups: the outputs that one input is part of.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            fan_out = layer.out_channels * math.prod(layer.kernel_size) // layer.groups
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
