"""Which trainings of a plan may go through the same steps, and how many of them at once."""

from __future__ import annotations

import json
from typing import NamedTuple

from distill.keeping import Keeping
from distill.plan import Plan, Training
from distill.teacher_names import RIDGES
from distill.trainings import checkpoints_of
from tsimage.errors import UserError

_STEP = ("windows", "network", "view", "schedule", "augment", "device", "precision")


class Kind(NamedTuple):
    """What trainings that go together have in common."""

    step: str
    """What a step is done with, and so about how much memory it takes; the same in all folds."""
    parts: str
    """The windows that are learnt from, and those that an epoch is chosen on."""


def kind(plan: Plan, training: Training) -> Kind | None:
    """Return what trainings must have in common to go together; None for one that goes alone.

    They are the same network on the same view of the same windows, with the same schedule and augmentation. They may differ in
    seed, in first weights, and in everything that a student takes from teachers. A ridge has no steps, and goes alone.
    """
    if training.network in RIDGES:
        return None
    made = plan.identity(training)
    return Kind(
        step=json.dumps([made[name] for name in _STEP], sort_keys=True),
        parts=json.dumps([plan.run.protocol, made["parts"]]),
    )


def has_begun(plan: Plan, training: Training, keeping: Keeping) -> bool | None:
    """Whether there is a checkpoint to go on from; None for a training that must go on alone, as in micro-batches."""
    try:
        kept = checkpoints_of(plan, training, keeping).read()
    except UserError:  # a damaged one, of which the training itself tells
        return None
    if kept is None:
        return False
    return True if kept[1]["micro_batches"] == 1 else None


class Sizes:
    """How many trainings of a kind go together: as many as are asked for, or fewer where memory ran out.

    Parameters
    ----------
    most : int
        As many as are asked for.

    Examples
    --------
    >>> sizes, one, fold = Sizes(16), Kind("wrn16-1", "fold 1"), Kind("wrn16-1", "fold 2")
    >>> sizes.lower(one, 8)
    >>> sizes.of(one), sizes.of(fold), sizes.of(Kind("wrn28-3", "fold 1"))
    (8, 8, 16)
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._fitting: dict[str, int] = {}

    def of(self, kind: Kind) -> int:
        """Return the most that are known to fit, or are not known not to."""
        return self._fitting.get(kind.step, self.most)

    def lower(self, kind: Kind, size: int) -> None:
        """Let no more than so many go together from here on."""
        self._fitting[kind.step] = size
