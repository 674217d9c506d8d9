"""What becomes of series that cannot be painted as they are: with NaN or infinity, or that never move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from tsimage.errors import UserError
from tsimage.fields import Layer
from tsimage.gaps import check_missing, fill_gaps
from tsimage.segments import Segmentation, segment_bounds

ConstantPolicy = Literal["flag", "zero", "nan", "raise"]


def check_finite(x: Any, names: Sequence[str], advice: str = "") -> None:
    """Raise a UserError that names the first window and channel of (window, channel, time) with NaN or infinity."""
    xp = array_namespace(x)
    with np.errstate(over="ignore", invalid="ignore"):
        if bool(xp.isfinite(xp.sum(x))):  # one quick pass; a sum that overflows says nothing
            return
    each = xp.all(xp.isfinite(x), axis=2)
    if not bool(xp.all(each)):
        finite = np.asarray(each.tolist(), dtype=bool)
        window, channel = np.argwhere(~finite)[0]
        raise UserError(
            f"window {window}, channel '{names[channel]}' holds NaN or infinity "
            f"({int((~finite).any(axis=1).sum())} of {len(finite)} windows do): fill or remove these samples{advice}"
        )


def filled(
    x: Any, missing: str, rate_hz: float | None, names: Sequence[str], ids: Sequence[str] | None = None
) -> tuple[Any, np.ndarray | None]:
    """Fill the gaps of windows as `missing` says; with `mask`, also tell which samples were missing."""
    check_missing(missing)
    xp = array_namespace(x)
    values = x if is_numpy_array(x) else x.detach().cpu().numpy()
    full, flags = fill_gaps(values, None if missing == "mask" else missing, rate_hz, names, ids)
    gone = np.isnan(values) if missing == "mask" and flags.any() else None
    if not flags.any():
        return x, None
    return (full if is_numpy_array(x) else xp.asarray(full, device=device(x))), gone


def refuse_masked(dtype: str) -> None:
    """Raise a UserError: whole numbers know no NaN."""
    raise UserError(f"masked pixels are NaN, which {dtype} cannot store: choose dtype float32 or float16, or fill gaps")


def constant_series(x: Any) -> np.ndarray:
    """Tell which series never move, or only within rounding: bool, shape (window, channel)."""
    xp = array_namespace(x)
    low, high = (_as_float64(extreme(x, axis=2)) for extreme in (xp.min, xp.max))
    rounding = 10 * np.finfo(np.float64).eps * np.maximum(1.0, np.maximum(np.abs(low), np.abs(high)))
    return high - low <= rounding


def _as_float64(x: Any) -> np.ndarray:
    """Return a few values as NumPy's: the differences of small whole numbers overflow, and bools have none."""
    if is_numpy_array(x):
        return x.astype(np.float64)
    return np.asarray(x.tolist(), dtype=np.float64).reshape(tuple(x.shape))


def refuse_constant(constant: np.ndarray, names: Sequence[str], ids: Sequence[str] | None = None) -> None:
    """Raise a UserError that names the first window and channel that never move."""
    if constant.any():
        window, channel = np.argwhere(constant)[0]
        raise UserError(
            f"window {window if ids is None else repr(str(ids[window]))}, channel '{names[channel]}' is constant ({int(constant.any(axis=1).sum())} of "
            f"{len(constant)} windows have such a channel): leave it out, or choose constant-series flag, zero or nan"
        )


def seen(layer: Layer, length: int, size: int, segmentation: Segmentation) -> np.ndarray:
    """Tell which samples each row and column of an image is painted from: bool, shape (size, length).

    Fields whose axes are not the time of the series see all samples everywhere.
    """
    table = np.zeros((size, length), dtype=bool)
    if not layer.field.timed:
        table[:] = True
        return table
    reach = (layer.options.get("dimension", 1) - 1) * layer.options.get("delay", 1)
    bounds = segment_bounds(length, size + reach, segmentation)
    for row in range(size):
        for segment in range(row, row + reach + 1, layer.options.get("delay", 1)):
            table[row, bounds[segment, 0] : bounds[segment, 1]] = True
    return table


def hidden_pixels(layers: Sequence[Layer], gone: np.ndarray, size: int, segmentation: Segmentation) -> np.ndarray:
    """Tell which pixels see a sample that is `gone` (window, channel, time): bool, (window, image channel, S, S)."""
    blocks = []
    for layer in layers:
        lost = gone.any(axis=1, keepdims=True) if layer.field.joint else gone
        rows = lost.astype(np.int64) @ seen(layer, gone.shape[2], size, segmentation).T.astype(np.int64) > 0
        blocks.append(rows[..., :, None] | rows[..., None, :])
    return np.concatenate(blocks, axis=1)


def overpaint(images: Any, where: np.ndarray, value: np.ndarray) -> Any:
    """Return images (window, image channel, S, S) with `value` `where` it is True; NumPy arrays are changed in place."""
    if is_numpy_array(images):
        np.copyto(images, value, where=where, casting="unsafe")
        return images
    xp = array_namespace(images)
    on = device(images)
    return xp.where(xp.asarray(where, device=on), xp.asarray(value, dtype=images.dtype, device=on), images)
