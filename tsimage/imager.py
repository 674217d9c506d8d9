"""The recipe of a set of images, and how it is applied to windows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any, Literal, Self, get_args

import numpy as np

from tsimage.blocks import blocks
from tsimage.errors import UserError, unknown
from tsimage.fields import FIELDS, Layer, parse_stack
from tsimage.fields.gramian import Order, check_target
from tsimage.fields.markov import MarkovModel, merged_bins
from tsimage.gaps import fill_gaps
from tsimage.paintable import HOW_TO_FILL, check_block, checked_output, real_windows
from tsimage.painting import paint_array, paint_layer, paint_tensor
from tsimage.policies import (
    ConstantPolicy,
    check_finite,
    constant_series,
    filled,
    hidden_pixels,
    overpaint,
    refuse_constant,
    refuse_masked,
)
from tsimage.quantisation import LEVELS, encode
from tsimage.scaling import fixed_limits, half_widths
from tsimage.segments import Segmentation, paa, segment_bounds
from tsimage.windows import Windows

Dtype = Literal["float32", "float64", "float16", "uint8", "uint16"]
Engine = Literal["auto", "numpy"]
_ENGINES = get_args(Engine)
_WORDS = {"dtype": Dtype, "order": Order, "segmentation": Segmentation, "constant_series": ConstantPolicy}

SUSPICIOUS_SHARE = 0.1
"""With more samples than this outside the fixed range, the unit is probably wrong."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Imager:
    """A frozen recipe that paints windows: one image per field and channel, stacked as channels.

    Parameters
    ----------
    stack : str
        Fields joined by `+`, with options in brackets where needed: `gasf`, `gasf+gadf+mtf(bins=4)`,
        `rp(dimension=2,delay=3)`. `tsimage fields` lists them all.
    size : int
        Side S of the square images; at most the samples in a window where a field averages the series.
    scaling : str
        How Gramian fields and persistence images scale a series (the others take it as it is). `fixed` maps a fixed
        physical range by the channel's unit (see `tsimage.scaling.FIXED_RANGE`) and clips what lies outside, so gravity and amplitude
        stay visible; `fixed:g=4,rad/s=20` changes half-widths. `window` scales each window's axis by its own minimum
        and maximum, as in the paper: only the shape stays.
    target : (float, float)
        The range inside [-1, 1] that is scaled to: (-1, 1), or (0, 1), from which the diagonal of a GASF gives the
        series back.
    order : {"paa-then-scale", "scale-then-paa"}
        Where Gramian fields scale (pyts; or Wang & Oates).
    segmentation : {"pyts", "overlapping", "array_split", "truncate"}
        See `tsimage.segments.segment_bounds`.
    constant_series : {"flag", "zero", "nan", "raise"}
        What becomes of a series that never moves, whose image is no picture of a movement: painted as the definition
        says and flagged in stores, painted 0, painted NaN, or refused. A joint image counts as constant when all
        channels are.
    dtype : {"float32", "float64", "float16", "uint8", "uint16"}
        Of the images. Scaling and averaging run in float64 either way, except on devices without it. Whole numbers
        stand for values as `tsimage.quantisation` says, and need fields of a known range.

    Raises
    ------
    UserError
        For an unknown field, option, scaling or unit, a size below 1, or an option that does nothing for the stack.

    Examples
    --------
    >>> rest = np.zeros((2, 3, 100), dtype=np.float32)
    >>> Imager(stack="gasf+mtf", size=32)(rest, units=("g", "g", "g")).shape
    (2, 6, 32, 32)
    """

    stack: str = "gasf"
    size: int = 32
    scaling: str = "fixed"
    target: tuple[float, float] = (-1.0, 1.0)
    order: Order = "paa-then-scale"
    segmentation: Segmentation = "pyts"
    constant_series: ConstantPolicy = "flag"
    dtype: Dtype = "float32"
    models: dict[str, MarkovModel] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        layers = self.layers
        half_widths(self.scaling)
        object.__setattr__(self, "target", tuple(float(end) for end in self.target))
        check_target(self.target)
        for name, allowed in _WORDS.items():
            if getattr(self, name) not in get_args(allowed):
                raise unknown(f"image {name}", str(getattr(self, name)), get_args(allowed))
        try:
            object.__setattr__(self, "size", operator.index(self.size))
        except TypeError:
            raise UserError(f"size {self.size} is not allowed: give a whole number of pixels") from None
        if self.size < 1:
            raise UserError(f"size {self.size} is not allowed: images have at least 1 pixel on a side")
        if self.constant_series == "nan" and self.dtype in LEVELS:
            raise UserError(f"constant-series nan cannot be stored as {self.dtype}: choose zero, or dtype float16")
        for name in ("scaling", "target", "order", "segmentation"):
            option = "limits" if name == "scaling" else name
            used = any(option in layer.field.parameters for layer in layers)
            used |= name == "scaling" and self._needs_limits
            if not used and getattr(self, name) != Imager.__dataclass_fields__[name].default:
                *users, last = (known.name for known in FIELDS.values() if option in known.parameters)
                raise UserError(
                    f"{name} {getattr(self, name)} does nothing for the images {self.stack}: it is for "
                    f"{', '.join(users)} and {last}"
                )

    def __eq__(self, other: object) -> bool:
        """Tell whether the recipes are the same, what they learnt included."""
        return isinstance(other, Imager) and self.recipe() == other.recipe()

    def __hash__(self) -> int:
        return hash((self.stack, self.size, self.scaling, self.target, self.order, self.segmentation, self.dtype))

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The fields of the stack with their options."""
        return parse_stack(self.stack)

    def recipe(self) -> dict[str, Any]:
        """Return everything that decides the pixels, ready for JSON."""
        recipe = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        recipe["target"] = list(self.target)
        recipe["layers"] = [{"field": layer.field.name, **_plain(layer.options)} for layer in self.layers]
        if self.scaling != "window":
            recipe["half_widths"] = half_widths(self.scaling)
        if self.models:
            recipe["models"] = {
                label: {"edges": _finite(model.edges), "transitions": model.transitions.tolist()}
                for label, model in self.models.items()
            }
        return recipe

    def hash(self) -> str:
        """Return the sha256 of the recipe, with what it learnt."""
        return hashlib.sha256(json.dumps(self.recipe(), sort_keys=True).encode()).hexdigest()

    def channel_names(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Name the channels of the images: `gasf:acc-x, gasf:acc-y, ..., mtf:acc-z`; a joint field has one for all."""
        return tuple(
            f"{layer.label}:{channel}"
            for layer in self.layers
            for channel in (["*".join(channels)] if layer.field.joint else channels)
        )

    def limits(self, units: Sequence[str]) -> np.ndarray | None:
        """Return the fixed range of each channel, shape (channel, 2), or None when each window sets its own.

        Raises
        ------
        UserError
            If a unit has no fixed range.
        """
        return fixed_limits(self.scaling, units)

    @property
    def is_scaled(self) -> bool:
        """Whether a field of the stack scales its series."""
        return any(layer.field.scaled for layer in self.layers)

    @property
    def needs_fit(self) -> bool:
        """Whether a field must still learn from training windows: see `fit`."""
        return any(layer.is_fitted and layer.label not in self.models for layer in self.layers)

    def fit(self, x: Windows | np.ndarray) -> Self:
        """Return the recipe with what its fields learn from training windows, as `mtf(fit=train)` does.

        Parameters
        ----------
        x : Windows, or ndarray of shape (window, channel, time)
            Training windows only: what is learnt here decides the pixels of every window. Of `Windows`, those with
            missing samples are left out, as a line through a gap would teach movements that nobody made.

        Returns
        -------
        Imager
            With its own hash; the same where nothing is to be learnt.

        Raises
        ------
        UserError
            For arrays with a value that is not finite, or where every window misses samples.
        """
        fitted = dataclasses.replace(self)
        if not any(layer.is_fitted for layer in self.layers):
            return fitted
        values = _whole(x) if isinstance(x, Windows) else real_windows(np.asarray(x))
        for layer in self.layers:
            if layer.is_fitted and layer.field.fit is not None:
                options = {name: value for name, value in layer.options.items() if name != "fit"}
                fitted.models[layer.label] = layer.field.fit(values, **options)
        return fitted

    def model(self, layer: Layer) -> MarkovModel | None:
        """Return what a layer has learnt; None where it learns nothing.

        Raises
        ------
        UserError
            If it has not learnt yet.
        """
        if not layer.is_fitted:
            return None
        if layer.label not in self.models:
            raise UserError(
                f"images {layer.label} must learn from training windows first: imager.fit(training_windows)"
            )
        return self.models[layer.label]

    def bounds(self, units: Sequence[str]) -> np.ndarray:
        """Return the lowest and highest value of each image channel, shape (image channel, 2).

        Raises
        ------
        UserError
            For a field without a known range.
        """
        units = tuple(units)
        return self.bounds_within(self._series_range(units), len(units))

    def bounds_within(self, limits: np.ndarray | None, n_channels: int) -> np.ndarray:
        """Return what `bounds` does, for channels that are fixed to `limits`."""
        rows: list[tuple[float, float]] = []
        for layer in self.layers:
            found = layer.field.bounds(layer.options, limits)
            for pair in found * (1 if layer.field.joint else n_channels // len(found)):
                if pair is None:
                    whole = self.dtype in LEVELS
                    mends = ["dtype float16 or float32"] * whole + ["scaling fixed"] * _follows_series(layer)
                    raise UserError(
                        f"images {layer.label} have no known range"
                        + (f", so they cannot be stored as {self.dtype}" if whole else "")
                        + (f": choose {', or '.join(mends)}" if mends else "")
                    )
                rows.append(pair)
        return np.array(rows)

    def without_range(self, units: Sequence[str]) -> tuple[str, ...]:
        """Name the images of the stack whose lowest and highest values are not known: `bounds` refuses them."""
        limits = self._series_range(units)
        return tuple(layer.label for layer in self.layers if None in layer.field.bounds(layer.options, limits))

    def _series_range(self, units: Sequence[str]) -> np.ndarray | None:
        """Return the range of each channel where that of an image follows from it, else None."""
        return self.limits(units) if any(_follows_series(layer) for layer in self.layers) else None

    def ranges(self, windows: Windows) -> np.ndarray:
        """Return the smallest and largest value of each series as it is scaled: float32, shape (window, channel, 2).

        Of the averaged series where each window's Gramian fields are scaled by its own range after averaging, so that
        `tsimage.from_pair` and `tsimage.from_gasf` give back original units; of the raw series otherwise.
        """
        averaged = self.scaling == "window" and self.order == "paa-then-scale"
        if not averaged or not any("order" in layer.field.parameters for layer in self.layers):
            return windows.ranges()
        ranges = np.empty((*windows.values.shape[:2], 2), dtype=np.float32)
        for start, block in blocks(windows.values):
            whole, _ = fill_gaps(block, None)
            short = paa(whole.astype(np.float64), self.size, self.segmentation)
            rows = slice(start, start + len(block))
            ranges[rows, :, 0], ranges[rows, :, 1] = short.min(axis=2), short.max(axis=2)
        return ranges

    def clipped_share(self, windows: Windows) -> float:
        """Return the share of raw samples outside the fixed range, 0 where no image is cut off by one.

        Averaging comes before clipping (order paa-then-scale), so fewer segments than samples are clipped. Distances
        (rp, jrp) are cut off only as whole numbers: those that no two samples within the range have.
        """
        limits = self.limits(windows.units) if self._needs_limits else None
        if limits is None or not len(windows):
            return 0.0
        outside = sum(int((np.abs(block) > limits[:, 1:]).sum()) for _, block in blocks(windows.values))
        return outside / windows.values.size

    def _first_outside(self, windows: Windows) -> str:
        """Name the first window and channel with a sample outside the fixed range."""
        limits = self.limits(windows.units)
        if limits is None:
            return ""
        for start, block in blocks(windows.values):
            outside = (np.abs(block) > limits[:, 1:]).any(axis=2)
            if outside.any():
                window, channel = np.argwhere(outside)[0]
                return f", first of window '{windows.ids[start + window]}', channel '{windows.channels[channel]}'"
        return ""

    def notes(self, windows: Windows) -> list[str]:
        """Say in words what a user should know before looking at images of these windows."""
        notes = [f"Images {self.stack}: {self.size} x {self.size}"]
        if self._needs_limits:
            notes[0] += f", scaling {self.scaling}"
            if self.scaling != "window":
                share = self.clipped_share(windows)
                notes[0] += f" ({100 * share:.2f} % of samples lie outside the range{self._first_outside(windows)})"
                if share > SUSPICIOUS_SHARE:
                    units = ", ".join(dict.fromkeys(windows.units))
                    notes.append(f"WARNING: so many samples outside the range: are the channels really in {units}?")
        for layer in self.layers:
            bins = layer.options.get("bins", 0)
            if layer.options.get("strategy") == "quantile" and not layer.is_fitted:
                merged = sum(
                    int(merged_bins(fill_gaps(block, None)[0], bins).sum()) for _, block in blocks(windows.values)
                )
                if merged:
                    notes.append(
                        f"Images {layer.label}: equal quantiles merged in {merged} of {len(windows) * len(windows.channels)} "
                        f"series, which have fewer than {bins} bins"
                    )
            if not layer.is_fitted and windows.length - 1 < 5 * bins**2:
                notes.append(
                    f"Images {layer.label}: {windows.length - 1} transitions make a noisy {bins} x {bins} matrix for "
                    f"the Markov field; {5 * bins**2} or more are advised: fewer bins or longer windows"
                )
        return notes

    def check(self, length: int, units: Sequence[str]) -> None:
        """Raise the UserError that painting windows of `length` samples in these units would raise."""
        _plan(self, length, tuple(units))

    def __call__(
        self,
        x: Any,
        units: Sequence[str] | None = None,
        *,
        missing: str = "raise",
        rate_hz: float | None = None,
        out: Any = None,
        engine: Engine = "auto",
    ) -> Any:
        """Paint windows.

        Parameters
        ----------
        x : Windows, or array or tensor of shape (window, channel, time)
        units : sequence of str, optional
            Unit of each channel; needed for arrays when the scaling is fixed.
        missing : str
            What is done about NaN: `raise` (but windows that were loaded with gaps are masked), `mask` (pixels that
            see a missing sample become NaN), or the longest gap that is filled by a straight line, in seconds (`0.2s`)
            or samples (`10`). See `tsimage.gaps`.
        rate_hz : float, optional
            Sampling rate of arrays, needed for a gap in seconds.
        out : ndarray, shape (window, image channel, size, size)
            Where to write, in the recipe's dtype; only for NumPy input. Reusing it saves half the time.
        engine : {"auto", "numpy"}
            `numpy` paints NumPy arrays by the readable definitions instead of the compiled loops.

        Returns
        -------
        array or tensor, shape (window, image channel, size, size)
            On the device of `x`.

        Raises
        ------
        UserError
            If the windows are shorter than the image, a unit has no fixed range, or a value is not finite; the
            sentence names the window and channel.
        """
        names: Sequence[str] | None = None
        ids: Sequence[str] | None = None
        known_finite = isinstance(x, Windows) and x.gaps is None
        if isinstance(x, Windows):
            names, units, rate_hz = x.channels, x.units, x.rate_hz
            missing = "mask" if missing == "raise" and x.gaps is not None else missing
            x, ids = x.values, x.ids
        x = real_windows(x)
        n, n_channels, length = (int(s) for s in x.shape)
        units = ("",) * n_channels if units is None else tuple(units)
        names = names or [str(i) for i in range(n_channels)]
        if len(units) != n_channels:
            raise UserError(f"{len(units)} units for {n_channels} channels: give one unit per channel")
        if engine not in _ENGINES:
            raise unknown("engine", str(engine), _ENGINES)
        limits, n_images = _plan(self, length, units)
        is_numpy = isinstance(x, np.ndarray)
        gone, check = None, None
        if missing != "raise":
            x, gone = filled(x, missing, rate_hz, names, ids)
        elif is_numpy and not known_finite:
            check = partial(check_block, x, names)
        elif not known_finite:
            check_finite(x, names, HOW_TO_FILL)
        constant = None if self.constant_series == "flag" else constant_series(x)
        if constant is not None and self.constant_series == "raise":
            refuse_constant(constant, names, ids)
        if gone is not None and self.dtype in LEVELS:
            refuse_masked(self.dtype)
        if is_numpy:
            shape = (n, n_images, self.size, self.size)
            images = np.empty(shape, dtype=self.dtype) if out is None else checked_output(out, shape, self.dtype)
            paint_array(self, x, limits, images, engine, check)
        elif out is not None or engine != "auto":
            raise UserError("out= and engine= are for NumPy arrays; a tensor comes back on the device of the input")
        elif self.dtype in LEVELS:
            raise UserError(f"whole numbers ({self.dtype}) are for NumPy arrays: paint tensors as float32 or float16")
        else:
            images = paint_tensor(self, x, limits)
        if constant is not None and constant.any():
            images = overpaint(
                images, self._image_channels(constant)[:, :, None, None], self._still_value(limits, n_channels)
            )
        if gone is not None:
            hidden = hidden_pixels(self.layers, gone, self.size, self.segmentation)
            images = overpaint(images, hidden, np.array(np.nan))
        return images

    @cached_property
    def _needs_limits(self) -> bool:
        """Whether fixed ranges decide pixels: of scaled series, or of distances that whole numbers stand for."""
        return self.is_scaled or (self.dtype in LEVELS and any(_follows_series(layer) for layer in self.layers))

    def _image_channels(self, constant: np.ndarray) -> np.ndarray:
        """Spread what is known of each channel over the image channels; joint images need all channels."""
        blocks = [constant.all(axis=1, keepdims=True) if layer.field.joint else constant for layer in self.layers]
        return np.concatenate(blocks, axis=1)

    def _still_value(self, limits: np.ndarray | None, n_channels: int) -> np.ndarray:
        """Return the pixel of a constant series under the policy, (image channel, 1, 1) or a scalar."""
        if self.constant_series == "nan":
            return np.array(np.nan)
        if self.dtype not in LEVELS:
            return np.array(0.0)
        bounds = self.bounds_within(limits, n_channels)
        return encode(np.zeros((len(bounds), 1, 1)), bounds, self.dtype)


@lru_cache(maxsize=64)
def _plan(imager: Imager, length: int, units: tuple[str, ...]) -> tuple[np.ndarray | None, int]:
    """Return the fixed ranges and the number of image channels, once what would fail in painting has been tried."""
    if length < 2:
        raise UserError(f"windows of {length} sample hold no series to paint: cut windows of at least 2 samples")
    if any("segmentation" in layer.field.parameters for layer in imager.layers):
        segment_bounds(length, imager.size, imager.segmentation)
    limits = imager.limits(units) if imager.is_scaled else None
    if imager.dtype in LEVELS:
        imager.bounds(units)
    ramp = np.broadcast_to(np.arange(length, dtype=np.float64), (1, len(units), length))
    for layer in imager.layers:
        if layer.label in imager.models:
            imager.models[layer.label].check_channels(len(units))
        if not layer.is_fitted:
            paint_layer(imager, layer, ramp, limits, np.float64)
    return imager.limits(units) if imager._needs_limits else None, len(imager.channel_names(units))


def _follows_series(layer: Layer) -> bool:
    """Whether the range of the images follows from that of the series, as of distances without a threshold."""
    some = np.array([[-1.0, 1.0]])
    return layer.field.bounds(layer.options, None) != layer.field.bounds(layer.options, some)


def _whole(windows: Windows) -> np.ndarray:
    """Return the values of the windows without missing samples."""
    if not windows.has_missing():
        return windows.values
    whole = np.concatenate([~np.isnan(block).any(axis=(1, 2)) for _, block in blocks(windows.values)])
    if not whole.any():
        raise UserError(
            f"{windows.name}: samples are missing in every training window: fill gaps, or choose fit=window"
        )
    return windows.values[whole]


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def _finite(edges: np.ndarray) -> list[list[float | None]]:
    """Write edges for JSON, which has no infinity: a merged edge is null."""
    return [[float(edge) if np.isfinite(edge) else None for edge in row] for row in edges]
