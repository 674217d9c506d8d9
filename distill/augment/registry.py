"""The augmentations by name, each with its options, their ranges, and its paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from distill.augment.amplitude import channel_dropout, jitter, magnitude_warp, scaling
from distill.augment.erasing import erasing
from distill.augment.mixing import cutmix, mixup
from distill.augment.options import Option
from distill.augment.rotation import rotation
from distill.augment.timing import permutation, shift, time_warp


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A kind of augmentation.

    Parameters
    ----------
    name : str
        As it stands in a recipe.
    apply : callable
        `apply(values, streams, **options, **needs)` gives the values anew; of a batch, an `Augmented`.
    where : {"signal", "image", "batch"}
        What it changes: a signal, an image, or windows together with others of their batch (signals or images, by its
        option `on`).
    options : tuple of Option
    summary, paper : str
    needs : tuple of {"triples", "scale"}
        What it must know of the sensors.
    """

    name: str
    apply: Callable[..., Any]
    where: Literal["signal", "image", "batch"]
    options: tuple[Option, ...]
    summary: str
    paper: str
    needs: tuple[str, ...] = ()


def _chance(default: float = 1.0) -> Option:
    return Option(name="p", default=default, meaning="probability of each window", low=0, high=1, open_low=True)


def _sigma(default: float, meaning: str, high: float = 1.0) -> Option:
    return Option(name="sigma", default=default, meaning=meaning, low=0, high=high, open_low=True)


_KNOTS = Option(name="knots", default=4, meaning="heights of the curve between its ends", low=1, high=50)
_ON = Option(name="on", default="signal", meaning="what is mixed", choices=("signal", "image"))
_UM = "Um et al. 2017, arXiv:1706.00527"

AUGMENTATIONS: dict[str, Augmentation] = {
    augmentation.name: augmentation
    for augmentation in (
        Augmentation(
            name="rotation",
            apply=rotation,
            where="signal",
            options=(
                Option(name="degrees", default=180.0, meaning="greatest angle", low=0, high=180, open_low=True),
                Option(
                    name="law",
                    default="angle",
                    meaning="angle: uniform angle; haar: uniform among rotations",
                    choices=("angle", "haar"),
                ),
                _chance(),
            ),
            summary="the device turned in space, all x, y, z triples alike",
            paper=_UM,
            needs=("triples",),
        ),
        Augmentation(
            name="jitter",
            apply=jitter,
            where="signal",
            options=(_sigma(0.03, "share of each channel's standard deviation in training", 10.0), _chance()),
            summary="white noise",
            paper=f"{_UM}; Iwana & Uchida 2021, arXiv:2007.15951",
            needs=("scale",),
        ),
        Augmentation(
            name="scaling",
            apply=scaling,
            where="signal",
            options=(_sigma(0.1, "standard deviation of the factor about 1"), _chance()),
            summary="each channel times a factor",
            paper=_UM,
        ),
        Augmentation(
            name="magnitude_warp",
            apply=magnitude_warp,
            where="signal",
            options=(_sigma(0.2, "standard deviation of the curve about 1"), _KNOTS, _chance()),
            summary="each channel times a smooth curve",
            paper=_UM,
        ),
        Augmentation(
            name="channel_dropout",
            apply=channel_dropout,
            where="signal",
            options=(
                Option(
                    name="rate",
                    default=0.2,
                    meaning="probability that a channel falls silent",
                    low=0,
                    high=1,
                    open_low=True,
                    open_high=True,
                ),
                _chance(),
            ),
            summary="channels set to 0, at least one stays",
            paper="Saeed et al. 2020, arXiv:2010.13694",
        ),
        Augmentation(
            name="shift",
            apply=shift,
            where="signal",
            options=(
                Option(
                    name="share", default=0.1, meaning="greatest share of the window", low=0, high=0.5, open_low=True
                ),
                Option(name="border", default="edge", meaning="what fills the gap", choices=("edge", "reflect")),
                _chance(),
            ),
            summary="moved by whole samples",
            paper="compare cropping in Um et al. 2017, arXiv:1706.00527",
        ),
        Augmentation(
            name="time_warp",
            apply=time_warp,
            where="signal",
            options=(_sigma(0.2, "standard deviation of the speed about 1"), _KNOTS, _chance()),
            summary="a clock that runs faster and slower",
            paper=_UM,
        ),
        Augmentation(
            name="permutation",
            apply=permutation,
            where="signal",
            options=(Option(name="segments", default=4, meaning="pieces of a window", low=2, high=50), _chance()),
            summary="pieces of the window in another order",
            paper=_UM,
        ),
        Augmentation(
            name="erasing",
            apply=erasing,
            where="image",
            options=(
                Option(
                    name="scale",
                    default=(0.02, 0.33),
                    meaning="erased share of the area",
                    low=0,
                    high=1,
                    open_low=True,
                ),
                Option(name="ratio", default=(0.3, 3.3), meaning="height over width", low=0, high=100, open_low=True),
                Option(name="value", default=0.0, meaning="put in the place"),
                _chance(0.5),
            ),
            summary="a rectangle of the image erased",
            paper="Zhong et al. 2017, arXiv:1708.04896",
        ),
        Augmentation(
            name="mixup",
            apply=mixup,
            where="batch",
            options=(
                Option(
                    name="alpha",
                    default=0.2,
                    meaning="the share is from Beta(alpha, alpha)",
                    low=0.01,
                    high=100,
                ),
                _ON,
                _chance(),
            ),
            summary="weighted mean of two windows and of their labels",
            paper="Zhang et al. 2017, arXiv:1710.09412",
        ),
        Augmentation(
            name="cutmix",
            apply=cutmix,
            where="batch",
            options=(
                Option(
                    name="alpha",
                    default=1.0,
                    meaning="the share is from Beta(alpha, alpha)",
                    low=0.01,
                    high=100,
                ),
                _ON,
                _chance(),
            ),
            summary="a stretch or rectangle of another window, labels by area",
            paper="Yun et al. 2019, arXiv:1905.04899",
        ),
    )
}
