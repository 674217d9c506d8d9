"""The losses of several students in one step: of those that learn alike in one call, of others one by one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from distill.feeding import Batch
from distill.learner import Learner
from distill.losses import combine
from distill.teaching import Cached, Teaching, at_temperature, effective_weights
from distill.trace import Trace
from distill.weighing import weigh

Parts = dict[str, Tensor]
"""By name, each of shape (student,)."""


class Lesson:
    """Students of a stack whose losses are computed in one call, and what the epoch has of them so far.

    Parameters
    ----------
    places : sequence of int
        Of the students in the stack.
    learners : sequence of Learner
        The students; more than one only if `alike` says that all of them learn alike.
    """

    def __init__(self, places: Sequence[int], learners: Sequence[Learner]) -> None:
        self.places, self.learners = list(places), list(learners)
        first = self.learners[0]
        device = first.samples.values.device
        self.index = torch.tensor(self.places, device=device)
        """The places, on the device."""
        self._rows = torch.arange(len(self.places), device=device)[:, None]
        self.sums: Parts = {name: torch.stack([a.sums[name] for a in self.learners]) for name in first.sums}
        self._is_own = alike(first.teaching) is None
        self._teachings = [a.teaching for a in self.learners if a.teaching is not None]
        self._said: list[Tensor] = []
        self._shares = torch.zeros(len(self.places), 0, device=device)
        if self._teachings and not self._is_own:
            tables = [[t.logits for t in a.teachers if isinstance(t, Cached)] for a in self._teachings]
            self._said = [torch.stack(of_teacher) for of_teacher in zip(*tables, strict=True)]
            if self._teachings[0].weighing == "fixed":
                none = torch.zeros(len(self._said), 1, 1, device=device, dtype=torch.float32)  # as when alone
                shares = [weigh("fixed", a.weights, none[0], none, self.index)[:, 0] for a in self._teachings]
                self._shares = torch.stack(shares)

    def losses(self, student: Trace, batch: Batch) -> tuple[Parts, dict[str, float | Tensor]]:
        """Return the parts of the loss of every student, and their effective weights, as `Teaching.losses` does.

        Parameters
        ----------
        student : Trace
            Of the whole stack.
        batch : Batch
            Of the whole stack.

        Returns
        -------
        parts : dict of str to Tensor, shape (student,)
        weights : dict of str to float or Tensor, shape (student,)
            Empty for students without teachers.
        """
        if self._is_own:
            return self._own_losses(student[self.places[0]], batch[self.places[0]])
        first = self.learners[0]
        step, steps, epoch = first.step, first.steps, first.epoch
        logits = student.logits[self.index]
        tensors = {"logits": logits, "labels": batch.labels[self.index]}
        if batch.targets is not None:
            tensors["targets"] = batch.targets[self.index]
        if first.class_weights is not None:
            # a row for each: label smoothing by weights that are common to all does not go through vmap
            tensors["class_weights"] = first.class_weights.expand(len(self.places), -1)
        terms = self._teachings[0].terms if self._teachings else ()
        if self._teachings:
            # in the precision of the loss, so that a student does not learn otherwise than alone
            wide = torch.promote_types(logits.dtype, torch.float32)
            numbers = [[a.lambda_at(step, steps), a.temperature_at(step, steps)] for a in self._teachings]
            lambdas, temperatures = torch.tensor(numbers, dtype=wide, device=logits.device).unbind(1)
            said = torch.stack([table[self._rows, batch.index[self.index]] for table in self._said], dim=1)
            tensors |= {"said": said, "shares": self._shares, "lambda": lambdas, "temperature": temperatures}
        weighing = self._teachings[0].weighing if self._teachings else ""

        def of_one(x: Parts) -> tuple[Parts, Tensor]:
            habits = {**first.habits(x.get("targets")), "class_weights": x.get("class_weights")}
            student, labels = Trace(logits=x["logits"]), x["labels"]
            if not terms:
                return combine((), student, (), labels, labels.new_zeros(0), **habits), labels.new_zeros(0)
            said, temperature = x["said"], x["temperature"]
            if weighing == "fixed":
                weights = x["shares"][:, None].expand(said.shape[:2])
            else:
                weights = weigh(weighing, (), student.logits.detach().float(), said.float(), labels, temperature)  # type: ignore[arg-type]
            parts = combine(
                [at_temperature(term, temperature) for term in terms],
                student,
                [Trace(logits=logits) for logits in said],
                labels,
                weights,
                lambda_=x["lambda"],  # type: ignore[arg-type]  # one number of each student
                epoch=epoch,
                **habits,
            )
            return parts, weights.mean(dim=1)

        parts, shares = torch.vmap(of_one)(tensors)
        if not self._teachings:
            return parts, {}
        of_teachers = {f"teacher_{k}": share for k, share in enumerate(shares.unbind(1))}
        return parts, {**effective_weights(terms, lambdas, epoch), **of_teachers}

    def _own_losses(self, student: Trace, batch: Batch) -> tuple[Parts, dict[str, float | Tensor]]:
        """Return the same of the only student."""
        learner, teaching = self.learners[0], self._teachings[0]
        parts, weights = teaching.losses(
            student,
            batch.index,
            batch.values,
            batch.labels,
            epoch=learner.epoch,
            step=learner.step,
            steps=learner.steps,
            **learner.habits(batch.targets),
        )
        return {name: part[None] for name, part in parts.items()}, weights

    def count(self, parts: Parts, windows: int) -> None:
        """Add the losses of a batch to what the epoch has of them."""
        for name, part in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + part.detach().float() * windows

    def share(self) -> None:
        """Give every student its part of the sums."""
        for k, learner in enumerate(self.learners):
            learner.sums = {name: total[k] for name, total in self.sums.items()}


def lessons_of(learners: Sequence[Learner]) -> list[Lesson]:
    """Return the lessons of the students of a stack, in which those that learn alike are together."""
    kinds: dict[Hashable, list[int]] = {}
    for place, learner in enumerate(learners):
        kind = alike(learner.teaching)
        kinds.setdefault(place if kind is None else kind, []).append(place)
    return [Lesson(places, [learners[place] for place in places]) for places in kinds.values()]


def alike(teaching: Teaching | None) -> tuple[Any, ...] | None:
    """Return what students have in common whose losses can be computed in one call; None for one that needs its own.

    They may differ in teachers, if these are cached, and in lambda, temperature and fixed weights. Terms of features look at
    more than logits, and have parameters or live teachers of their own; `ae-kd` solves for its weights outside of torch.

    >>> alike(None)
    ()
    """
    if teaching is None:
        return ()
    is_cached = all(isinstance(teacher, Cached) for teacher in teaching.teachers)
    if not is_cached or len(teaching.modules) or teaching.weighing == "ae-kd":
        return None
    terms = tuple(at_temperature(term, 1.0) for term in teaching.terms)
    if any(term.loss.kind != "logits" for term in terms):
        return None
    return (len(teaching.teachers), teaching.weighing, *((t.loss.name, *sorted(t.options.items())) for t in terms))
