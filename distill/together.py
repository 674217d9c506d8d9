"""Several trainings at once, in the same steps: who goes on, who has ended, and their checkpoints.

On a GPU a step of a small network is bound by how fast operations are launched, and not by how fast they are computed: many
networks that do each operation together are to take little longer than one. On a CPU, where it was measured, it loses a
tenth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from distill import interrupts
from distill.augment import Augmenter
from distill.batching import Samples
from distill.checkpoint import Checkpoints
from distill.divergence import DivergenceError
from distill.learner import Learner, Trained
from distill.schedule import Schedule
from distill.stacked_learners import StackedLearners
from distill.standing import state_of
from distill.teaching import Teaching
from distill.views import View
from tsimage.errors import UserError


@dataclass(frozen=True, kw_only=True, eq=False)
class Pupil:
    """What one of several trainings has of its own; see `distill.train.train`."""

    model: nn.Module
    seed: int
    teaching: Teaching | None = None
    augmenter: Augmenter | None = None
    checkpoints: Checkpoints | None = None
    on_epoch: Callable[[dict[str, float]], None] | None = None
    on_end: Callable[[Trained | DivergenceError], None] | None = None
    """Receives how it ended, or what it failed of, as soon as that is known, while others may go on."""


def train_together(
    pupils: Sequence[Pupil],
    view: View,
    samples: Samples,
    schedule: Schedule,
    *,
    validation: Samples | None = None,
    precision: Literal["bf16", "fp32"] = "fp32",
) -> list[Trained | DivergenceError]:
    """Train networks of one architecture in place, each as `distill.train.train` does it alone, all in the same steps.

    Every training draws what it draws alone: its batches, its augmentation, the first weights of its adapters. Its loss
    touches no other's weights, so that the gradient of the sum of all losses is everyone's own. What comes out differs from a
    training alone by rounding, as sums run in another order. A checkpoint is the one of a training alone, so that each may go
    on alone, or with others; those that stand further on than the others wait for them.

    One that ends before the others, by patience or since its loss is no longer finite, leaves the stack, and its `on_end` is
    called: what is to outlast a process that is killed while the others go on is to be written there.

    Parameters
    ----------
    pupils : sequence of Pupil
        At least one. Their augmenters, if any, have the same recipe.
    view : View
    samples : Samples
        The training windows of all; on the device of the networks, where they stay.
    schedule : Schedule
    validation : Samples, optional
    precision : {"bf16", "fp32"}

    Returns
    -------
    list of Trained or DivergenceError
        Of each training in its order how it ended, or what it failed of.

    Raises
    ------
    UserError
        If augmentations differ, or a checkpoint is damaged, of another training, or of one that went in micro-batches.
    Interrupted
        After the checkpoints, where `distill.interrupts` holds a signal.
    """
    recipes = {"" if pupil.augmenter is None else pupil.augmenter.recipe.label for pupil in pupils}
    if len(recipes) > 1:
        said = ", ".join(f"'{recipe}'" for recipe in sorted(recipes))
        raise UserError(f"trainings with the augmentations {said} cannot go together: train them one by one")
    learners = [
        Learner(
            pupil.model,
            view,
            samples,
            schedule,
            seed=pupil.seed,
            teaching=pupil.teaching,
            augmenter=pupil.augmenter,
            checkpoints=pupil.checkpoints,
            together=len(pupils),
        )
        for pupil in pupils
    ]
    if any(learner.micro_batches > 1 for learner in learners):
        raise UserError("trainings that go in micro-batches cannot go together: train them one by one")
    return _Together(dict(zip(learners, pupils, strict=True)), precision).run(validation)


class _Together:
    """Trainings under way, of which those that have done the fewest steps go on, in a stack."""

    def __init__(self, pupils: dict[Learner, Pupil], precision: Literal["bf16", "fp32"]) -> None:
        self.pupils, self.precision = pupils, precision
        self.ends: dict[Learner, Trained | DivergenceError] = {}
        self.left = list(pupils)
        """Those that have neither ended nor failed."""

    def run(self, validation: Samples | None) -> list[Trained | DivergenceError]:
        """Train from here to the end."""
        for learner in self.left:
            for row in learner.history:
                self._tell(learner, row)
        stacked = None
        with interrupts.held():
            self._dismiss()
            while self.left:
                stacked = self._gathered(stacked)
                for learner, error in stacked.train_step().items():
                    self._end(learner, error)
                if stacked.has_ended_epoch:
                    self._end_epoch(stacked, validation)
                else:
                    self._keep(stacked)
        return [self.ends[learner] for learner in self.pupils]

    def _gathered(self, before: StackedLearners | None) -> StackedLearners:
        """Return those who go on next: who ended is no longer among them, and who was ahead joins when the others are there."""
        fewest = min(learner.step for learner in self.left)
        going = [learner for learner in self.left if learner.step == fewest]
        if before is not None:
            if before.learners == going:
                return before
            before.share()
        return StackedLearners(going, self.precision)

    def _end_epoch(self, stacked: StackedLearners, validation: Samples | None) -> None:
        epoch = stacked.learners[0].epoch
        stacked.share()
        for learner in self._left_of(stacked):
            try:
                row = learner.end_epoch(validation)
            except DivergenceError as error:
                self._end(learner, error)
            else:
                self._tell(learner, row)
        stacked.begin_epoch()
        self._dismiss()
        self._keep(stacked, ended=epoch)

    def _left_of(self, stacked: StackedLearners) -> list[Learner]:
        return [learner for learner in stacked.learners if learner in self.left]

    def _dismiss(self) -> None:
        """Let those leave that have ended."""
        for learner in [learner for learner in self.left if learner.has_ended]:
            end: Trained | DivergenceError
            try:
                end = learner.finish()
            except DivergenceError as error:
                end = error
            self._end(learner, end)

    def _end(self, learner: Learner, end: Trained | DivergenceError) -> None:
        self.left.remove(learner)
        self.ends[learner] = end
        if on_end := self.pupils[learner].on_end:
            on_end(end)

    def _tell(self, learner: Learner, row: dict[str, float]) -> None:
        if on_epoch := self.pupils[learner].on_epoch:
            on_epoch(row)

    def _keep(self, stacked: StackedLearners, ended: int | None = None) -> None:
        """Write the checkpoints of all that go on as soon as one is due, so that they stay together; leave if asked to."""
        going = self._left_of(stacked)
        places = [(learner, learner.checkpoints) for learner in going if learner.checkpoints is not None]
        if interrupts.asked() or any(checkpoints.is_due(ended) for _, checkpoints in places):
            stacked.share()
            for learner, checkpoints in places:
                checkpoints.write(*state_of(learner))
        interrupts.leave()
