"""A training that goes astray: found in the step in which it happens, with the tensor and the windows."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from tsimage.errors import UserError


class DivergenceError(UserError):
    """A training whose loss or weights are no longer finite."""


def not_finite(said: list[tuple[str, Tensor]], parts: dict[str, Tensor], ids: np.ndarray) -> str:
    """Say which tensor of a step is not finite, in which windows."""
    for what, tensor in said:
        bad = ~torch.isfinite(tensor.detach().flatten(1)).all(dim=1).cpu().numpy()
        if bad.any():
            mend = (
                "lower the learning rate" if "student" in what else "look at these windows and what was trained on them"
            )
            return f"{what} are not finite in windows {few(ids[bad])}: {mend}"
    broken = ", ".join(name for name, part in parts.items() if name != "loss" and not math.isfinite(part.item()))
    return f"{broken or 'the loss'} is not finite on windows {few(ids)}: lower the learning rate or the weight of that part"


def broken_gradients(parameters: Iterable[tuple[str, nn.Parameter]]) -> list[str]:
    """Return the names of the parameters whose gradient is not finite.

    One norm over all says whether there can be any, so that a step waits for one number and not for each.

    Examples
    --------
    >>> layer = nn.Linear(1, 1)
    >>> layer.weight.grad, layer.bias.grad = torch.tensor([[1.0]]), torch.tensor([torch.nan])
    >>> broken_gradients(layer.named_parameters())
    ['bias']
    """
    found = [(name, parameter.grad) for name, parameter in parameters if parameter.grad is not None]
    if bool(torch.isfinite(nn.utils.get_total_norm([gradient for _, gradient in found]))):
        return []
    # of large ones the squares may be infinite, though none of them is
    return [name for name, gradient in found if not bool(torch.isfinite(gradient).all())]


def few(names: Iterable[str]) -> str:
    """Name the first three, and say whether there are more.

    >>> few("abcd"), few("ab")
    ('a, b, c, ...', 'a, b')
    """
    several = list(names)
    return ", ".join(several[:3]) + (", ..." if len(several) > 3 else "")
