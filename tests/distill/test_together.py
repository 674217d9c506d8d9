"""Trainings that go through the same steps, against each of them alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.augment import Augmenter, parse_augment
from distill.batching import Samples
from distill.keeping import Every
from distill.losses import parse_losses
from distill.models import build_model
from distill.schedule import Schedule
from distill.teaching import Teaching, cached, live
from distill.together import Pupil, train_together
from distill.train import initialised, train
from distill.views import View
from tsimage import Imager

UNITS = ("g", "g")


class Wide(View):
    """Images in float64, in which rounding is far from any tolerance."""

    def of(self, values):
        return super().of(values).double()


SIGNAL, GASF = View(imager=None, units=UNITS), Wide(imager=Imager(stack="gasf", size=8), units=UNITS)
EACH_STEP = Every(seconds=0.0)


def some(n, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    return Samples(
        values=torch.from_numpy(rng.normal(size=(n, 2, 32))).to(dtype),
        labels=torch.arange(n) % 3,
        ids=np.array([f"w{i:02d}" for i in range(n)]),
    )


DATA = some(22)


def network(seed, name="wrn10-1", view=SIGNAL, dtype=torch.float64):
    def build():
        return build_model(name, dims=view.dims, in_channels=view.channels, classes=3, size=32)

    return initialised(build, seed, "student").to(dtype)


def logits(seed, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(22, 3))).to(dtype)


def taught(seed, losses="kd", alpha=0.3, **options):
    """Two teachers whose logits are known."""
    return Teaching(
        teachers=[cached(logits(10 * seed + k)) for k in range(2)],
        names=["a", "b"],
        weights=[alpha, 1 - alpha],
        terms=parse_losses(losses),
        **options,
    )


def watched(seed, losses, **options):
    """A teacher that looks at every batch anew."""
    return Teaching(
        teachers=[live(network(seed + 50), SIGNAL)],
        names=["live"],
        weights=[1.0],
        terms=parse_losses(losses),
        **options,
    )


def schedule(**options):
    return Schedule(**{"epochs": 3, "batch_size": 8, "learning_rate": 0.05, **options})


SCRATCH_AND_KD = (
    lambda: None,
    lambda: taught(1, lambda_=0.3),
    lambda: taught(1, lambda_=0.9, temperature=2.0, alpha=0.8),
    lambda: taught(2, lambda_=0.6, lambda_to=0.1, temperature_to=1.0),
)
"""One from scratch beside three that differ in lambda, T, alpha and teachers."""
HABITS = {
    "batch norm": {},
    "group norm, adamw, steps, warm-up": {
        "name": "wrn10-1-gn",
        "schedule": schedule(optimizer="adamw", learning_rate=0.003, course="steps", warmup_epochs=1),
    },
    "ema, smoothed": {"schedule": schedule(ema=0.8, label_smoothing=0.1)},
    "adamw, ema": {"schedule": schedule(ema=0.8, optimizer="adamw", learning_rate=0.003)},
    "balanced, in float32": {"schedule": schedule(balanced=True), "dtype": torch.float32},
    "lskd, dkd and dist, weighed by window": {
        "teachings": (
            lambda: taught(1, "dkd", weighing="ebkd"),
            lambda: taught(2, "dkd", weighing="ebkd", lambda_=0.2),
            lambda: taught(3, "lskd", weighing="ca-mkd"),
            lambda: taught(4, "dist(tau=2)", weighing="aver"),
        )
    },
    "losses of features, live teachers, adapters, ae-kd": {
        "teachings": (
            lambda: watched(1, "kd+sp(beta=10)+hint"),
            lambda: watched(2, "rkd+dcd(dim=8)"),
            lambda: taught(3, weighing="ae-kd"),
            lambda: None,
        ),
    },
    "the best epoch, stopping at different times": {
        "schedule": schedule(epochs=6, patience=1),
        "validation": some(9, seed=1),
    },
    "images": {"view": GASF},
    "mixed windows": {"augment": "jitter+mixup"},
    "mixed images": {"augment": "cutmix(on=image)", "view": GASF},
}


def prepared(name="wrn10-1", view=SIGNAL, teachings=SCRATCH_AND_KD, augment="", dtype=torch.float64, **options):
    """What each training has of its own, made anew, and what they share."""
    recipe = parse_augment(augment)

    def augmenter(seed):
        of = {"channels": ("x", "y"), "units": UNITS, "scale": np.ones(2)}
        return Augmenter(recipe=recipe, seed=seed, **of) if recipe.steps else None

    pupils = [
        Pupil(model=network(k % 3, name, view, dtype), seed=k, teaching=teaching(), augmenter=augmenter(k))
        for k, teaching in enumerate(teachings)
    ]
    data = replace(DATA, values=DATA.values.to(dtype))
    return pupils, {"view": view, "samples": data, "schedule": schedule(), **options}


def alone(pupil, view, samples, schedule, on_epoch=None, **options):
    return train(
        pupil.model,
        view,
        samples,
        schedule,
        seed=pupil.seed,
        teaching=pupil.teaching,
        augmenter=pupil.augmenter,
        checkpoints=pupil.checkpoints,
        on_epoch=on_epoch,
        **options,
    )


@pytest.fixture(autouse=True)
def _wide():
    """Let adapters be of float64 too."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def compare(a, b, **tolerance):
    """See that two networks are equal, the number of batches they saw included."""
    for (name, tensor), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        torch.testing.assert_close(tensor, other, **tolerance, msg=lambda said, name=name: f"{name}: {said}")


@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS)
def test_each_ends_where_it_ends_alone(habits):
    ones, shared = prepared(**habits)
    wanted, rows = [], [[] for _ in ones]
    for pupil, seen in zip(ones, rows, strict=True):
        wanted.append(alone(pupil, on_epoch=seen.append, **shared))
    told = [[] for _ in ones]
    pupils, shared = prepared(**habits)
    pupils = [replace(pupil, on_epoch=seen.append) for pupil, seen in zip(pupils, told, strict=True)]
    ends = train_together(pupils, **shared)
    is_wide = shared["samples"].values.dtype == torch.float64
    tolerance = {"atol": 1e-6, "rtol": 1e-6} if is_wide else {"atol": 1e-5, "rtol": 1e-4}
    for pupil, one in zip(pupils, ones, strict=True):
        compare(pupil.model, one.model, **tolerance)
    assert [end.epoch for end in ends] == [end.epoch for end in wanted]
    assert {end.together for end in ends} == {4}
    for seen, row in zip(told, rows, strict=True):
        assert [list(r) for r in seen] == [list(r) for r in row]  # the same names in the same order
        for a, b in zip(seen, row, strict=True):
            assert a == pytest.approx(b, rel=1e-5, abs=1e-7)  # sums of losses are kept in float32
