"""A process that does a grid, alone or with others: it takes what nobody else is at, under locks, until nothing is left."""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from distill.batching import Samples
from distill.companions import Task, carry_out_together
from distill.device import free_memory, is_out_of_memory
from distill.grid import GridPlan, Job
from distill.gridfile import Cell
from distill.keeping import Keeping
from distill.kinds import Kind, Sizes, has_begun, kind
from distill.layout import FAILED, LOCK, RESULT
from distill.plan import Plan
from distill.progress import Progress
from distill.runner import conclude, open_folder
from distill.trainings import carry_out, tidy
from tsimage import atomic
from tsimage.disk import DiskFullError, room_for
from tsimage.errors import UserError
from tsimage.locks import claimed

LOG = "logs"
POLL_S = 0.5
_NO_MEMORY = "memory ran out"


class Worker:
    """One of the processes that do a grid together.

    Parameters
    ----------
    plan : GridPlan
        Which is prepared.
    progress : Progress, Plain or Terminal
        Who is told of the trainings that this process does.
    keeping : Keeping, optional
        How trainings are kept on disk while they go on.
    on_wait : callable, optional
        Called about every half second while only others are at work.
    together : int
        How many trainings of one kind go through the same steps, at most; see `distill.kinds.kind`.

    Raises
    ------
    UserError
        If `together` is less than 1.
    """

    def __init__(
        self,
        plan: GridPlan,
        progress: Progress,
        keeping: Keeping | None = None,
        on_wait: Callable[[], None] | None = None,
        together: int = 1,
    ) -> None:
        check_together(together)
        self.sizes = Sizes(together)
        self.plan, self.progress, self.keeping = plan, progress, keeping or Keeping()
        self.on_wait = on_wait or (lambda: None)
        self.done: set[Path] = set()
        self.lost: set[Path] = set()
        self.finished: set[Path] = set()
        """Runs with a result, or whose evaluation fails."""
        self._held: tuple[object, Samples] | None = None
        self._kinds: dict[Path, Kind | None] = {}
        self._log = plan.folder / LOG / f"{socket.gethostname()}-{os.getpid()}.jsonl"

    def work(self) -> None:
        """Do what nobody else does, until all trainings are done or cannot be, and all runs that can be have a result."""
        while True:
            did_something = False
            for job in self.plan.jobs.values():
                if self._look_at(job):
                    did_something = True
                    self._finish_all()  # as early as can be, for whoever looks at the results
            did_something |= self._finish_all()
            if len(self.done) + len(self.lost) == len(self.plan.jobs) and self._all_finished():
                return
            if not did_something:
                self.on_wait()
                time.sleep(POLL_S)  # others are at work on what is left

    def _all_finished(self) -> bool:
        can = (
            p.folder
            for p, needed in zip(self.plan.plans, self.plan.needed, strict=True)
            if self.done.issuperset(needed)
        )
        return all(folder in self.finished for folder in can)

    def _look_at(self, job: Job) -> bool:
        """Do a training if it is there to be done; returns whether anything has changed."""
        folder = job.training.folder
        if folder in self.done or folder in self.lost:
            return False
        if job.training.is_done:
            tidy(job.training)
            self.done.add(folder)
            return True
        if job.failure.exists() or not self.lost.isdisjoint(job.needs):
            self.lost.add(folder)
            return True
        if not self.done.issuperset(job.needs):
            return False
        with ExitStack() as held:
            if not held.enter_context(claimed(folder / LOCK)):
                return False
            if not job.training.is_done and not job.failure.exists():
                self._do([job, *self._companions(job, held)])
        return True

    def _companions(self, job: Job, held: ExitStack) -> list[Job]:
        """Claim what can go together with a training that is claimed; who goes alone has none.

        One that has begun does not wait for those that have not.
        """
        mine = self._kind(job)
        most = 1 if mine is None else self.sizes.of(mine)
        begun = None if most == 1 else has_begun(job.plan, job.training, self.keeping)
        found: list[Job] = []
        for other in self.plan.jobs.values():
            if begun is None or len(found) == most - 1:
                break
            if other is job or not self._can_begin(other) or self._kind(other) != mine:
                continue
            with ExitStack() as trial:
                if (
                    trial.enter_context(claimed(other.training.folder / LOCK))
                    and self._can_begin(other)
                    and has_begun(other.plan, other.training, self.keeping) == begun
                ):
                    found.append(other)
                    held.push(trial.pop_all())
        return found

    def _kind(self, job: Job) -> Kind | None:
        folder = job.training.folder
        if folder not in self._kinds:
            self._kinds[folder] = kind(job.plan, job.training)
        return self._kinds[folder]

    def _can_begin(self, job: Job) -> bool:
        return (
            job.training.folder not in self.done
            and job.training.folder not in self.lost
            and self.done.issuperset(job.needs)
            and not job.training.is_done
            and not job.failure.exists()
        )

    def _do(self, jobs: Sequence[Job]) -> None:
        """Do trainings that this process has claimed; a failure is kept with its training and stops nothing else."""
        for job in jobs:
            for left_over in job.training.folder.glob(".*.partial"):  # of a process that was killed while it wrote
                left_over.unlink()
            goes_on = any(job.training.folder.glob("checkpoint.*"))
            self._note("goes on" if goes_on else "begins", job.training.folder)
        self._carry_out(jobs)

    def _carry_out(self, jobs: Sequence[Job]) -> None:
        before = len(self.done) + len(self.lost)
        titles = [f"[{before + n}/{len(self.plan.jobs)}] {job.title}" for n, job in enumerate(jobs, start=1)]
        apart = ""
        try:
            self._train(jobs, titles)
        except (DiskFullError, OSError):
            raise  # of the whole grid, not of this training
        except Exception as error:  # a user's mistake or a defect: either way the others go on
            if len(jobs) == 1:
                self._end(jobs[0], titles[0], error)
            else:  # later, since a traceback holds what was in memory
                apart = _NO_MEMORY if is_out_of_memory(error) else f"{type(error).__name__}: {error}"
        if apart:
            self._split(jobs, apart)

    def _train(self, jobs: Sequence[Job], titles: Sequence[str]) -> None:
        """Do trainings, several of them together."""
        job, samples = jobs[0], self._samples(jobs[0])
        if len(jobs) == 1:
            carry_out(job.plan, job.training, samples, titles[0], self.progress, self.keeping)
            self._end(job, titles[0], None)
            return
        tasks = [
            Task(plan=job.plan, training=job.training, title=title, on_end=partial(self._end, job, title))
            for job, title in zip(jobs, titles, strict=True)
        ]
        carry_out_together(tasks, samples, self.progress, self.keeping)

    def _end(self, job: Job, title: str, error: Exception | None) -> None:
        """Keep how a training ended."""
        if error is None:
            self._note("done", job.training.folder)
            self.done.add(job.training.folder)
        else:
            self._fail(job.training.folder, title, error)
            self.lost.add(job.training.folder)

    def _split(self, jobs: Sequence[Job], apart: str) -> None:
        """Do those trainings that could not go together and have not ended: by halves where memory ran out, else one by one."""
        free_memory()
        left = [job for job in jobs if job.training.folder not in self.done | self.lost]
        mine, who, sizes = self._kind(jobs[0]), "they", Sizes(1)
        assert mine is not None  # as they were to go together
        if apart == _NO_MEMORY:
            who, sizes = "they, and later ones of their kind,", self.sizes
            sizes.lower(mine, len(jobs) // 2)
        self.progress.say(f"{len(jobs)} trainings cannot go together ({apart}): {who} go on by {sizes.of(mine)}")
        while left:
            size = sizes.of(mine)
            self._carry_out(left[:size])
            left = left[size:]

    def _fail(self, folder: Path, title: str, error: Exception) -> None:
        """Keep the failure of a training or run in its folder, and tell it."""
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        self.progress.say(f"{title}  failed: {said}")
        failure = {
            "error": said,
            "traceback": "".join(traceback.format_exception(error)),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        atomic.write_json(folder / FAILED, failure)
        self._note("failed", folder)

    def _samples(self, job: Job) -> Samples:
        """Return the training windows of a job; those of the last one are kept, since the next often has the same."""
        key = (job.plan.fingerprint, job.training.split.train.tobytes(), job.plan.device)
        if self._held is None or self._held[0] != key:
            self._held = key, job.plan.samples(job.training.split.train)
        return self._held[1]

    def _finish_all(self) -> bool:
        """Write the results that can be; returns whether anything has changed."""
        has_changed = False
        for cell, plan, needed in zip(self.plan.cells, self.plan.plans, self.plan.needed, strict=True):
            has_changed |= self._finish(cell, plan, needed)
        return has_changed

    def _finish(self, cell: Cell, plan: Plan, needed: Sequence[Path]) -> bool:
        """Write the result of a run whose trainings are done, if nobody else does; returns whether anything has changed."""
        if plan.folder in self.finished or not self.done.issuperset(needed):
            return False
        result = plan.folder / RESULT
        if not result.exists():
            with claimed(plan.folder / LOCK) as mine:
                if not mine:
                    return False
                if not result.exists():
                    self._conclude(cell, plan)
        self.finished.add(plan.folder)
        return True

    def _conclude(self, cell: Cell, plan: Plan) -> None:
        """Evaluate a run that this process has claimed; a failure, as of weights that were damaged, stops no other run."""
        try:
            open_folder(plan)
            conclude(plan)
        except (DiskFullError, OSError):
            raise
        except Exception as error:
            self._fail(plan.folder, f"evaluation of run '{cell.name}'", error)
            return
        (plan.folder / FAILED).unlink(missing_ok=True)
        self._note("result", plan.folder)

    def _note(self, what: str, folder: Path) -> None:
        """Add a line to the log of this process."""
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "what": what,
            "which": os.path.relpath(folder, self.plan.folder),
        }
        self._log.parent.mkdir(exist_ok=True)
        with room_for(self._log), self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def check_together(together: int) -> None:
    """Refuse a number of trainings that is none."""
    if together < 1:
        raise UserError(f"together {together} is not allowed: give how many trainings may go at once, 1 for one by one")
