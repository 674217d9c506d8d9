"""Per-channel standardisation as the first layer, so that a trained network takes raw physical units."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from distill.trace import Trace


class Standardize(nn.Module):
    """Subtract a mean and divide by a standard deviation, one of each per channel; neither is trained.

    Parameters
    ----------
    mean, std : Tensor, shape (channel,)
        Of the TRAINING windows only; a channel without spread is only shifted.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean[:, None].float())
        self.register_buffer("std", torch.where(std > 0, std, torch.ones_like(std))[:, None].float())

    @classmethod
    def fit(cls, values: torch.Tensor) -> Standardize:
        """Measure mean and standard deviation of windows (window, channel, time), in float64."""
        wide = values.to("cpu", torch.float64)
        return cls(wide.mean(dim=(0, 2)), wide.std(dim=(0, 2), correction=0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


class Standardized(nn.Sequential):
    """A network behind its standardisation."""

    def __init__(self, standardize: Standardize, network: nn.Module) -> None:
        super().__init__(standardize, network)

    def trace(self, x: torch.Tensor) -> Trace:
        """Return what the network shows of raw signals; see `distill.trace.Trace`."""
        network: Any = self[1]
        return network.trace(self[0](x))


def name_in_network(model: nn.Module, name: str) -> str:
    """Return what a parameter of a model is called in its network, whatever standardises before that.

    Examples
    --------
    >>> model = Standardized(Standardize(torch.zeros(2), torch.ones(2)), nn.Linear(2, 3))
    >>> [name_in_network(model, name) for name, _ in model.named_parameters()]
    ['weight', 'bias']
    """
    return name.removeprefix("1.") if isinstance(model, Standardized) else name
