"""Several trainings at once: in every step one forward pass, one backward pass and one update, of stacked networks.

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
    on alone, or with others.

    One that ends before the others, by patience or since its loss is no longer finite, leaves the stack.

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
        If augmentations differ, checkpoints stand at different steps, or one is damaged, of another training, or of one that
        went in micro-batches.
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
    if len({(learner.step, learner.batch) for learner in learners}) > 1:
        steps = ", ".join(str(learner.step) for learner in learners)
        raise UserError(f"trainings that have done {steps} steps cannot go together: train them one by one")
    tells = [pupil.on_epoch or (lambda row: None) for pupil in pupils]
    return _Together(learners, tells, precision).run(validation)


class _Together:
    """Trainings under way, in a stack; those that leave are no longer in it."""

    def __init__(
        self,
        learners: list[Learner],
        tells: list[Callable[[dict[str, float]], None]],
        precision: Literal["bf16", "fp32"],
    ) -> None:
        self.all, self.precision = learners, precision
        self.tells = dict(zip(learners, tells, strict=True))
        self.ends: dict[Learner, Trained | DivergenceError] = {}
        self.left = list(learners)
        """Those that have neither ended nor failed."""

    def run(self, validation: Samples | None) -> list[Trained | DivergenceError]:
        """Train from here to the end."""
        for learner in self.all:
            for row in learner.history:
                self.tells[learner](row)
        stacked = None
        with interrupts.held():
            self._dismiss()
            while self.left:
                stacked = self._gathered(stacked)
                for learner, error in stacked.train_step().items():
                    self._end(learner, error)
                if stacked.has_ended_epoch:
                    self._end_epoch(stacked, validation)
                elif self.left:
                    self._keep(stacked)
        return [self.ends[learner] for learner in self.all]

    def _gathered(self, before: StackedLearners | None) -> StackedLearners:
        """Return those who are left, who stand where a stack left them."""
        if before is not None and before.learners == self.left:
            return before
        if before is not None:
            before.share()
        return StackedLearners(self.left, self.precision)

    def _end_epoch(self, stacked: StackedLearners, validation: Samples | None) -> None:
        stacked.share()
        for learner in list(self.left):
            try:
                row = learner.end_epoch(validation)
            except DivergenceError as error:
                self._end(learner, error)
            else:
                self.tells[learner](row)
        stacked.begin_epoch()
        if self.left:
            self._keep(stacked, ended=self.left[0].epoch - 1)
        self._dismiss()

    def _dismiss(self) -> None:
        """Let those leave that have ended."""
        for learner in [learner for learner in self.left if learner.has_ended]:
            try:
                self._end(learner, learner.finish())
            except DivergenceError as error:
                self._end(learner, error)

    def _end(self, learner: Learner, end: Trained | DivergenceError) -> None:
        self.left.remove(learner)
        self.ends[learner] = end

    def _keep(self, stacked: StackedLearners, ended: int | None = None) -> None:
        """Write the checkpoints of all as soon as one is due, so that all stand at the same step; leave if asked to.

        One that has ended while others go on is written whatever is due: it is recorded with them only.
        """
        is_due = interrupts.asked() or any(
            learner.checkpoints is not None and learner.checkpoints.is_due(ended) for learner in self.left
        )
        leaving = [learner for learner in self.left if learner.has_ended]
        if len(leaving) == len(self.left):  # nobody goes on, so that nobody is waited for
            leaving = []
        if is_due or leaving:
            stacked.share()
        for learner in self.left if is_due else leaving:
            if learner.checkpoints is not None:
                learner.checkpoints.write(*state_of(learner))
        interrupts.leave()
