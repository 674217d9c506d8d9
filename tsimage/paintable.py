"""What can be painted, and what can be painted into: arrays are checked before the first pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from tsimage.errors import UserError
from tsimage.policies import check_finite

HOW_TO_FILL = ", or paint with imager(x, missing='0.2s') to fill gaps of NaN up to 0.2 s, or missing='mask'"


def real_windows(x: Any) -> Any:
    """Return windows as an array or tensor of real numbers, shape (window, channel, time) with at least one window."""
    if not isinstance(x, np.ndarray) and not is_array_api_obj(x):
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise UserError(f"cannot paint windows of unequal length ({error}): cut them to one length") from error
    if len(x.shape) != 3:
        raise UserError(f"cannot paint an array of shape {tuple(x.shape)}: give (window, channel, time)")
    if 0 in x.shape:
        raise UserError(f"cannot paint an array of shape {tuple(x.shape)}: there are no windows in it")
    if not (
        x.dtype.kind in "fiub"
        if isinstance(x, np.ndarray)
        else not array_namespace(x).isdtype(x.dtype, "complex floating")
    ):
        raise UserError(f"cannot paint values of type {x.dtype}: give real numbers")
    return x


def checked_output(out: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return `out` if images of this shape and type can be written into it, else raise a UserError."""
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.dtype(dtype):
        got = f"{out.dtype} of shape {tuple(out.shape)}" if hasattr(out, "dtype") else type(out).__name__
        raise UserError(f"out is {got}: the images need a NumPy array of {dtype} and shape {shape}")
    if not out.flags.writeable:
        raise UserError("out is read-only: give an array that images can be written into, as a copy of it")
    return out


def check_block(x: np.ndarray, names: Sequence[str], block: np.ndarray) -> None:
    """Raise the UserError about all windows `x` if a value of this block of them is not finite."""
    from tsimage.kernels import is_finite

    if block.dtype not in (np.float32, np.float64) or not is_finite(block):
        check_finite(x, names, HOW_TO_FILL)
