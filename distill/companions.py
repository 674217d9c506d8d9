"""Trainings of a plan that go through the same steps, each in its own folder, which ends as when it goes alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from distill.batching import Samples
from distill.device import is_out_of_memory
from distill.divergence import DivergenceError
from distill.keeping import Keeping
from distill.learner import Trained
from distill.plan import Plan, Training
from distill.progress import Progress
from distill.together import Pupil, train_together
from distill.trainings import Ready, checkpoints_of, conclude, made_ready, written
from tsimage.disk import DiskFullError


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A training that is to be done, by which plan, what it is called while it is, and who is told how it ends."""

    plan: Plan
    training: Training
    title: str
    on_end: Callable[[Exception | None], None]
    """Receives what it failed of, or None when it is done."""


def carry_out_together(tasks: Sequence[Task], samples: Samples, progress: Progress, keeping: Keeping) -> None:
    """Do trainings of one `distill.kinds.kind`, or what is missing of them.

    Each is recorded, and its `on_end` called, as soon as it has ended or failed. Of the time that they take together, each
    record holds an equal share, for as long as the training was among them.

    Parameters
    ----------
    tasks : sequence of Task
        Whose teachers are done.
    samples : Samples
        Their training windows.
    progress : Progress
        Is told how the first of those who go on goes, and how each ended.
    keeping : Keeping

    Raises
    ------
    DiskFullError
        If there is no room; what was written before is as it was.
    Exception
        Whatever stops all that have not ended yet, as memory that does not suffice; each may go on from its checkpoint.
    """
    began = time.monotonic()
    able: dict[Task, Ready] = {}
    for task in tasks:
        task.training.folder.mkdir(parents=True, exist_ok=True)
        try:
            able[task] = made_ready(task.plan, task.training, samples, progress.say)
        except (DiskFullError, OSError):
            raise
        except Exception as error:  # a user's mistake or a defect: either way the others go on
            if is_out_of_memory(error):
                raise  # of all together: alone it may have room
            task.on_end(error)
    if not able:
        return
    first, ready = next(iter(able.items()))
    company = _Company(list(able), ready.schedule.epochs, began, progress)
    try:
        company.begin()
        with ExitStack() as histories:
            train_together(
                [company.pupil(task, made, keeping, histories) for task, made in able.items()],
                first.training.view,
                samples,
                ready.schedule,
                validation=ready.validation,
                precision=first.plan.precision,
            )
    finally:
        progress.stop()


class _Company:
    """Trainings that go on together: each with its own folder, but one progress and one clock for all."""

    def __init__(self, tasks: list[Task], epochs: int, began: float, progress: Progress) -> None:
        self._left, self._epochs, self._progress = tasks, epochs, progress
        self._since, self._seconds = began, 0.0
        self._title, self._epoch = "", 0

    def pupil(self, task: Task, made: Ready, keeping: Keeping, histories: ExitStack) -> Pupil:
        """Return one of them, whose folder is written while it goes on and when it ends."""
        open_history = histories.enter_context(ExitStack())
        history = open_history.enter_context(written(task.plan, task.training, keeping))
        checkpoints = checkpoints_of(task.plan, task.training, keeping)

        def on_epoch(row: dict[str, float]) -> None:
            history.add(row)
            if row["epoch"] > self._epoch:  # told of the first only
                self._epoch = int(row["epoch"])
                self.begin()
                self._progress.epoch(row)

        def on_end(end: Trained | DivergenceError) -> None:
            open_history.close()
            seconds = self._leave(task)
            if isinstance(end, DivergenceError):
                task.on_end(end)
                return
            said = conclude(task.plan, task.training, made.model, end, history, checkpoints, seconds)
            self._progress.end(f"{task.title}  {said}")
            task.on_end(None)

        return Pupil(
            model=made.model,
            seed=made.seed,
            teaching=made.teaching,
            augmenter=made.augmenter,
            checkpoints=checkpoints,
            on_epoch=on_epoch,
            on_end=on_end,
        )

    def begin(self) -> None:
        """Tell who goes on, where it is not told yet."""
        others = f"  and {len(self._left) - 1} more at once" if len(self._left) > 1 else ""
        title = self._left[0].title + others
        if title != self._title:
            self._title = title
            self._progress.begin(title, self._epochs)

    def _leave(self, task: Task) -> float:
        """Go on without one; returns its share of the time in seconds."""
        now = time.monotonic()
        self._seconds += (now - self._since) / len(self._left)
        self._since = now
        self._left.remove(task)
        return self._seconds
