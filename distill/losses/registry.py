"""The losses of distillation by name: what each compares, its options and what they may be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from distill.losses.attention import at
from distill.losses.contrastive import Contrast
from distill.losses.correlation import dist
from distill.losses.decoupled import dkd
from distill.losses.divergence import Reduction, kd, lskd
from distill.losses.hints import Hint
from distill.losses.relational import rkd
from distill.losses.similarity import Merge, sp


@dataclass(frozen=True, kw_only=True)
class Range:
    """Finite numbers from `low` on, itself allowed or not."""

    low: float
    allowed: bool = True

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and (value >= self.low if self.allowed else value > self.low)

    def __str__(self) -> str:
        return f"{'of at least' if self.allowed else 'above'} {self.low:g}"


ABOVE_ZERO = Range(low=0, allowed=False)
NOT_NEGATIVE = Range(low=0)
FROM_ONE = Range(low=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Loss:
    """A kind of loss.

    Parameters
    ----------
    name : str
        As it stands in a list of losses.
    term : callable or type of Module
        `term(student, teachers, labels, weights, **options)` gives named parts; a Module has parameters, is built by
        `term.build(student, teachers, **options)` and then called without options.
    needs : {"logits", "maps", "embedding"}
        What it compares.
    kind : {"logits", "features"}
        A term of logits shares lambda with the cross entropy; one of features is added with its own weight.
    summary, paper : str
    allowed : mapping of str to Range or tuple of str
        What each option may be.
    weight : float
        Published weight of a term of features.
    warmup_epochs : int
        Published number of epochs over which its weight grows linearly.
    timed : bool
        Whether a teacher of images is compared with a student of signals over time.
    """

    name: str
    term: Callable[..., Any]
    needs: Literal["logits", "maps", "embedding"]
    kind: Literal["logits", "features"]
    summary: str
    paper: str
    allowed: Mapping[str, Range | tuple[str, ...]]
    weight: float = 1.0
    warmup_epochs: int = 0
    timed: bool = False

    def __reduce__(self) -> tuple[Callable[[str], Loss], tuple[str]]:
        return _registered, (self.name,)  # a loss travels between processes by its name

    @property
    def is_module(self) -> bool:
        """Whether the loss has parameters that are trained with the student."""
        return isinstance(self.term, type)

    @property
    def options(self) -> dict[str, Any]:
        """Its options with their defaults."""
        build = self.term.build if self.is_module else self.term  # type: ignore[attr-defined]
        parameters = inspect.signature(build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def warmth(self, epoch: int | None) -> float:
        """Return the share of its weight in an epoch, counted from 1; 1 without an epoch.

        Examples
        --------
        >>> LOSSES["dkd"].warmth(5), LOSSES["dkd"].warmth(30), LOSSES["kd"].warmth(1)
        (0.25, 1.0, 1.0)
        """
        if epoch is None or self.warmup_epochs == 0:
            return 1.0
        return min(1.0, epoch / self.warmup_epochs)


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss(
            name="kd",
            term=kd,
            needs="logits",
            kind="logits",
            summary="divergence of softened probabilities",
            paper="arXiv:1503.02531",
            allowed={"temperature": ABOVE_ZERO, "reduction": get_args(Reduction)},
        ),
        Loss(
            name="lskd",
            term=lskd,
            needs="logits",
            kind="logits",
            summary="divergence of probabilities from standardised logits",
            paper="arXiv:2403.01427",
            allowed={"temperature": ABOVE_ZERO, "weight": ABOVE_ZERO},
        ),
        Loss(
            name="dkd",
            term=dkd,
            needs="logits",
            kind="logits",
            summary="divergence for the labelled class and among the others, weighed apart",
            paper="arXiv:2203.08679",
            allowed={"alpha": NOT_NEGATIVE, "beta": NOT_NEGATIVE, "temperature": ABOVE_ZERO},
            warmup_epochs=20,
        ),
        Loss(
            name="dist",
            term=dist,
            needs="logits",
            kind="logits",
            summary="correlation of probabilities by window and by class",
            paper="arXiv:2205.10536",
            allowed={"beta": NOT_NEGATIVE, "gamma": NOT_NEGATIVE, "tau": ABOVE_ZERO},
        ),
        Loss(
            name="at",
            term=at,
            needs="maps",
            kind="features",
            summary="attention over positions, or over time",
            paper="arXiv:1612.03928",
            allowed={},
            weight=1000.0,
            timed=True,
        ),
        Loss(
            name="sp",
            term=sp,
            needs="maps",
            kind="features",
            summary="similarity of the windows of a batch",
            paper="arXiv:1907.09682",
            allowed={"merge": get_args(Merge)},
            weight=3000.0,
        ),
        Loss(
            name="rkd",
            term=rkd,
            needs="embedding",
            kind="features",
            summary="distances and angles between embeddings",
            paper="arXiv:1904.05068",
            allowed={"distance": NOT_NEGATIVE, "angle": NOT_NEGATIVE},
        ),
        Loss(
            name="dcd",
            term=Contrast,
            needs="embedding",
            kind="features",
            summary="contrast of embeddings within the batch, with trained projections",
            paper="arXiv:2407.11802",
            allowed={"dim": FROM_ONE, "consistency": NOT_NEGATIVE},
        ),
        Loss(
            name="hint",
            term=Hint,
            needs="maps",
            kind="features",
            summary="the map of one stage, through a trained adapter",
            paper="arXiv:1412.6550",
            allowed={"stage": FROM_ONE},
            weight=100.0,
            timed=True,
        ),
    )
}
"""Weights of at, sp and hint are those that the benchmark of arXiv:1910.10699 uses too."""


def _registered(name: str) -> Loss:
    return LOSSES[name]
