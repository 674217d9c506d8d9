"""Augmentations that would change nothing, as the windows are too short or the images too small for them."""

from __future__ import annotations

import math
from typing import Any

from distill.augment.recipe import Recipe, Step
from tsimage.errors import UserError

_FEWEST = {"time_warp": 3, "permutation": 2}
"""Samples that a window must have to be changed; a warped clock keeps the first and the last."""


def check_effect(recipe: Recipe, samples: int, rate_hz: float | None, image_size: int) -> None:
    """Refuse an augmentation that leaves every window, or every image, as it is.

    Parameters
    ----------
    recipe : Recipe
    samples : int
        Of a window.
    rate_hz : float or None
        Told in the error where it is known.
    image_size : int
        Side of the images in pixels.

    Raises
    ------
    UserError
        For a shift by less than half a sample, windows of too few samples to be warped or permuted, and rectangles to erase
        that are smaller than a pixel or as large as the image.
    """
    rate = f" at {rate_hz:g} Hz" if rate_hz else ""
    for step in recipe.steps:
        options: dict[str, Any] = step.options
        if step.name == "shift" and round(options["share"] * samples) == 0:
            least = smallest_share(samples)
            mend = f"give a share of at least {least:g}, or leave it out" if least <= 0.5 else "leave it out"
            raise UserError(
                f"augmentation {step.label} moves nothing, as {options['share']:g} of a window of {samples} sample{'s' * (samples > 1)}"
                f"{rate} is no more than half a sample: {mend}"
            )
        if samples < _FEWEST.get(step.name, 1):
            raise UserError(
                f"augmentation {step.label} changes nothing in windows of {samples} sample{'s' * (samples > 1)}{rate}: leave it out"
            )
        if step.name == "erasing":
            _check_rectangles(step, options["scale"], options["ratio"], image_size)


def smallest_share(samples: int) -> float:
    """Return the smallest share of two significant digits that is more than half a sample.

    Examples
    --------
    >>> smallest_share(128), 0.5 / 128
    (0.004, 0.00390625)
    """
    half = 0.5 / samples
    unit = 10.0 ** (math.floor(math.log10(half)) - 1)
    return float(f"{(math.floor(half / unit) + 1) * unit:.2g}")


def _check_rectangles(step: Step, scale: tuple[float, float], ratio: tuple[float, float], size: int) -> None:
    """Refuse a range of areas and one of ratios of which no rectangle has from 1 to `size` - 1 pixels on either side."""
    # Height and width are rounded, so that both must be above 1/2 and below size - 1/2. With the ratio nearest to 1 that
    # there is, the longer side is the shorter one times it.
    nearest = max(ratio[0], 1 / ratio[1], 1.0)
    least, most = 0.25 * nearest / size**2, (size - 0.5) ** 2 / nearest / size**2
    about = f"augmentation {step.label} erases nothing of images of {size} x {size} pixels, as"
    if least >= most:
        raise UserError(
            f"{about} no rectangle of so uneven sides fits: give a ratio that is nearer to 1, or leave it out"
        )
    if scale[1] <= least:
        raise UserError(f"{about} its rectangles have less than a pixel: give a scale that reaches above {least:.2g}")
    if scale[0] >= most:
        raise UserError(f"{about} its rectangles are as large as the image: give a scale that begins below {most:.2g}")
