"""Learners that do the same steps: one forward pass, one backward pass and one update, of their stacked networks."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from distill.divergence import DivergenceError, broken_gradients
from distill.feeding import Batch, stacked
from distill.learner import Learner, averaged
from distill.lessons import Lesson, Parts, lessons_of
from distill.prediction import repeatable
from distill.stacking import Stack, StackedOptimizer
from distill.trace import Trace

Found = list[tuple[Lesson, Parts, dict[str, float | Tensor]]]
"""Of every lesson of a step the parts of the losses and their weights."""


class StackedLearners:
    """Learners that stand before the same step, and do it, and those that follow, at once.

    Each draws what it draws alone. Its loss touches no other's weights, so that the gradient of the sum of all losses is
    everyone's own.

    Parameters
    ----------
    learners : sequence of Learner
        At least one; their networks are of one architecture. From here on these are slices of the stack.
    precision : {"bf16", "fp32"}
    """

    def __init__(self, learners: Sequence[Learner], precision: Literal["bf16", "fp32"]) -> None:
        self.learners, self.precision = list(learners), precision
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
        self._left = [learner.left() for learner in learners]  # the batches of all are of equal sizes

    def begin_epoch(self) -> None:
        """Stand where the learners stand, who have ended an epoch."""
        for lesson in self.lessons:
            lesson.sums = {}
        self._left = [learner.left() for learner in self.learners]

    @property
    def has_ended_epoch(self) -> bool:
        """Whether no batch is left of the epoch."""
        return self.learners[0].batch == self.learners[0].steps_per_epoch

    def share(self) -> None:
        """Let every learner have what the stack does not give it by itself."""
        self.optimizer.share()
        for lesson in self.lessons:
            lesson.share()

    def train_step(self) -> dict[Learner, DivergenceError]:
        """Do a step of all; returns what those failed of whose loss or gradient is not finite.

        Who failed stands where it failed, with a network that counts no more; the others are touched by nothing of it.
        """
        positions = np.stack([next(left) for left in self._left])
        for learner in self.learners:
            learner.begin_step()
        batch = self._feed(positions)
        with repeatable(), torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            student = self.stack.trace(batch.inputs)
        with repeatable():
            found: Found = [(lesson, *lesson.losses(student, batch)) for lesson in self.lessons]
        is_finite = [torch.isfinite(parts["loss"]) for _, parts, _ in found]
        failed: dict[Learner, DivergenceError] = {}
        for (lesson, parts, _), finite in zip(found, is_finite, strict=True):
            for k, fine in enumerate(finite.tolist()):
                if not fine:
                    of_one = {name: part[k] for name, part in parts.items()}
                    failed[lesson.learners[k]] = self._diverged(lesson.places[k], batch, student, of_one)
        self._take_norms(found)
        # the loss of who failed counts as 0: whatever its gradient is, it touches nobody else's weights
        losses = [parts["loss"].where(finite, 0.0) for (_, parts, _), finite in zip(found, is_finite, strict=True)]
        total = torch.cat(losses).sum()
        for weight in self.optimizer.whole.param_groups[0]["params"]:
            weight.grad = None
        with repeatable():
            total.backward()
        failed |= self._exploded(positions, failed)
        self.optimizer.step()
        if self.mean is not None:
            self.mean.update_parameters(self.stack)
        right = (student.logits.detach().argmax(2) == batch.labels).float().mean(1)
        for lesson, parts, _ in found:
            lesson.count({**parts, "accuracy": right[lesson.index]}, positions.shape[1])
        for learner in self.learners:
            learner.end_step()
        return failed

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

    def _diverged(self, place: int, batch: Batch, student: Trace, parts: dict[str, Tensor]) -> DivergenceError:
        self.share()
        learner = self.learners[place]
        return learner.replayed(batch.positions[place], learner.diverged(batch[place], student[place], parts))

    def _exploded(self, positions: np.ndarray, known: Container[Learner]) -> dict[Learner, DivergenceError]:
        """Return, but for those who are known to have failed, whose gradient is not finite."""
        failed: dict[Learner, DivergenceError] = {}
        if not broken_gradients(("", parameter) for parameter in self.optimizer.whole.param_groups[0]["params"]):
            return failed
        for place, learner in enumerate(self.learners):
            named = zip(learner.model.named_parameters(), self.stack.weights, strict=True)
            gradients = [(name, stacked.grad[place]) for (name, _), stacked in named if stacked.grad is not None]
            names = [name for name, gradient in gradients if not bool(torch.isfinite(gradient).all())]
            names += broken_gradients(learner.adapters.named_parameters())
            if names and learner not in known:
                self.share()
                failed[learner] = learner.replayed(positions[place], learner.exploded(names, positions[place]))
        return failed

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
