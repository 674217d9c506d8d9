"""How long trainings will take, from timing a few real steps of each kind; nothing is kept of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from functools import partial

import numpy as np

from distill.assembly import teaching_of
from distill.batching import Samples
from distill.device import free_memory, is_out_of_memory
from distill.divergence import DivergenceError
from distill.plan import Plan, Training
from distill.schedule import Schedule
from distill.teacher_names import RIDGES
from distill.teaching import asked_once, live
from distill.train import train

_STEPS = 3


def estimate(plan: Plan, steps: int = _STEPS) -> list[tuple[Training, float]]:
    """Return each training of a plan with the seconds it will take; see `estimate_all`."""
    trainings = plan.trainings()
    return list(zip(trainings, estimate_all(((plan, training) for training in trainings), steps), strict=True))


def estimate_all(trainings: Iterable[tuple[Plan, Training]], steps: int = _STEPS) -> list[float]:
    """Return the seconds that each training will take here: 0 where it is done, NaN where timing tells nothing.

    Trainings of the same network, view and batch on the same windows are timed once.
    """
    seconds: dict[tuple[object, ...], float] = {}
    found = []
    for plan, training in trainings:
        if training.is_done:
            found.append(0.0)
            continue
        # a loss of cached logits takes next to no time, so that such a student is timed as one without teachers
        is_taught = training.role == "student" and (plan.run.is_live or plan.run.compares_embeddings)
        of_student: tuple[object, ...] = ()
        if is_taught:
            teachers = [plan.teacher_training(one, training.split, training.seed) for one in plan.teachers]
            looked_at = tuple((one.network, one.view.key()) for one in teachers)
            of_student = (looked_at, plan.run.loss, plan.run.weighing, plan.run.is_live)
        shape = (plan.fingerprint, plan.schedule.batch_size, plan.run.augment, plan.device, plan.precision)
        key = (*shape, training.network, training.view.key(), *of_student)
        if key not in seconds:
            seconds[key] = _timed(plan, training, is_taught, steps)
        steps_per_epoch = -(-len(training.split.train) // plan.schedule.batch_size)
        found.append(seconds[key] * steps_per_epoch * plan.schedule.epochs)
    return found


def _timed(plan: Plan, training: Training, is_taught: bool, steps: int) -> float:
    """Return the seconds of a step, NaN where a few steps cannot be done as they are: the training itself says why."""
    try:
        return _step_seconds(plan, training, is_taught, steps)
    except DivergenceError:
        return math.nan
    except (RuntimeError, MemoryError) as error:  # a training then takes batches in parts
        if not is_out_of_memory(error):
            raise
    free_memory()
    return math.nan


def _step_seconds(plan: Plan, training: Training, is_taught: bool, steps: int) -> float:
    if training.network in RIDGES:
        return math.nan
    samples = plan.samples(training.split.train)
    size = min(len(samples.ids), plan.schedule.batch_size)
    labels = samples.labels[:size].clone()
    labels[0] = samples.labels.max()  # of which the number of classes is told
    few = Samples(values=samples.values[:size], labels=labels, ids=samples.ids[:size])
    times: list[float] = []
    lesson = None
    if is_taught:
        speak = live if plan.run.is_live else partial(asked_once, values=few.values, embeddings=True)
        teachers = [plan.teacher_training(teacher, training.split, training.seed) for teacher in plan.teachers]
        lesson = teaching_of(plan.run, [speak(plan.build(one, samples), one.view) for one in teachers])
    train(
        plan.build(training, samples),
        training.view,
        few,
        Schedule(epochs=1 + steps, batch_size=size, learning_rate=Schedule.final_rate),  # low, so that none diverges
        seed=training.seed,
        teaching=lesson,
        augmenter=plan.augmenter(samples, training.seed),
        precision=plan.precision,
        on_epoch=lambda _: times.append(time.monotonic()),
    )
    return float(np.median(np.diff(times)))
