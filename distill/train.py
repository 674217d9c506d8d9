"""The training loop: from a network, windows and perhaps teachers to trained weights, and on from a checkpoint."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import nn

from distill import interrupts
from distill.augment import Augmenter
from distill.batching import Samples
from distill.checkpoint import Checkpoints
from distill.divergence import DivergenceError, broken_gradients
from distill.feeding import Batch
from distill.gradients import PartGradients
from distill.learner import Learner, Trained
from distill.losses import combine
from distill.prediction import repeatable
from distill.schedule import Schedule
from distill.standing import state_of
from distill.teaching import Teaching
from distill.trace import Trace
from distill.views import View

Precision = Literal["bf16", "fp32"]


def train(
    model: nn.Module,
    view: View,
    samples: Samples,
    schedule: Schedule,
    *,
    seed: int,
    teaching: Teaching | None = None,
    validation: Samples | None = None,
    augmenter: Augmenter | None = None,
    precision: Precision = "fp32",
    micro_batches: int = 1,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Trained:
    """Train `model` in place, from labels and, with `teaching`, from teachers.

    Parameters
    ----------
    model : Module
        Its `trace` of a batch of the view holds the logits; on the device of the samples.
    view : View
        What the model looks at; images are painted batch by batch.
    samples : Samples
        The training windows; nothing else is learnt from.
    schedule : Schedule
    seed : int
        Fixes the order of the batches, together with epoch and window ids.
    teaching : Teaching, optional
        Without it the loss is the cross entropy.
    validation : Samples, optional
        Windows that decide when to stop; needed where the schedule has patience.
    augmenter : Augmenter, optional
        Changes each batch; live teachers see what the student sees.
    precision : {"bf16", "fp32"}
        bf16 runs the forward pass under autocast; weights and loss stay float32.
    micro_batches : int
        Parts in which every batch goes through the networks, for less memory; their gradients add up to that of the batch.
        Batch normalisation, class weights and losses that compare windows see a part at a time, so that more than one
        trains differently.
    checkpoints : Checkpoints, optional
        Where the state is kept while training; one that is there is gone on from, and the end is the same to the bit. It is
        the caller's to remove it.
    on_epoch : callable, optional
        Receives of every epoch, those before a checkpoint too, its number (from 1), the learning rate, the mean of each
        part of the loss, the training accuracy, with `validation` the accuracy there, and in some epochs the effective
        weight and the gradient norm of each part in the first batch.

    Returns
    -------
    Trained

    Raises
    ------
    DivergenceError
        When the loss or a gradient is no longer finite, with epoch, step and window ids, or a weight at the end.
    UserError
        If a checkpoint is damaged or of another training.
    Interrupted
        After a checkpoint, where `distill.interrupts` holds a signal.
    """
    learner = Learner(
        model,
        view,
        samples,
        schedule,
        seed=seed,
        teaching=teaching,
        augmenter=augmenter,
        checkpoints=checkpoints,
        micro_batches=micro_batches,
    )
    tell = on_epoch or (lambda row: None)
    for row in learner.history:
        tell(row)
    with interrupts.held():
        while not learner.has_ended:
            _train_epoch(learner, precision)
            row = learner.end_epoch(validation)
            tell(row)
            _keep(learner, ended=int(row["epoch"]))
    return learner.finish()


def _train_epoch(learner: Learner, precision: Precision) -> None:
    """Do what is left of an epoch."""
    learner.model.train()
    for positions in learner.left():
        try:
            _train_step(learner, positions, precision)
        except DivergenceError as error:
            raise learner.replayed(positions, error) from None
        learner.end_step()
        if learner.batch < learner.steps_per_epoch:
            _keep(learner)


def _train_step(learner: Learner, positions: np.ndarray, precision: Precision) -> None:
    learner.begin_step()
    batch = learner.feed(positions)
    learner.optimizer.zero_grad(set_to_none=True)
    gradients = PartGradients(learner.model) if learner.wants_norms else None
    if learner.micro_batches == 1:
        _learn(learner, batch, precision, gradients, share=1.0)
    else:
        cuts = np.linspace(0, len(positions), learner.micro_batches + 1).round().astype(int)
        for start, stop in itertools.pairwise(cuts):
            _learn(learner, batch[start:stop], precision, gradients, share=(stop - start) / len(positions))
    if gradients is not None:
        learner.norms = gradients.logged()
    broken = broken_gradients([*learner.model.named_parameters(), *learner.adapters.named_parameters()])
    if broken:
        raise learner.exploded(broken, positions)
    learner.optimizer.step()
    if learner.mean is not None:
        learner.mean.update_parameters(learner.model)


def _learn(
    learner: Learner, batch: Batch, precision: Precision, gradients: PartGradients | None, *, share: float
) -> None:
    """Add the gradient of a batch, or of a part of one, and its losses to what the epoch has of them.

    Of each part of the loss the gradient is added to `gradients`, where it is to be logged.
    """
    with repeatable(), torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=precision == "bf16"):
        student: Trace = learner.model.trace(batch.inputs)  # type: ignore[operator]
    labels, habits = batch.labels, learner.habits(batch.targets)
    weights: dict[str, float | torch.Tensor] = {}
    if learner.teaching is None:
        parts = combine((), student, (), labels, labels.new_zeros(0), **habits)
    else:
        with repeatable():
            parts, weights = learner.teaching.losses(
                student,
                batch.index,
                batch.values,
                labels,
                epoch=learner.epoch,
                step=learner.step,
                steps=learner.steps,
                **habits,
            )
    if not math.isfinite(parts["loss"].item()):
        raise learner.diverged(batch, student, parts)
    if gradients is not None:
        with repeatable():
            gradients.add(parts, weights, share)
    with repeatable():
        (parts["loss"] if share == 1 else share * parts["loss"]).backward()
    parts["accuracy"] = (student.logits.detach().argmax(1) == labels).float().mean()
    for name, part in parts.items():
        learner.sums[name] = learner.sums.get(name, 0.0) + part.detach().float() * len(batch.positions)


def _keep(learner: Learner, ended: int | None = None) -> None:
    """Write a checkpoint where one is due, or where the process was asked to stop, and then leave."""
    checkpoints = learner.checkpoints
    if checkpoints is not None and (interrupts.asked() or checkpoints.is_due(ended)):
        checkpoints.write(*state_of(learner))
    interrupts.leave()
