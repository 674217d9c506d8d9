"""From the options of a run to what a training needs: its schedule, network, augmenter and teaching."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from distill.augment import Augmenter, parse_augment
from distill.augment.effect import check_effect
from distill.batching import Samples
from distill.config import Run
from distill.models import build_model
from distill.models.standardize import Standardize, Standardized
from distill.schedule import Schedule
from distill.seeds import initialised, random_seed
from distill.teaching import Speaker, Teaching
from distill.views import View


def schedule_of(run: Run) -> Schedule:
    """Return how every training of a run goes.

    >>> schedule_of(Run(epochs=3, optimizer="adamw")).optimizer
    'adamw'
    """
    return Schedule(
        epochs=run.epochs,
        batch_size=run.batch_size,
        learning_rate=run.learning_rate,
        final_rate=min(Schedule.final_rate, run.learning_rate),
        weight_decay=run.weight_decay,
        optimizer=run.optimizer,
        course=run.effective_course,
        warmup_epochs=run.warmup_epochs,
        label_smoothing=run.label_smoothing,
        balanced=run.balanced,
        ema=run.ema,
        patience=run.patience,
    )


def network_of(name: str, view: View, samples: Samples, *, classes: int, seed: int, is_teacher: bool) -> nn.Module:
    """Build a network for a view, on the device of its training windows.

    Signals are standardised with the training windows' mean and deviation. Whatever is no teacher, from scratch or
    distilled, starts from the same weights of a seed.

    Parameters
    ----------
    name : str
        See `distill.models.build_model`.
    view : View
    samples : Samples
        The training windows.
    classes : int
        Logits per window.
    seed : int
    is_teacher : bool
    """
    make = partial(
        build_model,
        name,
        dims=view.dims,
        in_channels=view.channels,
        classes=classes,
        size=samples.values.shape[2] if view.imager is None else view.imager.size,
    )
    network = initialised(make, seed, f"seed {seed}  teacher {name}:{view.name}" if is_teacher else "student")
    if view.dims == 1:
        network = Standardized(Standardize.fit(samples.values), network)
    return network.to(samples.values.device)


def augmenter_of(
    run: Run,
    samples: Samples,
    channels: Sequence[str],
    units: Sequence[str],
    seed: int,
    rate_hz: float | None = None,
) -> Augmenter | None:
    """Return what changes the windows of a training, None where nothing does.

    Raises
    ------
    UserError
        For an augmentation that these windows do not allow, or that would change none of them.
    """
    recipe = parse_augment(run.augment)
    if not recipe.steps:
        return None
    check_effect(recipe, samples.values.shape[2], rate_hz, run.image_size)
    deviation = samples.values.to("cpu", torch.float64).std(dim=(0, 2), correction=0)
    return Augmenter(
        recipe=recipe, channels=channels, units=units, scale=deviation.numpy(), seed=random_seed(seed, "augment")
    )


def teaching_of(run: Run, speakers: Sequence[Speaker]) -> Teaching:
    """Return the loss in which the student listens to the teachers of a run, given in the order of `run.teachers()`."""
    teachers = run.teachers()
    return Teaching(
        teachers=speakers,
        names=[teacher.name for teacher in teachers],
        weights=[teacher.weight for teacher in teachers],
        terms=run.terms(),
        weighing=run.weighing,
        lambda_=run.lambda_,
        lambda_to=run.lambda_to,
        temperature=run.temperature,
        temperature_to=run.temperature_to,
    )
