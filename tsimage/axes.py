"""What an image's columns, rows and values stand for, so that a picture of it can be read in seconds, Hz and g."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tsimage.fields import Layer
from tsimage.fields.spectral import default_segment, scalogram_frequencies
from tsimage.segments import Segmentation, segment_bounds

_VALUES = {
    "gasf": r"$\cos(\phi_i+\phi_j)$",
    "gadf": r"$\sin(\phi_i-\phi_j)$",
    "mtf": "probability",
    "pi": "density, greatest = 1",
}
_READOUTS = {
    "z": r"$\langle{Z}\rangle$",
    "x": r"$\langle{X}\rangle$",
    "amplitude-cos": r"amplitude of $|0\rangle$",
    "amplitude-sin": r"amplitude of $|1\rangle$",
}


@dataclass(frozen=True, kw_only=True)
class ImageAxes:
    """The axes of an image.

    Parameters
    ----------
    extent : (float, float, float, float)
        What stands at the outer edges of the left, right, bottom and top pixels. Of a logarithmic axis the decimal
        logarithm.
    across, up : str
        Name and unit of the columns and of the rows.
    marks : tuple of float
        Values to mark on a logarithmic vertical axis; empty where it is linear.
    """

    extent: tuple[float, float, float, float]
    across: str
    up: str
    marks: tuple[float, ...] = ()


def image_axes(layer: Layer, length: int, size: int, rate_hz: float | None, segmentation: Segmentation) -> ImageAxes:
    """Return the axes of the images of a layer.

    Parameters
    ----------
    layer : Layer
    length : int
        Samples in a window, T.
    size : int
        Side S of the image.
    rate_hz : float or None
        Without a rate, time is in samples and frequency in cycles per sample.
    segmentation : {"pyts", "overlapping", "array_split", "truncate"}

    Returns
    -------
    ImageAxes

    Examples
    --------
    >>> from tsimage.fields import parse_stack
    >>> (layer,) = parse_stack("rp")
    >>> image_axes(layer, 100, 32, 50.0, "pyts")
    ImageAxes(extent=(0.0, 2.0, 2.0, 0.0), across='time [s]', up='time [s]', marks=())
    """
    options = layer.options
    rate, time, frequency = rate_hz or 1.0, "time [s]", "frequency [Hz]"
    if rate_hz is None:
        time, frequency = "time [samples]", "frequency [1/sample]"
    if layer.field.timed:
        # A pixel stands at the start of its delay vectors, the last of which start before the end of the series.
        reach = (options.get("dimension", 1) - 1) * options.get("delay", 1)
        end = float(segment_bounds(length, size + reach, segmentation)[size - 1, 1]) / rate
        return ImageAxes(extent=(0.0, end, end, 0.0), across=time, up=time)
    if layer.field.name == "spectrogram":
        segment = options["segment"] or default_segment(length)
        hop = max(1, segment - round(options["overlap"] * segment))
        left, right = _edges(segment / 2, hop, (length - segment) // hop + 1, size)
        bottom, top = _edges(0.0, 1 / segment, segment // 2 + 1, size)
        return ImageAxes(extent=(left / rate, right / rate, bottom * rate, top * rate), across=time, up=frequency)
    if layer.field.name == "scalogram":
        rows = rate * scalogram_frequencies(length, size, lowest=options["lowest"], highest=options["highest"])
        top, bottom = math.log10(rows[0]), math.log10(rows[-1])
        half = (top - bottom) / (2 * (size - 1)) if size > 1 else 0.5
        end = float(segment_bounds(length, size, segmentation)[-1, 1]) / rate
        return ImageAxes(
            extent=(0.0, end, bottom - half, top + half),
            across=time,
            up=frequency,
            marks=_round_values(float(rows[-1]), float(rows[0])),
        )
    if layer.field.name == "pi":
        low, high = options["birth_range"]
        right, top = high, high - low
        if options["compat"] is not None:  # pixels start at even steps from the lower to the upper end
            low, steps = min(low, 0.0), max(1, size - 1)
            right, top = high + (high - low) / steps, high + high / steps
        return ImageAxes(extent=(low, right, 0.0, top), across="birth [scaled]", up="persistence [scaled]")
    return ImageAxes(extent=(0.0, size, size, 0.0), across="column", up="row")


def value_label(layer: Layer, units: Sequence[str]) -> str:
    """Say what the values of an image of channels in `units` are.

    Examples
    --------
    >>> from tsimage.fields import parse_stack
    >>> [value_label(layer, ["g", "g", "rad/s"]) for layer in parse_stack("rp+jrp+scalogram+rp(threshold=0.1)")]
    ['distance [g]', 'product of distances [g² · rad/s]', 'power [dB re g²]', '1: recurs, 0: does not']
    """
    name, options = layer.field.name, layer.options
    if options.get("threshold") is not None:
        return "1: recurs, 0: does not"
    if name == "rp":
        return f"distance [{unit_text(units[0])}]"
    if name == "jrp":
        powers = [unit_text(unit, units.count(unit)) for unit in dict.fromkeys(units)]
        return f"product of distances [{' · '.join(powers)}]"
    if name in ("spectrogram", "scalogram"):
        return f"power [dB re {unit_text(units[0], 2)}]"
    if name == "qgaf":
        return _READOUTS[options["readout"]]
    return _VALUES.get(name, name)


def unit_text(unit: str, exponent: int = 1) -> str:
    """Write a unit, or a power of it, with raised digits.

    Examples
    --------
    >>> unit_text("m/s^2"), unit_text("m/s^2", 2), unit_text("g", 3), unit_text("")
    ('m/s²', '(m/s²)²', 'g³', 'unit unknown')
    """
    unit = (unit or "unit unknown").replace("^2", "²")
    if exponent == 1:
        return unit
    raised = str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return (unit if unit.isalpha() else f"({unit})") + raised


def _edges(first: float, step: float, n: int, size: int) -> tuple[float, float]:
    """Return the outer edges of `size` pixels to which `resizing_matrix` brings n values, `step` apart from `first` on."""
    pixel = (n - 1) * step / (size - 1) if 1 < n <= size else step
    return first - pixel / 2, first + (n - 1) * step + pixel / 2


def _round_values(low: float, high: float) -> tuple[float, ...]:
    """Return a few round values from `low` to `high` for a logarithmic axis, else its ends.

    Examples
    --------
    >>> _round_values(0.78, 20.0)
    (1.0, 2.0, 5.0, 10.0, 20.0)
    >>> _round_values(0.004, 40.0)
    (0.01, 0.1, 1.0, 10.0)
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        values = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        values = [value for value in values if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
        if 2 <= len(values) <= 6:
            return tuple(values)
    return (float(f"{low:.2g}"), float(f"{high:.2g}"))
