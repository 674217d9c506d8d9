"""The images a series can be painted as, by name, and the syntax of a stack of them: `gasf+rp(dimension=2)+mtf(bins=4)`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tsimage.errors import UserError, unknown
from tsimage.fields.gramian import gadf, gasf
from tsimage.fields.markov import check_bins, fit_markov, mtf, paint_markov
from tsimage.fields.persistence import check_persistence, persistence_image
from tsimage.fields.quantum import check_quantum, quantum_bounds, quantum_gaf
from tsimage.fields.recurrence import (
    check_recurrence,
    joint_recurrence_bounds,
    joint_recurrence_plot,
    recurrence_bounds,
    recurrence_plot,
)
from tsimage.fields.spectral import check_scalogram, check_spectrogram, scalogram, spectrogram

SHARED = ("limits", "target", "order", "segmentation", "dtype", "model")
"""Options of a field that the recipe of the whole stack sets."""

Bounds = Callable[[Mapping[str, Any], np.ndarray | None], list[tuple[float, float] | None]]


@dataclass(frozen=True, kw_only=True)
class Field:
    """A kind of image.

    Parameters
    ----------
    name : str
        As it stands in a stack.
    paint : callable
        `paint(x, size, **options)`, x of shape (..., T), or (..., channel, T) where `joint`, to (..., S, S).
    summary : str
    bounds : callable or None
        `bounds(options, limits)` gives the lowest and highest value of the images: of each channel with `limits`
        (channel, 2), else of all in a list of one; None where there is none. Such an image cannot be stored as whole
        numbers.
    colours : str
        Matplotlib's colour map that shows it.
    joint : bool
        Whether all channels make one image together.
    timed : bool
        Whether both axes of the image are the time of the series, segment by segment.
    check : callable or None
        Refuses wrong `options` before there are windows.
    fit : callable or None
        `fit(x, **options)` learns on training windows what `paint` then takes as `model`; such a field has the option
        `fit`, `window` or `train`.
    """

    name: str
    paint: Callable[..., Any]
    summary: str
    bounds: Bounds
    colours: str
    joint: bool = False
    timed: bool = True
    check: Callable[..., None] | None = None
    fit: Callable[..., Any] | None = None

    def __reduce__(self) -> tuple[Callable[[str], Field], tuple[str]]:
        return _registered, (self.name,)  # a field travels between processes by its name

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Keyword options of `paint` with their defaults."""
        parameters = inspect.signature(self.paint).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    @cached_property
    def options(self) -> dict[str, Any]:
        """The field's own options with their defaults."""
        own = {name: default for name, default in self.parameters.items() if name not in SHARED}
        return own | ({"fit": "window"} if self.fit else {})

    @property
    def scaled(self) -> bool:
        """Whether the field scales its series, by a fixed range or each by its own."""
        return "limits" in self.parameters


def _always(low: float, high: float) -> Bounds:
    return lambda options, limits: [(low, high)]


def _distances(options: Mapping[str, Any], limits: np.ndarray | None) -> list[tuple[float, float] | None]:
    return [recurrence_bounds(options["dimension"], options["threshold"], pair) for pair in _pairs(limits)]


def _joint_distances(options: Mapping[str, Any], limits: np.ndarray | None) -> list[tuple[float, float] | None]:
    ranges = None if limits is None else [(float(low), float(high)) for low, high in limits]
    return [joint_recurrence_bounds(options["dimension"], options["threshold"], ranges)]


def _check_recurrence(dimension: int, delay: int, threshold: Any, percentage: float) -> None:
    check_recurrence(dimension, delay, [threshold], percentage)


def _pairs(limits: np.ndarray | None) -> list[tuple[float, float] | None]:
    return [None] if limits is None else [(float(low), float(high)) for low, high in limits]


FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field(
            name="gasf",
            paint=gasf,
            summary="Gramian angular summation field, cos(phi_i + phi_j)",
            bounds=_always(-1.0, 1.0),
            colours="RdBu_r",
        ),
        Field(
            name="gadf",
            paint=gadf,
            summary="Gramian angular difference field, sin(phi_i - phi_j)",
            bounds=_always(-1.0, 1.0),
            colours="PuOr_r",
        ),
        Field(
            name="mtf",
            paint=paint_markov,
            summary="Markov transition field, W[bin_i, bin_j]",
            bounds=_always(0.0, 1.0),
            colours="viridis",
            check=lambda bins, strategy, **_: check_bins(bins, strategy),
            fit=fit_markov,
        ),
        Field(
            name="rp",
            paint=recurrence_plot,
            summary="recurrence plot, the distance of two moments",
            bounds=_distances,
            colours="magma_r",
            check=_check_recurrence,
        ),
        Field(
            name="jrp",
            paint=joint_recurrence_plot,
            summary="joint recurrence plot, the product over all channels",
            bounds=_joint_distances,
            colours="magma_r",
            joint=True,
            check=_check_recurrence,
        ),
        Field(
            name="qgaf",
            paint=quantum_gaf,
            summary="quantum Gramian angular field, <Z> after two rotations",
            bounds=lambda options, limits: [quantum_bounds()],
            check=check_quantum,
            colours="RdBu_r",
        ),
        Field(
            name="pi",
            paint=persistence_image,
            timed=False,
            summary="persistence image of the sublevel sets",
            bounds=_always(0.0, 1.0),
            check=check_persistence,
            colours="inferno",
        ),
        Field(
            name="spectrogram",
            paint=spectrogram,
            timed=False,
            summary="short-time Fourier power in dB",
            bounds=lambda options, limits: [None],
            check=check_spectrogram,
            colours="cividis",
        ),
        Field(
            name="scalogram",
            paint=scalogram,
            timed=False,
            summary="Morlet wavelet power in dB",
            bounds=lambda options, limits: [None],
            check=check_scalogram,
            colours="cividis",
        ),
    )
}


