"""A training that goes astray: found in the step in which it happens, with the tensor and the windows."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tsimage.errors import UserError


class DivergenceError(UserError):
    """A training whose loss or weights are no longer finite."""


def not_finite(said: list[tuple[str, Tensor]], parts: dict[str, Tensor], ids: np.ndarray) -> str:
    """Say which tensor of a step is not finite, in which windows."""
    for what, tensor in said:
        bad = ~torch.isfinite(tensor.detach().flatten(1)).all(dim=1).cpu().numpy()
        if bad.any():
            named = ", ".join(ids[bad][:3]) + (", ..." if bad.sum() > 3 else "")
            mend = (
                "lower the learning rate" if "student" in what else "look at these windows and what was trained on them"
            )
            return f"{what} are not finite in windows {named}: {mend}"
    broken = ", ".join(name for name, part in parts.items() if name != "loss" and not math.isfinite(part.item()))
    return f"{broken or 'the loss'} is not finite on windows {', '.join(ids[:3])}, ...: lower the learning rate or the weight of that part"
