"""The teachers and the student of a plan, trained one after the other in memory; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from distill.batching import Samples
from distill.device import out_of_memory
from distill.learner import Trained
from distill.plan import Plan, Training
from distill.progress import Progress, describe_epoch
from distill.rocket import RidgeTeacher
from distill.splits import groups_of
from distill.teacher_names import RIDGES
from distill.teaching import Speaker, asked_once, cached, live
from distill.train import train
from distill.trainings import made_ready


@dataclass(frozen=True, kw_only=True, eq=False)
class Distilled:
    """What a plan comes to in memory; networks lie on the CPU, frozen and in their mode of evaluation."""

    student: nn.Module
    teachers: dict[str, nn.Module | RidgeTeacher]
    """By NETWORK:VIEW."""
    history: list[dict[str, float]]
    """A row for each epoch of the student."""
    kept_epoch: int
    """The epoch of the student whose weights these are: the last one, or the best with patience."""


def distil(plan: Plan, progress: Progress) -> Distilled:
    """Train the teachers of a plan of one split and one seed, and distil them into its student, as `distill.run` does.

    Parameters
    ----------
    plan : Plan
        Without teachers of earlier runs and without a warm start.
    progress : Progress
        Who is told how it goes.

    Raises
    ------
    DivergenceError
        When a loss is no longer finite.
    UserError
        If memory does not suffice.
    """
    (split,), (seed,) = plan.splits, plan.run.seeds
    samples = plan.samples(split.train)
    teachers: dict[str, nn.Module | RidgeTeacher] = {}
    speakers: list[Speaker] = []
    history: list[dict[str, float]] = []
    with out_of_memory():
        for named in plan.teachers:
            training = plan.teacher_training(named, split, seed)
            if named.network in RIDGES:
                teachers[named.name], speaker = _ridge(plan, training, samples)
            else:
                teachers[named.name], speaker = _teacher(plan, training, samples, progress)
            speakers.append(speaker)
        student, trained = _network(
            plan,
            plan.student_training("student", split, seed),
            samples,
            progress,
            speakers,
            on_epoch=history.append,
        )
    networks = {name: made.cpu() if isinstance(made, nn.Module) else made for name, made in teachers.items()}
    return Distilled(student=student.cpu(), teachers=networks, history=history, kept_epoch=trained.epoch)


def _ridge(plan: Plan, training: Training, samples: Samples) -> tuple[RidgeTeacher, Speaker]:
    index = training.split.train
    _, people = groups_of(plan.windows, index)
    teacher = RidgeTeacher(training.network, seed=training.seed)
    teacher.fit(plan.windows.values[index], plan.windows.labels[index], people)
    return teacher, cached(torch.from_numpy(teacher.training_logits).to(samples.values.device))


def _teacher(plan: Plan, training: Training, samples: Samples, progress: Progress) -> tuple[nn.Module, Speaker]:
    model, _ = _network(plan, training, samples, progress)
    ask = partial(asked_once, values=samples.values, embeddings=plan.run.compares_embeddings)
    return model, (live if plan.run.is_live else ask)(model, training.view)


def _network(
    plan: Plan,
    training: Training,
    samples: Samples,
    progress: Progress,
    speakers: Sequence[Speaker] | None = None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> tuple[nn.Module, Trained]:
    """Train a network; a student is given its teachers, which a run would read."""
    made = made_ready(plan, training, samples, progress.say, speakers)
    progress.begin(training.title, made.schedule.epochs)
    last: dict[str, float] = {}

    def tell(row: dict[str, float]) -> None:
        last.update(row)
        on_epoch(row)
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
        on_epoch=tell,
    )
    kept = f"kept epoch {trained.epoch} of {last['epoch']:.0f}  " if plan.run.patience else ""
    progress.end(f"{training.title}  {kept}{describe_epoch(last)}")
    return made.model.requires_grad_(False).eval(), trained
