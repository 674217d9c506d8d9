"""The recipe of a set of images, and how it is applied to windows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from tsimage.errors import UserError, unknown
from tsimage.fields import FIELDS, parse_stack
from tsimage.fields.gramian import Order
from tsimage.segments import Segmentation, segment_bounds
from tsimage.windows import Windows

FIXED_RANGE = {"g": 2.0, "m/s^2": 2 * 9.80665, "rad/s": 10.0, "deg/s": 573.0}
"""Half-width of the fixed range that `scaling="fixed"` maps to [-1, 1], by unit: 2 g, and 10 rad/s."""

SUSPICIOUS_SHARE = 0.1
"""With more samples than this outside the fixed range, the unit is probably wrong."""

_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Imager:
    """A frozen recipe that paints windows: one image per field and channel, stacked as channels.

    Parameters
    ----------
    stack : str
        Fields joined by `+`, such as `gasf` or `gasf+gadf+mtf`.
    size : int
        Side S of the square images, at most the samples in a window.
    scaling : str
        How Gramian fields scale a series to [-1, 1] (MTF ranks its samples and needs none). `fixed` maps
        a fixed physical range by the channel's unit (see `FIXED_RANGE`) and clips what lies outside, so
        gravity and amplitude stay visible; `fixed:g=4,rad/s=20` changes half-widths. `window` scales each
        window's axis by its own minimum and maximum, as in the paper: only the shape stays.
    bins : int
        Quantile bins of the Markov transition field, Q >= 2.
    order : {"paa-then-scale", "scale-then-paa"}
        Where Gramian fields scale (pyts; or Wang & Oates).
    segmentation : {"pyts", "array_split", "truncate"}
        See `tsimage.segments.segment_bounds`.
    dtype : {"float32", "float64"}
        Of the images. Scaling and averaging run in float64 either way, except on devices without it.

    Raises
    ------
    UserError
        For an unknown field, scaling or unit.

    Examples
    --------
    >>> rest = np.zeros((2, 3, 100), dtype=np.float32)
    >>> Imager(stack="gasf+mtf", size=32)(rest, units=("g", "g", "g")).shape
    (2, 6, 32, 32)
    """

    stack: str = "gasf"
    size: int = 32
    scaling: str = "fixed"
    bins: int = 8
    order: Order = "paa-then-scale"
    segmentation: Segmentation = "pyts"
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        parse_stack(self.stack)
        _half_widths(self.scaling)
        if self.dtype not in ("float32", "float64"):
            raise unknown("image dtype", str(self.dtype), ["float32", "float64"])
        if self.size < 1:
            raise UserError(f"size {self.size} is not allowed: images have at least 1 pixel on a side")
        if self.bins < 2:
            raise UserError(
                f"bins {self.bins} is not allowed: a Markov transition field needs at least 2 quantile bins"
            )
        for name, used, field in (("scaling", self.is_gramian, "gasf or gadf"), ("bins", "mtf" in self.fields, "mtf")):
            if not used and getattr(self, name) != Imager.__dataclass_fields__[name].default:
                raise UserError(
                    f"{name} {getattr(self, name)} does nothing for the images {self.stack}: it is for {field}"
                )

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields of the stack."""
        return parse_stack(self.stack)

    def recipe(self) -> dict[str, Any]:
        """Return everything that decides the pixels, ready for JSON."""
        recipe = dataclasses.asdict(self)
        if self.scaling != "window":
            recipe["half_widths"] = _half_widths(self.scaling)
        return recipe

    def hash(self) -> str:
        """Return the sha256 of the recipe."""
        return hashlib.sha256(json.dumps(self.recipe(), sort_keys=True).encode()).hexdigest()

    def channel_names(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Name the channels of the images: `gasf:acc-x, gasf:acc-y, ..., mtf:acc-z`."""
        return tuple(f"{field}:{channel}" for field in self.fields for channel in channels)

    def limits(self, units: Sequence[str]) -> np.ndarray | None:
        """Return the fixed range of each channel, shape (channel, 2), or None when each window sets its own.

        Raises
        ------
        UserError
            If a unit has no fixed range.
        """
        half_widths = _half_widths(self.scaling)
        if half_widths is None:
            return None
        for unit in half_widths:
            if unit not in FIXED_RANGE and unit not in units:
                raise UserError(
                    f"scaling '{self.scaling}' gives a range for the unit '{unit}', which no channel has: the channels are "
                    f"in {', '.join(dict.fromkeys(u or 'unknown units' for u in units))}"
                )
        for unit in units:
            if unit not in half_widths:
                raise UserError(
                    f"scaling '{self.scaling}' has no fixed range for the unit '{unit}': state the units of the "
                    f"channels (option units: {', '.join(half_widths)}), or give the range as scaling "
                    f"'fixed:{unit or 'UNIT'}=VALUE', or use scaling 'window'"
                )
        return np.array([(-half_widths[u], half_widths[u]) for u in units])

    @property
    def is_gramian(self) -> bool:
        """Whether the stack holds a Gramian field, which needs a scaling."""
        return bool({"gasf", "gadf"} & set(self.fields))

    def clipped_share(self, windows: Windows) -> float:
        """Return the share of raw samples outside the fixed range, 0 with per-window scaling.

        Averaging comes before clipping (order paa-then-scale), so fewer segments than samples are clipped.
        """
        limits = self.limits(windows.units) if self.is_gramian else None
        return 0.0 if limits is None else float(np.mean(np.abs(windows.values) > limits[None, :, 1:]))

    def notes(self, windows: Windows) -> list[str]:
        """Say in words what a user should know before looking at images of these windows."""
        notes = [f"Images {self.stack}: {self.size} x {self.size}"]
        if self.is_gramian:
            notes[0] += f", scaling {self.scaling}"
            if self.scaling != "window":
                share = self.clipped_share(windows)
                notes[0] += f" ({100 * share:.2f} % of samples lie outside the range)"
                if share > SUSPICIOUS_SHARE:
                    units = ", ".join(dict.fromkeys(windows.units))
                    notes.append(f"WARNING: so many samples outside the range: are the channels really in {units}?")
        if "mtf" in self.fields and windows.length - 1 < 5 * self.bins**2:
            notes.append(
                f"Images {self.stack}: {windows.length - 1} transitions make a noisy {self.bins} x {self.bins} matrix for "
                f"the Markov field; {5 * self.bins**2} or more are advised: fewer bins or longer windows"
            )
        return notes

    def check(self, length: int, units: Sequence[str]) -> None:
        """Raise the UserError that painting windows of `length` samples in these units would raise."""
        segment_bounds(length, self.size, self.segmentation)
        if self.is_gramian:
            self.limits(units)

    def __call__(self, x: Any, units: Sequence[str] | None = None, *, out: Any = None) -> Any:
        """Paint windows.

        Parameters
        ----------
        x : Windows, or array or tensor of shape (window, channel, time)
        units : sequence of str, optional
            Unit of each channel; needed for arrays when the scaling is fixed.
        out : ndarray, shape (window, field*channel, size, size), optional
            Where to write; only for NumPy input.

        Returns
        -------
        array or tensor, shape (window, field*channel, size, size)
            On the device of `x`; Gramian fields in [-1, 1], Markov transition fields in [0, 1].

        Raises
        ------
        UserError
            If the windows are shorter than the image, a unit has no fixed range, or a value is not finite.
        """
        if isinstance(x, Windows):
            x, units = x.values, x.units
        if len(x.shape) != 3:
            raise UserError(f"cannot paint an array of shape {tuple(x.shape)}: give (window, channel, time)")
        n, n_channels, length = (int(s) for s in x.shape)
        units = ("",) * n_channels if units is None else tuple(units)
        if len(units) != n_channels:
            raise UserError(f"{len(units)} units for {n_channels} channels: give one unit per channel")
        self.check(length, units)
        xp = array_namespace(x)
        finite = xp.all(xp.all(xp.isfinite(x), axis=2), axis=1)
        if not bool(xp.all(finite)):
            window = int(xp.argmin(xp.astype(finite, xp.int64)))
            raise UserError(f"window {window} holds NaN or infinity: fill or remove these samples before imaging")
        shape = (n, len(self.fields) * n_channels, self.size, self.size)
        if not is_numpy_array(x):
            if out is not None:
                raise UserError("out= is only for NumPy arrays; a tensor comes back on the device of the input")
            return self._paint(x, units)
        out = np.empty(shape, dtype=self.dtype) if out is None else out
        if out.shape != shape:
            raise UserError(f"out has shape {out.shape}, the images need {shape}")
        chunk = max(1, _CHUNK_BYTES // (8 * n_channels * max(length * self.bins, self.size**2)))
        for start in range(0, n, chunk):
            out[start : start + chunk] = self._paint(x[start : start + chunk], units)
        return out

    def _paint(self, x: Any, units: Sequence[str]) -> Any:
        xp = array_namespace(x)
        on_mps = str(device(x)).startswith("mps")
        x = xp.astype(x, xp.float32 if on_mps else xp.float64, copy=False)
        shared = {"dtype": getattr(xp, self.dtype), "segmentation": self.segmentation}
        images = []
        for name in self.fields:
            if name == "mtf":
                images.append(FIELDS[name](x, self.size, bins=self.bins, **shared))
            else:
                images.append(FIELDS[name](x, self.size, limits=self.limits(units), order=self.order, **shared))
        return images[0] if len(images) == 1 else xp.concat(images, axis=1)


def _half_widths(scaling: str) -> dict[str, float] | None:
    """Parse a scaling into half-widths by unit; None for per-window scaling."""
    kind, _, overrides = scaling.partition(":")
    if kind not in ("fixed", "window") or (kind == "window" and overrides):
        raise unknown("scaling", scaling, ["fixed", "window", "fixed:UNIT=HALFWIDTH,..."])
    if kind == "window":
        return None
    half_widths = dict(FIXED_RANGE)
    for override in filter(None, overrides.split(",")):
        unit, equals, text = override.partition("=")
        try:
            half_width = float(text)
        except ValueError:
            half_width = float("nan")
        if not (unit and equals and 0 < half_width < float("inf")):
            raise UserError(
                f"scaling '{scaling}' is not understood at '{override}': give UNIT=HALFWIDTH with a positive number, "
                "as in fixed:g=4"
            )
        half_widths[unit] = half_width
    return half_widths
