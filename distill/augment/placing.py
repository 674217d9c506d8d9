"""Drawn numbers brought to the tensor that they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def placed(drawn: np.ndarray, values: Tensor) -> Tensor:
    """Return drawn numbers on the device of `values`: fractions in their type, indices and masks in their own.

    Parameters
    ----------
    drawn : ndarray
        float32, float64, int64 or bool.
    values : Tensor

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import torch
    >>> placed(np.array([0.5]), torch.zeros(1)), placed(np.array([3]), torch.zeros(1))
    (tensor([0.5000]), tensor([3]))
    """
    import torch

    tensor = torch.from_numpy(drawn)
    # first the type, then the device: MPS has no float64
    return (tensor.to(values.dtype) if drawn.dtype.kind == "f" else tensor).to(values.device)