def _registered(name: str) -> Field:
    return FIELDS[name]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One field of a stack with its options."""

    field: Field
    given: tuple[tuple[str, Any], ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """All of the field's own options."""
        return self.field.options | dict(self.given)

    @property
    def label(self) -> str:
        """The name of the field, with the options that differ from their defaults."""
        given = ",".join(f"{name}={_text(value)}" for name, value in self.given)
        return f"{self.field.name}({given})" if given else self.field.name

    @property
    def is_fitted(self) -> bool:
        """Whether the layer must learn from training windows first."""
        return self.options.get("fit") == "train"


def parse_stack(stack: str) -> tuple[Layer, ...]:
    """Read the name of an image stack: fields joined by `+`, each with options in brackets where needed.

    Raises
    ------
    UserError
        For an unknown field or option, a value of the wrong kind, or an image named twice.

    Examples
    --------
    >>> [layer.label for layer in parse_stack("gasf+rp(dimension=3, delay=2)+mtf(bins=8)")]
    ['gasf', 'rp(dimension=3,delay=2)', 'mtf']
    """
    layers = tuple(_parse_layer(stack, part) for part in split_stack(stack))
    labels = [layer.label for layer in layers]
    if len(set(labels)) < len(labels):
        raise UserError(f"image stack '{stack}' names an image twice: give {'+'.join(dict.fromkeys(labels))}")
    return layers


def split_stack(stack: str) -> list[str]:
    """Split a stack at every `+` outside brackets.

    Examples
    --------
    >>> split_stack("gasf+rp(threshold=1e+1)")
    ['gasf', 'rp(threshold=1e+1)']
    """
    return re.split(r"\+(?![^(]*\))", stack)


def _parse_layer(stack: str, part: str) -> Layer:
    match = re.fullmatch(r"\s*([^()\s]*)\s*(?:\((.*)\))?\s*", part)
    if match is None:
        raise UserError(
            f"image stack '{stack}' is not understood at '{part}': write it as gasf+rp(dimension=2,delay=1)"
        )
    if match[1] not in FIELDS:
        raise unknown("image", match[1], [*FIELDS, "or several joined by +, as gasf+gadf+mtf"])
    field = FIELDS[match[1]]
    options: dict[str, Any] = {}
    for item in filter(None, (match[2] or "").split(",")):
        name, equals, text = (piece.strip() for piece in item.partition("="))
        if name not in field.options:
            raise unknown(f"option of the image {field.name}", name, field.options or ["it has none"])
        if not equals or not text or name in options:
            raise UserError(
                f"image stack '{stack}' is not understood at '{item}': give each option once, as {name}=VALUE"
            )
        options[name] = _value(field, name, text)
    if options.get("fit", "window") not in ("window", "train"):
        raise unknown(f"fit of the image {field.name}", str(options["fit"]), ["window", "train"])
    layer = Layer(field=field, given=tuple((k, v) for k, v in options.items() if v != field.options[k]))
    if field.check is not None:
        field.check(**layer.options)
    return layer


def _text(value: Any) -> str:
    return ":".join(f"{end:g}" for end in value) if isinstance(value, tuple) else f"{value}"


def _value(field: Field, name: str, text: str) -> Any:
    """Read an option as the type of its default; a default of None stands for a number or a word."""
    default = field.options[name]
    kinds: tuple[Callable[[str], Any], ...] = (int, float, str) if default is None else (type(default),)
    if text == "None" and default is None:
        return None
    for kind in kinds:
        try:
            if kind is not tuple:
                return kind(text)
            ends = tuple(float(end) for end in text.split(":"))
            if len(ends) == len(default):
                return ends
        except ValueError:
            continue
    expected = {int: "a whole number", float: "a number", tuple: "two numbers joined by ':', as -1:1"}[type(default)]
    raise UserError(f"option {name} of the image {field.name} is '{text}': give {expected}")


__all__ = [
    "FIELDS",
    "Field",
    "Layer",
    "fit_markov",
    "gadf",
    "gasf",
    "joint_recurrence_plot",
    "mtf",
    "parse_stack",
    "persistence_image",
    "quantum_gaf",
    "recurrence_plot",
    "scalogram",
    "spectrogram",
    "split_stack",
]
