"""Several trainings at once: in every step one forward pass, one backward pass and one update, of stacked networks.

On a GPU a step of a small network is bound by how fast operations are launched, and not by how fast they are computed: many
networks that do each operation together are to take little longer than one. On a CPU, where it was measured, it loses a
tenth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from distill import interrupts
from distill.augment import Augmenter
from distill.batching import Samples
from distill.checkpoint import Checkpoints
from distill.divergence import DivergenceError, broken_gradients
from distill.feeding import Batch, stacked
from distill.learner import Learner, Trained, averaged
from distill.lessons import Lesson, Parts, lessons_of
from distill.prediction import repeatable
from distill.schedule import Schedule
from distill.stacking import Stack, StackedOptimizer
from distill.standing import state_of
from distill.teaching import Teaching
from distill.trace import Trace
from distill.views import View
from tsimage.errors import UserError

Found = list[tuple[Lesson, Parts, dict[str, float | Tensor]]]
"""Of every lesson of a step the parts of the losses and their weights."""


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
        self.tells = dict(zip(map(id, learners), tells, strict=True))
        self.ends: dict[int, Trained | DivergenceError] = {}
        self._stack(learners)

    def _stack(self, learners: list[Learner]) -> None:
        """Begin, or go on, with these."""
        self.learners = learners
        if not learners:
            return
        self.stack = Stack([learner.model for learner in learners])
        self.optimizer = StackedOptimizer(self.stack, [learner.optimizer for learner in learners])
        self.mean = None
        means = [learner.mean for learner in learners if learner.mean is not None]
        if means:
            self.mean = averaged(self.stack, learners[0].schedule.ema)
            self.mean.module.take([mean.module for mean in means])  # type: ignore[operator]
            self.mean.n_averaged = means[0].n_averaged.clone()
            for mean in means:
                mean.n_averaged = self.mean.n_averaged
        self.lessons = lessons_of(learners)

    def run(self, validation: Samples | None) -> list[Trained | DivergenceError]:
        """Train from here to the end."""
        for learner in self.all:
            for row in learner.history:
                self.tells[id(learner)](row)
        with interrupts.held():
            self._dismiss()
            while self.learners:
                self._train_epoch()
                self._share()
                for learner in self.learners:
                    try:
                        row = learner.end_epoch(validation)
                    except DivergenceError as error:
                        self.ends[id(learner)] = error
                    else:
                        self.tells[id(learner)](row)
                for lesson in self.lessons:
                    lesson.sums = {}
                self._drop()
                if self.learners:
                    self._keep(ended=self.learners[0].epoch - 1)
                self._dismiss()
        return [self.ends[id(learner)] for learner in self.all]

    def _dismiss(self) -> None:
        """Let those leave that have ended or failed."""
        for learner in self.learners:
            if learner.has_ended and id(learner) not in self.ends:
                try:
                    self.ends[id(learner)] = learner.finish()
                except DivergenceError as error:
                    self.ends[id(learner)] = error
        self._drop()

    def _drop(self) -> None:
        """Go on without those that are known to have ended or failed."""
        left = [learner for learner in self.learners if id(learner) not in self.ends]
        if len(left) < len(self.learners):
            self._stack(left)

    def _train_epoch(self) -> None:
        """Do what is left of an epoch; the batches of all are of equal sizes."""
        self.stack.train()
        orders = {id(learner): learner.left() for learner in self.learners}
        while self.learners and self.learners[0].batch < self.learners[0].steps_per_epoch:
            positions = np.stack([next(orders[id(learner)]) for learner in self.learners])
            self._train_step(positions)
            for learner in self.learners:
                learner.end_step()
            if any(id(learner) in self.ends for learner in self.learners):
                self._share()
                self._dismiss()
                if self.learners:
                    self.stack.train()
            if self.learners and self.learners[0].batch < self.learners[0].steps_per_epoch:
                self._keep()

    def _train_step(self, positions: np.ndarray) -> None:
        for learner in self.learners:
            learner.begin_step()
        batch = self._feed(positions)
        with repeatable(), torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            student = self.stack.trace(batch.inputs)
        with repeatable():
            found: Found = [(lesson, *lesson.losses(student, batch)) for lesson in self.lessons]
        is_finite = [torch.isfinite(parts["loss"]) for _, parts, _ in found]
        for (lesson, parts, _), finite in zip(found, is_finite, strict=True):
            for k, fine in enumerate(finite.tolist()):
                if not fine:
                    of_one = {name: part[k] for name, part in parts.items()}
                    self._fail(lesson.learners[k], lesson.places[k], batch, student, of_one)
        self._take_norms(found)
        # the loss of who failed counts as 0: whatever its gradient is, it touches nobody else's weights
        losses = [parts["loss"].where(finite, 0.0) for (_, parts, _), finite in zip(found, is_finite, strict=True)]
        total = torch.cat(losses).sum()
        for weight in self.optimizer.whole.param_groups[0]["params"]:
            weight.grad = None
        with repeatable():
            total.backward()
        self._fail_exploded(positions)
        self.optimizer.step()
        if self.mean is not None:
            self.mean.update_parameters(self.stack)
        right = (student.logits.detach().argmax(2) == batch.labels).float().mean(1)
        for lesson, parts, _ in found:
            lesson.count({**parts, "accuracy": right[lesson.index]}, positions.shape[1])

    def _feed(self, positions: np.ndarray) -> Batch:
        """Return what all networks are given; at once where it is not augmented."""
        first = self.learners[0]
        if first.augmenter is not None:
            return stacked([a.feed(of_one) for a, of_one in zip(self.learners, positions, strict=True)])
        fed = first.feed(positions.ravel())
        shape = positions.shape
        return Batch(
            positions=positions,
            index=fed.index.unflatten(0, shape),
            values=fed.values.unflatten(0, shape),
            inputs=fed.inputs.unflatten(0, shape),
            labels=fed.labels.unflatten(0, shape),
        )

    def _fail(self, learner: Learner, place: int, batch: Batch, student: Trace, parts: dict[str, Tensor]) -> None:
        self._share()
        error = learner.diverged(batch[place], student[place], parts)
        self.ends[id(learner)] = learner.replayed(batch.positions[place], error)

    def _fail_exploded(self, positions: np.ndarray) -> None:
        """Let those fail whose gradient is not finite; the update that follows touches nobody else's weights."""
        if not broken_gradients(("", parameter) for parameter in self.optimizer.whole.param_groups[0]["params"]):
            return
        for place, learner in enumerate(self.learners):
            named = zip(learner.model.named_parameters(), self.stack.weights, strict=True)
            gradients = [(name, stacked.grad[place]) for (name, _), stacked in named if stacked.grad is not None]
            names = [name for name, gradient in gradients if not bool(torch.isfinite(gradient).all())]
            names += broken_gradients(learner.adapters.named_parameters())
            if names and id(learner) not in self.ends:
                self._share()
                self.ends[id(learner)] = learner.replayed(positions[place], learner.exploded(names, positions[place]))

    def _take_norms(self, found: Found) -> None:
        """Take the norms of the gradients of each part, of all networks at once, where they are to be logged."""
        wanted = [lesson for lesson in self.lessons if any(learner.wants_norms for learner in lesson.learners)]
        if not wanted:
            return
        asked = [(parts, weights) for lesson, parts, weights in found if lesson in wanted]
        norms: dict[str, list[float]] = {}
        for name in dict.fromkeys(name for _, weights in asked for name in weights):
            having = [weights[name] * parts[name] for parts, weights in asked if name in parts and name in weights]
            if having:
                with repeatable():
                    total = torch.cat(having).sum()
                    gradients = torch.autograd.grad(
                        total, list(self.stack.weights), retain_graph=True, allow_unused=True
                    )
                squares = [g.float().flatten(1).square().sum(1) for g in gradients if g is not None]
                norms[name] = torch.stack(squares).sum(0).sqrt().tolist()
        for lesson, parts, weights in found:
            for k, (place, learner) in enumerate(zip(lesson.places, lesson.learners, strict=True)):
                if learner.wants_norms:
                    of_one = {n: float(w[k] if isinstance(w, Tensor) and w.ndim else w) for n, w in weights.items()}
                    learner.norms = {f"weight {name}": weight for name, weight in of_one.items()}
                    learner.norms |= {f"gradient {name}": norms[name][place] for name in weights if name in parts}

    def _share(self) -> None:
        """Let every learner have what the stack does not give it by itself."""
        self.optimizer.share()
        for lesson in self.lessons:
            lesson.share()

    def _keep(self, ended: int | None = None) -> None:
        """Write the checkpoints of all as soon as one is due, so that all stand at the same step; leave if asked to.

        One that has ended while others go on is written whatever is due: it is recorded with them only.
        """
        is_due = interrupts.asked() or any(
            learner.checkpoints is not None and learner.checkpoints.is_due(ended) for learner in self.learners
        )
        leaving = [learner for learner in self.learners if learner.has_ended]
        if len(leaving) == len(self.learners):  # nobody goes on, so that nobody is waited for
            leaving = []
        if is_due or leaving:
            self._share()
        for learner in self.learners if is_due else leaving:
            if learner.checkpoints is not None:
                learner.checkpoints.write(*state_of(learner))
        interrupts.leave()
