"""One training of a plan, carried out in its folder: a ridge fitted, or a network trained and, where it was killed, trained on.

The folder ends with `weights.safetensors`, `history.jsonl` (of a network) and, last, `training.json`; until then it may hold a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TextIO

from safetensors.numpy import save as save_arrays
from safetensors.torch import save as save_tensors
from torch import nn

from distill.assembly import teaching_of
from distill.augment import Augmenter
from distill.batching import Samples
from distill.checkpoint import NAME, Checkpoints
from distill.device import free_memory, is_out_of_memory
from distill.finished import cached_teacher, live_teacher, trained_network
from distill.keeping import Keeping
from distill.learner import Trained
from distill.plan import Plan, Training
from distill.progress import Progress, describe_epoch
from distill.rocket import RidgeTeacher
from distill.schedule import Schedule
from distill.seeds import random_seed
from distill.splits import groups_of
from distill.teacher_names import RIDGES
from distill.teaching import Speaker, Teaching
from distill.track import Tracker
from distill.train import train
from tsimage import atomic
from tsimage.disk import room_for
from tsimage.errors import UserError


def _fit_ridge(plan: Plan, training: Training, title: str, progress: Progress) -> None:
    """Fit a random-convolution teacher, with logits that are cross-fitted by subject, or by recording where none is known."""
    began = time.monotonic()
    index = training.split.train
    teacher = RidgeTeacher(training.network, seed=training.seed)
    what, groups = groups_of(plan.windows, index)
    teacher.fit(plan.windows.values[index], plan.windows.labels[index], groups)
    arrays, metadata = teacher.state()
    right = float((teacher.training_logits.argmax(1) == plan.windows.labels[index]).mean())
    size = arrays["weight"].size + arrays["bias"].size
    seconds = time.monotonic() - began
    _keep(plan, training, save_arrays(arrays, metadata), size, seconds, {"cross_fitted_accuracy": right})
    progress.say(f"{title}  in {seconds:.1f} s  accuracy on {what}s left out {100 * right:.1f} %")


def _keep(
    plan: Plan, training: Training, weights: bytes, parameters: int, seconds: float, more: dict[str, Any]
) -> None:
    """Write the weights of a training and, last, its record."""
    training.folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(training.folder / "weights.safetensors", weights)
    record = {
        "role": training.role,
        "network": training.network,
        "view": training.view.name,
        "seed": training.seed,
        "parameters": parameters,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "seconds": round(seconds, 2),
        **more,
        "environment": plan.environment(),
    }
    atomic.write_json(training.folder / "training.json", record)


def tidy(training: Training) -> None:
    """Remove the checkpoint of a training that is done, which is there if its process was killed as it ended."""
    (training.folder / NAME).unlink(missing_ok=True)


def carry_out(
    plan: Plan, training: Training, samples: Samples, title: str, progress: Progress, keeping: Keeping
) -> None:
    """Do a training, or what is missing of it.

    Parameters
    ----------
    plan : Plan
    training : Training
        Whose teachers are done.
    samples : Samples
        The training windows of its split.
    title : str
    progress : Progress
    keeping : Keeping
        How it is kept on disk while it goes on.

    Raises
    ------
    DivergenceError
        When the loss is no longer finite; the folder then holds the step.
    DiskFullError
        If there is no room; what was written before is as it was.
    UserError
        If memory does not suffice for two windows at a time, or a file is damaged.
    """
    if training.network in RIDGES:
        _fit_ridge(plan, training, title, progress)
        return
    micro_batches = 1
    while True:
        try:
            _train(plan, training, samples, title, progress, keeping, micro_batches)
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            smallest = len(samples.ids) // -(-len(samples.ids) // plan.schedule.batch_size)
            if 4 * micro_batches > smallest:  # two windows are the fewest for batch normalisation
                raise UserError(
                    f"{training.name}: memory ran out even with batches in {micro_batches} parts: lower the batch-size or the "
                    "image-size, or use another device"
                ) from error
        finally:
            progress.stop()
        free_memory()
        micro_batches *= 2
        progress.say(f"{title}  memory ran out: every batch now goes in {micro_batches} parts, whose gradients add up")


def _train(
    plan: Plan,
    training: Training,
    samples: Samples,
    title: str,
    progress: Progress,
    keeping: Keeping,
    micro_batches: int,
) -> None:
    began = time.monotonic()
    made = made_ready(plan, training, samples, progress.say)
    training.folder.mkdir(parents=True, exist_ok=True)
    checkpoints = checkpoints_of(plan, training, keeping)
    progress.begin(title, plan.schedule.epochs)
    with written(plan, training, keeping) as history:

        def on_epoch(row: dict[str, float]) -> None:
            history.add(row)
            progress.epoch(row)

        trained = train(
            made.model,
            training.view,
            samples,
            made.schedule,
            seed=made.seed,
            teaching=made.teaching,
            validation=made.validation,
            augmenter=made.augmenter,
            precision=plan.precision,
            micro_batches=micro_batches,
            checkpoints=checkpoints,
            on_epoch=on_epoch,
        )
    seconds = time.monotonic() - began
    progress.end(f"{title}  {conclude(plan, training, made.model, trained, history, checkpoints, seconds)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """What a training of a plan begins with, on the device of its windows."""

    model: nn.Module
    seed: int
    """Of the order of the batches and of the augmentation."""
    schedule: Schedule
    teaching: Teaching | None
    validation: Samples | None
    """Windows on which the epoch is chosen."""
    augmenter: Augmenter | None


def made_ready(
    plan: Plan,
    training: Training,
    samples: Samples,
    say: Callable[[str], None],
    speakers: Sequence[Speaker] | None = None,
) -> Ready:
    """Build the network of a training and read what it learns from; a damaged cache is told to `say`.

    A student learns from `speakers`, by default from the teachers that were trained into the folders of the plan.

    Raises
    ------
    UserError
        If a teacher, or the weights of a warm start, are not as they were written.
    """
    model, seed = plan.build(training, samples), training.seed
    if plan.run.warm_start and training.role in ("control", "student"):
        scratch = plan.student_training("scratch", training.split, training.seed)
        model.load_state_dict(trained_network(plan, scratch, samples)[0].state_dict())
        seed = random_seed(seed, "warm start")  # another order of the batches than that which led there
    teaching, stopping, schedule = None, None, plan.schedule
    if training.split.stopping is not None:
        stopping = plan.samples(training.split.stopping)
    if plan.run.protocol == "lab":
        stopping = plan.samples(training.split.evaluation)
        schedule = replace(schedule, patience=schedule.epochs)  # never stops, keeps the best
    if training.role == "student":
        if speakers is None:
            speak = live_teacher if plan.run.is_live else partial(cached_teacher, say=say)
            speakers = [speak(plan, teacher, training, samples) for teacher in plan.teachers]
        teaching = teaching_of(plan.run, speakers)
    return Ready(
        model=model,
        seed=seed,
        schedule=schedule,
        teaching=teaching,
        validation=stopping,
        augmenter=plan.augmenter(samples, seed),
    )


def checkpoints_of(plan: Plan, training: Training, keeping: Keeping) -> Checkpoints:
    """Return the place of the checkpoint of a training, and when it is due."""
    return Checkpoints(training.folder, plan.key(training), keeping.every)


class History:
    """The epochs of a training, written to `history.jsonl` as they end."""

    def __init__(self, file: TextIO, track: Callable[[dict[str, float]], None]) -> None:
        self._file, self._track = file, track
        self._digest = hashlib.sha256()
        self.last: dict[str, float] = {}

    def add(self, row: dict[str, float]) -> None:
        """Write an epoch."""
        self.last = dict(row)
        line = json.dumps(row) + "\n"
        self._digest.update(line.encode())
        self._file.write(line)
        self._file.flush()
        self._track(row)

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._digest.hexdigest()


@contextmanager
def written(plan: Plan, training: Training, keeping: Keeping) -> Iterator[History]:
    """Give the history of a training whose folder is there; it begins anew, and is copied to event files where that was asked for."""
    path = training.folder / "history.jsonl"
    with room_for(path), path.open("w", encoding="utf-8") as file, _tracked(plan, training, keeping) as track:
        yield History(file, track)


def conclude(
    plan: Plan,
    training: Training,
    model: nn.Module,
    trained: Trained,
    history: History,
    checkpoints: Checkpoints,
    seconds: float,
) -> str:
    """Write the weights and the record of a network that is trained, and return how it went, in words."""
    last = history.last
    record = {
        "kept_epoch": trained.epoch,
        "last_epoch": last,
        "micro_batches": trained.micro_batches,
        "together": trained.together,
        "optimizer_sha256": trained.optimizer_sha256,
        "history_sha256": history.sha256,
    }
    weights = save_tensors({k: v.contiguous() for k, v in model.state_dict().items()})
    parameters = sum(p.numel() for p in model.parameters())
    _keep(plan, training, weights, parameters, seconds, record)
    checkpoints.remove()
    epochs = f"{last['epoch']:.0f} epochs" + (f", kept {trained.epoch}," if trained.epoch != last["epoch"] else "")
    return f"{epochs} in {seconds:.1f} s  {describe_epoch(last)}"


@contextmanager
def _tracked(plan: Plan, training: Training, keeping: Keeping) -> Iterator[Callable[[dict[str, float]], None]]:
    """Give what is told every epoch that is to be tracked."""
    if keeping.track == "nothing":
        yield lambda row: None
        return
    tracker = Tracker(plan.folder if plan.pool is None else plan.pool.parent)
    tracker.begin(training.folder)
    try:
        yield tracker.epoch
    finally:
        tracker.end()
