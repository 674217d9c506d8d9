"""How the learning rate, the temperature and lambda change while training, as functions of the step."""

from __future__ import annotations

import math
from typing import Literal, get_args

from tsimage.errors import UserError, unknown

Course = Literal["auto", "cosine", "one-cycle", "steps", "constant"]
"""`auto` is cosine, and steps under protocol lab."""

_STEPS = ((1 / 18, 1.0), (1 / 3, 1 / 5), (2 / 3, 1 / 50), (1.0, 1 / 500))
_RISE, _START, _END = 0.3, 1 / 25, 1e-4 / 25


def learning_rate(
    step: int,
    steps: int,
    peak: float,
    *,
    course: Course = "cosine",
    final: float = 1e-4,
    warmup: int = 0,
) -> float:
    """Return the learning rate of one step.

    Parameters
    ----------
    step : int
        From 0 to `steps` - 1.
    steps : int
        Of the whole training.
    peak : float
        The highest rate.
    course : {"auto", "cosine", "one-cycle", "steps", "constant"}
        `cosine`, which `auto` is here, falls from `peak` to `final` along half a cosine (arXiv:1608.03983, without
        restarts). `one-cycle` rises over the first 30 % from a 25th of `peak`, and falls to 4e-6 of it, both along half a
        cosine (arXiv:1708.07120; the rate is that of torch's OneCycleLR, which also moves the momentum, while here that
        stays as it is). `steps` is the published course of wearable-KD: `peak` for an 18th of the training, a 5th of it
        until a third, a 50th until two thirds, then a 500th (0.05, 0.01, 0.001, 0.0001).
    final : float
        Of the last step, for `cosine`.
    warmup : int
        Steps in which the rate rises in a straight line to where the course begins; the course takes the rest.

    Examples
    --------
    >>> [round(learning_rate(step, 5, 1.0, final=0.0), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    >>> [learning_rate(step, 4, 1.0, course="constant", warmup=2) for step in range(4)]
    [0.5, 1.0, 1.0, 1.0]
    """
    if step < warmup:
        return learning_rate(0, steps - warmup, peak, course=course, final=final) * (step + 1) / warmup
    step, steps = step - warmup, steps - warmup
    if course == "constant":
        return peak
    if course == "steps":
        return peak * next(share for end, share in _STEPS if step < end * steps)
    if course in ("cosine", "auto"):
        return _half_cosine(peak, final, step / max(1, steps - 1))
    top = _RISE * steps - 1
    if step <= top:
        return _half_cosine(_START * peak, peak, step / top if top else 1.0)
    return _half_cosine(peak, _END * peak, (step - top) / (steps - 1 - top))


def annealed(start: float, end: float | None, step: int, steps: int) -> float:
    """Return what goes in a straight line from `start` at the first step to `end` at the last; without an end it stays.

    Source, for the temperature: A. Jafari et al., "Annealing Knowledge Distillation", EACL 2021, arXiv:2104.07163.

    >>> [annealed(4.0, 1.0, step, 4) for step in range(4)], annealed(4.0, None, 3, 4)
    ([4.0, 3.0, 2.0, 1.0], 4.0)
    """
    return start if end is None else start + (end - start) * step / max(1, steps - 1)


def check_course(course: str, epochs: int, warmup_epochs: int) -> None:
    """Refuse an unknown course, and a warm-up that takes the whole training."""
    if course not in get_args(Course):
        raise unknown("learning-rate course", course, get_args(Course))
    if not 0 <= warmup_epochs < epochs:
        raise UserError(f"warmup-epochs {warmup_epochs} are not allowed: from 0 to less than the {epochs} epochs")
    if warmup_epochs and course == "one-cycle":
        raise UserError(
            "warmup-epochs do nothing sensible under course one-cycle, which rises by itself: leave them out"
        )


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
