"""Trainings of a plan that go through the same steps, each in its own folder, which ends as when it goes alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from distill.batching import Samples
from distill.device import is_out_of_memory
from distill.divergence import DivergenceError
from distill.keeping import Keeping
from distill.plan import Plan, Training
from distill.progress import Progress
from distill.teacher_names import RIDGES
from distill.together import Pupil, train_together
from distill.trainings import Ready, checkpoints_of, conclude, made_ready, written
from tsimage.disk import DiskFullError
from tsimage.errors import UserError

_ALIKE = ("windows", "parts", "network", "view", "schedule", "augment", "device", "precision")


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A training that is to be done, by which plan, and what it is called while it is."""

    plan: Plan
    training: Training
    title: str


def kind(plan: Plan, training: Training) -> Hashable | None:
    """Return what trainings must have in common to go together; None for one that goes alone.

    They are the same network on the same view of the same windows, with the same schedule and augmentation. They may differ in
    seed, in first weights, and in everything that a student takes from teachers. A ridge has no steps, and goes alone.
    """
    if training.network in RIDGES:
        return None
    made = plan.identity(training)
    return plan.run.protocol, json.dumps([made[name] for name in _ALIKE], sort_keys=True)


def steps_done(plan: Plan, training: Training, keeping: Keeping) -> Hashable | None:
    """Return how many steps a training has done, by its checkpoint; None where it must go on alone, as in micro-batches."""
    try:
        kept = checkpoints_of(plan, training, keeping).read()
    except UserError:  # a damaged one, of which the training itself tells
        return None
    if kept is None:
        return 0
    return kept[1]["step"] if kept[1]["micro_batches"] == 1 else None


def groups(kinds: Sequence[Hashable | None], most: int) -> list[list[int]]:
    """Return which of so many trainings go together: those of one kind, at most `most`, in their order.

    Examples
    --------
    >>> groups(["a", "b", "a", None, "a", None], most=2)
    [[0, 2], [1], [3], [4], [5]]
    """
    made: list[list[int]] = []
    open_: dict[Hashable, list[int]] = {}
    for number, one in enumerate(kinds):
        group = open_.get(one) if one is not None else None
        if group is None or len(group) >= most:
            group = []
            made.append(group)
            if one is not None:
                open_[one] = group
        group.append(number)
    return made


def carry_out_together(
    tasks: Sequence[Task], samples: Samples, progress: Progress, keeping: Keeping
) -> list[Exception | None]:
    """Do trainings of one `kind`, which have done equally many steps, or what is missing of them.

    Of the time that they take together, each record holds an equal share.

    Parameters
    ----------
    tasks : sequence of Task
        Whose teachers are done.
    samples : Samples
        Their training windows.
    progress : Progress
        Is told how the first of them goes, and how each ended.
    keeping : Keeping

    Returns
    -------
    list of Exception or None
        What each failed of; the others are done.

    Raises
    ------
    DiskFullError
        If there is no room; what was written before is as it was.
    Exception
        Whatever stops all of them, as memory that does not suffice; each may go on from its checkpoint.
    """
    began = time.monotonic()
    errors: list[Exception | None] = [None] * len(tasks)
    able: list[tuple[int, Task, Ready]] = []
    for number, task in enumerate(tasks):
        task.training.folder.mkdir(parents=True, exist_ok=True)
        try:
            able.append((number, task, made_ready(task.plan, task.training, samples, progress.say)))
        except (DiskFullError, OSError):
            raise
        except Exception as error:  # a user's mistake or a defect: either way the others go on
            if is_out_of_memory(error):
                raise  # of all together: alone it may have room
            errors[number] = error
    if not able:
        return errors
    first = able[0][2]
    title = able[0][1].title + (f"  and {len(able) - 1} more at once" if len(able) > 1 else "")
    progress.begin(title, first.schedule.epochs)
    told = 0

    def tell(row: dict[str, float]) -> None:
        nonlocal told
        if row["epoch"] > told:
            told = int(row["epoch"])
            progress.epoch(row)

    try:
        with ExitStack() as stack:
            histories = [stack.enter_context(written(task.plan, task.training, keeping)) for _, task, _ in able]
            checkpoints = [checkpoints_of(task.plan, task.training, keeping) for _, task, _ in able]

            def on_epoch(row: dict[str, float], add: Callable[[dict[str, float]], None]) -> None:
                add(row)
                tell(row)

            pupils = [
                Pupil(
                    model=made.model,
                    seed=made.seed,
                    teaching=made.teaching,
                    augmenter=made.augmenter,
                    checkpoints=place,
                    on_epoch=partial(on_epoch, add=history.add),
                )
                for (_, _, made), history, place in zip(able, histories, checkpoints, strict=True)
            ]
            plan, view = able[0][1].plan, able[0][1].training.view
            ends = train_together(
                pupils, view, samples, first.schedule, validation=first.validation, precision=plan.precision
            )
    finally:
        progress.stop()
    seconds = (time.monotonic() - began) / len(able)
    for (number, task, made), end, history, place in zip(able, ends, histories, checkpoints, strict=True):
        if isinstance(end, DivergenceError):
            errors[number] = end
        else:
            said = conclude(task.plan, task.training, made.model, end, history, place, seconds)
            progress.end(f"{task.title}  {said}")
    return errors
