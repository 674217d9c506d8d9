"""The image networks of torchvision as teachers: any number of input channels, small images, and a trace.

Everything starts from scratch: no weights are downloaded.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from distill.trace import Trace
from tsimage.vision import network


class Staged(nn.Module):
    """An image network in three stages, then the mean over positions, a neck and a last linear layer.

    Parameters
    ----------
    stages : sequence of Module
        Image (window, channel, height, width) to map, map to map.
    neck : Module
        Of the mean of the last map, (window, channel), to (window, feature).
    head : Linear
        To logits.
    """

    def __init__(self, stages: list[nn.Module], neck: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.neck = neck
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (window, classes)."""
        return self.trace(x).logits

    def trace(self, x: torch.Tensor) -> Trace:
        """Return logits, the map after each of the three stages, and what the last linear layer sees."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        embedding = self.neck(x.flatten(2).mean(dim=2))
        return Trace(logits=self.head(embedding), maps=tuple(maps), embedding=embedding)


def resnet18(*, in_channels: int, classes: int) -> Staged:
    """Build ResNet-18 of torchvision with a first convolution of `in_channels`.

    Source: K. He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385. The maps are those after its
    second, third and fourth layer: 128, 256 and 512 channels at an eighth, a sixteenth and a thirty-second of the side.

    Parameters
    ----------
    in_channels, classes : int

    Returns
    -------
    Staged

    Raises
    ------
    UserError
        If torchvision does not fit the installed torch.

    Examples
    --------
    >>> [tuple(m.shape[1:]) for m in resnet18(in_channels=6, classes=4).trace(torch.zeros(2, 6, 32, 32)).maps]
    [(128, 4, 4), (256, 2, 2), (512, 1, 1)]
    """
    net = network("resnet18", num_classes=classes)
    net.conv1 = _rechannelled(net.conv1, in_channels)
    first = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2)
    return Staged([first, net.layer3, net.layer4], nn.Identity(), net.fc)


def mobilenetv3(*, in_channels: int, classes: int) -> Staged:
    """Build MobileNetV3-Small of torchvision with a first convolution of `in_channels`.

    Source: A. Howard et al., "Searching for MobileNetV3", arXiv:1905.02244. The maps are the last of 24, 48 and 576
    channels, at an eighth, a sixteenth and a thirty-second of the side. Two things differ from torchvision: there is no
    dropout, so that a seed repeats, and batch normalisation forgets with momentum 0.1 and not 0.01, which would not
    reach the statistics of a small data set within its few steps.

    Parameters
    ----------
    in_channels, classes : int

    Returns
    -------
    Staged

    Raises
    ------
    UserError
        If torchvision does not fit the installed torch.

    Examples
    --------
    >>> [tuple(m.shape[1:]) for m in mobilenetv3(in_channels=6, classes=4).trace(torch.zeros(2, 6, 32, 32)).maps]
    [(24, 4, 4), (48, 2, 2), (576, 1, 1)]
    """
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.1)
    net = network("mobilenet_v3_small", num_classes=classes, dropout=0.0, norm_layer=norm)
    net.features[0][0] = _rechannelled(net.features[0][0], in_channels)
    for layer in list(net.features.modules()):
        if isinstance(getattr(layer, "avgpool", None), nn.AdaptiveAvgPool2d):
            layer.avgpool = _Mean()
    return Staged([net.features[:4], net.features[4:9], net.features[9:]], net.classifier[:-1], net.classifier[-1])


class _Mean(nn.Module):
    """The mean over positions, to the bit that of `AdaptiveAvgPool2d(1)`, of which `torch.vmap` warns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3), keepdim=True)


def _rechannelled(conv: Any, in_channels: int) -> nn.Conv2d:
    """Return a freshly drawn convolution like `conv`, of `in_channels`."""
    fresh = nn.Conv2d(
        in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=conv.bias is not None
    )
    nn.init.kaiming_normal_(fresh.weight, mode="fan_out", nonlinearity="relu")
    return fresh
