"""Trainings that go through the same steps, against each of them alone."""

import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from distill import interrupts
from distill.augment import Augmenter, parse_augment
from distill.batching import Samples
from distill.checkpoint import Checkpoints
from distill.divergence import DivergenceError
from distill.keeping import Every
from distill.learner import Trained
from distill.lessons import alike
from distill.losses import parse_losses
from distill.models import build_model, list_models
from distill.schedule import Schedule
from distill.sealed import unpack
from distill.seeds import initialised
from distill.stacked_learners import StackedLearners
from distill.stacking import Stack
from distill.teaching import Teaching, cached, live
from distill.together import Pupil, train_together
from distill.train import train
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


DATA = some(14)


def network(seed, name="wrn10-1", view=SIGNAL, dtype=torch.float64):
    def build():
        return build_model(name, dims=view.dims, in_channels=view.channels, classes=3, size=32)

    return initialised(build, seed, "student").to(dtype)


def logits(seed, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(14, 3))).to(dtype)


def taught(seed, losses="kd", alpha=0.3, **options):
    """Two teachers whose logits and embeddings are known."""
    return Teaching(
        teachers=[cached(logits(10 * seed + k), logits(10 * seed + k).sin()) for k in range(2)],
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
    return Schedule(**{"epochs": 2, "batch_size": 8, "learning_rate": 0.05, **options})


SCRATCH_AND_KD = (
    lambda: None,
    lambda: taught(1, lambda_=0.3),
    lambda: taught(2, lambda_=0.9, lambda_to=0.1, temperature=2.0, temperature_to=1.0, alpha=0.8),
)
"""One from scratch beside two that differ in lambda, T, alpha and teachers."""
STOPPING = {"schedule": schedule(epochs=5, patience=1), "validation": some(9, seed=1)}
HABITS = {
    "batch norm": {},
    "group norm, adamw, steps, warm-up": {
        "name": "wrn10-1-gn",
        "schedule": schedule(optimizer="adamw", learning_rate=0.003, course="steps", warmup_epochs=1),
    },
    "ema, smoothed": {"schedule": schedule(ema=0.8, label_smoothing=0.1)},
    "adamw, ema": {"schedule": schedule(ema=0.8, optimizer="adamw", learning_rate=0.003)},
    "balanced": {"schedule": schedule(balanced=True)},
    "balanced and smoothed, in float32": {
        "schedule": schedule(balanced=True, label_smoothing=0.2),
        "dtype": torch.float32,
    },
    "lskd, dkd and dist, weighed by window": {
        "teachings": (
            lambda: taught(1, "dkd", weighing="ebkd"),
            lambda: taught(2, "dkd", weighing="ebkd", lambda_=0.2),
            lambda: taught(3, "lskd", weighing="ca-mkd"),
            lambda: taught(4, "dist(tau=2)", weighing="aver"),
        )
    },
    "losses of features, live and cached teachers, adapters, ae-kd": {
        "teachings": (
            lambda: watched(1, "kd+sp(beta=10)+hint"),
            lambda: watched(2, "rkd+dcd(dim=8)"),
            lambda: taught(4, "rkd+dcd(dim=8)"),
            lambda: taught(3, weighing="ae-kd"),
        ),
    },
    "the best epoch, stopping at different times": STOPPING,
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
    tolerance = {"atol": 1e-12, "rtol": 1e-12} if is_wide else {"atol": 1e-5, "rtol": 1e-4}
    for pupil, one in zip(pupils, ones, strict=True):
        compare(pupil.model, one.model, **tolerance)
    assert [end.epoch for end in ends] == [end.epoch for end in wanted]
    assert {end.together for end in ends} == {len(pupils)}
    for seen, row in zip(told, rows, strict=True):
        assert [list(r) for r in seen] == [list(r) for r in row]  # the same names in the same order
        for a, b in zip(seen, row, strict=True):
            assert a == pytest.approx(b, rel=1e-5, abs=1e-7)  # sums of losses are kept in float32


def test_in_bf16_they_learn_as_well():
    def made():
        return prepared(dtype=torch.float32, precision="bf16", schedule=schedule(epochs=1))

    (ones, shared), (pupils, _) = made(), made()
    losses = []
    for pupil in ones:
        alone(pupil, on_epoch=lambda row: losses.append(row["loss"]), **shared)
    told = []
    pupils = [replace(pupil, on_epoch=lambda row: told.append(row["loss"])) for pupil in pupils]
    train_together(pupils, **shared)
    assert told == pytest.approx(losses, rel=0.02)
    assert all(p.dtype == torch.float32 for pupil in pupils for p in pupil.model.parameters())


class BrokenOff(Checkpoints):
    """Breaks the process off after the n-th checkpoint, as a kill would."""

    left = 10**9

    def write(self, tensors, about):
        super().write(tensors, about)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def kept(pupils, folder, kind=Checkpoints, every=EACH_STEP):
    """The same trainings, each with a folder for its checkpoint."""
    for k in range(len(pupils)):
        (folder / str(k)).mkdir(exist_ok=True)
    return [replace(p, checkpoints=kind(folder / str(k), f"key {k}", every)) for k, p in enumerate(pupils)]


RESUMED = {"schedule": schedule(optimizer="adamw", learning_rate=0.003, ema=0.8)}


@pytest.fixture(scope="module")
def undisturbed():
    torch.set_default_dtype(torch.float64)
    ones, shared = prepared(**RESUMED)
    for pupil in ones:
        alone(pupil, **shared)
    torch.set_default_dtype(torch.float32)
    return [pupil.model for pupil in ones]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_broken_off_together_each_goes_on_alone(stop, undisturbed, tmp_path):
    pupils, shared = prepared(**RESUMED)
    pupils = kept(pupils, tmp_path, BrokenOff)
    pupils[-1].checkpoints.left = stop
    with pytest.raises(KeyboardInterrupt):
        train_together(pupils, **shared)
    fresh, shared = prepared(**RESUMED)
    for pupil, wanted in zip(kept(fresh, tmp_path), undisturbed, strict=True):
        tensors, about = unpack(pupil.checkpoints.path)
        assert (about["step"], about["together"]) == (stop, 3)
        assert tensors["model/stem.weight"].shape == (16, 2, 3)
        end = alone(pupil, **shared)
        assert end.together == 3
        compare(pupil.model, wanted, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_broken_off_alone_all_go_on_together(stop, undisturbed, tmp_path):
    ones, shared = prepared(**RESUMED)
    for pupil in kept(ones, tmp_path, BrokenOff):
        pupil.checkpoints.left = stop
        with pytest.raises(KeyboardInterrupt):
            alone(pupil, **shared)
    fresh, shared = prepared(**RESUMED)
    rows = []
    fresh = [replace(pupil, on_epoch=rows.append) for pupil in kept(fresh, tmp_path)]
    ends = train_together(fresh, **shared)
    for pupil, wanted in zip(fresh, undisturbed, strict=True):
        compare(pupil.model, wanted, atol=1e-6, rtol=1e-6)
    assert sorted(row["epoch"] for row in rows) == [1] * 3 + [2] * 3
    assert [end.together for end in ends] == [3] * 3


OWN = HABITS["losses of features, live and cached teachers, adapters, ae-kd"]["teachings"]


@pytest.mark.parametrize(
    ("stops", "going", "habits"),
    [
        ((3, 1, 2, 2), [({1}, 1), ({1, 2, 3}, 2), ({0, 1, 2, 3}, 3)], {"teachings": OWN, "augment": "mixup"}),
        ((0, 2, 0), [({0, 2}, 0), ({0, 1, 2}, 2)], HABITS["adamw, ema"]),
        ((1, 3, 5), [({0}, 1), ({0, 1}, 3), ({1}, 4), ({1, 2}, 5)], STOPPING),  # the first ends after four steps
    ],
    ids=["adapters, mixed", "adamw, ema", "the best epoch"],
)
def test_those_behind_go_on_until_they_stand_where_the_others_do(stops, going, habits, tmp_path, monkeypatch):
    ones, shared = prepared(**habits)
    wanted = [alone(pupil, **shared) for pupil in ones]
    begun, shared = prepared(**habits)
    for pupil, stop in zip(kept(begun, tmp_path, BrokenOff), stops, strict=True):
        pupil.checkpoints.left = stop
        if stop:
            with pytest.raises(KeyboardInterrupt):
                alone(pupil, **shared)
    step, stacks = StackedLearners.train_step, {}

    def watched(self):
        stacks.setdefault(frozenset(learner.seed for learner in self.learners), self.learners[0].step)
        return step(self)

    monkeypatch.setattr(StackedLearners, "train_step", watched)
    pupils, shared = prepared(**habits)
    ends = train_together(kept(pupils, tmp_path), **shared)
    for pupil, one in zip(pupils, ones, strict=True):
        compare(pupil.model, one.model, atol=1e-12, rtol=1e-12)
    assert [end.epoch for end in ends] == [end.epoch for end in wanted]
    assert list(stacks.items())[: len(going)] == going


def test_each_is_told_of_as_soon_as_it_has_ended_or_failed():
    def broken():
        lesson = taught(3)
        lesson.teachers[0].logits[:] = torch.nan
        return lesson

    made = STOPPING | {"teachings": (*SCRATCH_AND_KD, broken)}
    (ones, shared), (pupils, _) = prepared(**made), prepared(**made)
    wanted = [alone(pupil, **shared) for pupil in ones[:3]]
    events = []

    def ended(end, k):
        events.append((k, end))
        if k < 3:
            compare(pupils[k].model, ones[k].model, atol=1e-12, rtol=1e-12)

    pupils = [
        replace(pupil, on_epoch=lambda row, k=k: events.append((k, int(row["epoch"]))), on_end=partial(ended, k=k))
        for k, pupil in enumerate(pupils)
    ]
    ends = train_together(pupils, **shared)
    assert events[0] == (3, ends[3])
    assert isinstance(ends[3], DivergenceError)
    assert [end.epoch for end in ends[:3]] == [end.epoch for end in wanted]
    told = [epoch for _, epoch in events if isinstance(epoch, int)]
    assert told == sorted(told)
    for k in range(3):
        mine = [what for who, what in events if who == k]
        last = len(mine) - 1
        assert mine == [*range(1, last + 1), ends[k]]
        after = events[events.index((k, ends[k])) :]
        assert all(what > last for _, what in after if isinstance(what, int))
    assert len({len([1 for who, _ in events if who == k]) for k in range(3)}) > 1


def test_asked_to_stop_in_the_last_epoch_all_end_and_it_leaves():
    pupils, shared = prepared(schedule=schedule(epochs=1))
    ends = []
    asked = {"on_epoch": lambda row: signal.raise_signal(signal.SIGTERM), "on_end": ends.append}
    pupils = [*pupils[:2], replace(pupils[2], **asked)]
    with interrupts.handled(at_last=False), pytest.raises(interrupts.Interrupted, match="stopped by SIGTERM"):
        train_together(pupils, **shared)
    assert [end.epoch for end in ends] == [1]


def test_asked_to_stop_all_write_a_checkpoint_and_leave(tmp_path):
    pupils, shared = prepared()
    for k in range(len(pupils)):
        (tmp_path / str(k)).mkdir()
        place = Checkpoints(tmp_path / str(k), f"key {k}", Every(seconds=1e6))
        ask = (lambda row: signal.raise_signal(signal.SIGTERM)) if k == 1 else None
        pupils[k] = replace(pupils[k], checkpoints=place, on_epoch=ask)
    with interrupts.handled(at_last=False), pytest.raises(interrupts.Interrupted, match="stopped by SIGTERM"):
        train_together(pupils, **shared)
    stands = [unpack(pupil.checkpoints.path)[1] for pupil in pupils]
    assert [(about["epoch"], about["step"]) for about in stands] == [(2, 2)] * 3


def test_those_in_micro_batches_or_that_differ_in_augmentation_are_refused(tmp_path, says):
    pupils, shared = prepared()
    in_parts = kept(pupils, tmp_path, BrokenOff)[0]
    in_parts.checkpoints.left = 1
    with pytest.raises(KeyboardInterrupt):
        alone(in_parts, micro_batches=2, **shared)
    with says("trainings that go in micro-batches cannot go together: train them one by one"):
        train_together(kept(prepared()[0], tmp_path)[:2], **shared)
    mixed = [prepared(augment=text)[0][0] for text in ("jitter", "")]
    with says("trainings with the augmentations '', 'jitter' cannot go together: train them one by one"):
        train_together(mixed, **shared)


def test_one_whose_loss_is_not_finite_leaves_with_its_own_words_and_the_others_go_on(tmp_path):
    def broken():
        lesson = taught(3)
        lesson.teachers[1].logits[7] = torch.nan
        return lesson

    def made(folder):
        pupils, shared = prepared(teachings=(*SCRATCH_AND_KD[:2], broken, lambda: None))
        with torch.no_grad():
            pupils[-1].model.stem.weight.fill_(1e308)  # overflows in the first forward pass
        folder.mkdir()
        return kept(pupils, folder), shared

    (ones, shared), (pupils, _) = made(tmp_path / "alone"), made(tmp_path / "together")
    said = {}
    for k, pupil in enumerate(ones):
        try:
            alone(pupil, **shared)
        except DivergenceError as error:
            said[k] = str(error).replace("/alone/", "/together/")
    assert list(said) == [2, 3]
    ends = train_together(pupils, **shared)
    assert {k: str(end) for k, end in enumerate(ends) if not isinstance(end, Trained)} == said
    assert "the logits of teacher b are not finite in windows w07: " in said[2]
    for k in (0, 1):
        compare(pupils[k].model, ones[k].model, atol=1e-6, rtol=1e-6)
    replay = tmp_path / "together" / "2" / "replay.safetensors"
    tensors, about = unpack(replay)
    wanted, _ = unpack(tmp_path / "alone" / "2" / "replay.safetensors")
    assert about["error"] == said[2].partition("; the step")[0]
    for name in wanted:
        if "running" not in name:
            torch.testing.assert_close(tensors[name], wanted[name], atol=1e-6, rtol=1e-6)
    replay.rename(pupils[2].checkpoints.path)
    with pytest.raises(DivergenceError) as again:
        alone(kept(made(tmp_path / "again")[0], tmp_path / "together")[2], **shared)
    assert str(again.value) == said[2]


@pytest.mark.parametrize("step", [0, 3])
def test_one_whose_gradient_is_not_finite_fails_in_that_step_in_the_words_of_one_alone(step, monkeypatch):
    (ones, shared), (pupils, _) = prepared(), prepared()
    steps = iter(range(9))
    ones[0].model.head.weight.register_hook(lambda gradient: gradient / (next(steps) != step))
    with pytest.raises(DivergenceError) as error:
        alone(ones[0], **shared)
    assert f"step {step + 1}: the gradient of head.weight is not finite on windows w" in str(error.value)
    stacked = StackedLearners.__init__

    def spoilt(self, learners, precision):
        stacked(self, learners, precision)
        if learners[0].seed == 0:
            begin, fine = learners[0].begin_step, torch.ones(len(learners), 1, 1)
            number = [name for name, _ in learners[0].model.named_parameters()].index("head.weight")
            self.stack.weights[number].register_hook(lambda gradient: gradient / fine)
            learners[0].begin_step = lambda: (begin(), fine[0].fill_(learners[0].step != step))

    monkeypatch.setattr(StackedLearners, "__init__", spoilt)
    ends = train_together(pupils, **shared)
    assert [isinstance(end, Trained) for end in ends] == [False, True, True]
    assert str(ends[0]) == str(error.value)
    for k in (1, 2):
        alone(ones[k], **shared)
        compare(pupils[k].model, ones[k].model, atol=1e-12, rtol=1e-12)


def test_one_that_says_nothing_of_validation_windows_fails_in_the_words_of_one_alone():
    """Its weights of the best epoch would be those of an epoch whose answers were counted as a class."""
    made = STOPPING | {"validation": some(9, seed=1)}
    (ones, shared), (pupils, _) = prepared(**made), prepared(**made)
    for model in (ones[1].model, pupils[1].model):
        model.head.register_forward_hook(lambda layer, _, out: out if layer.training else out / 0)
    with pytest.raises(DivergenceError) as error:
        alone(ones[1], **shared)
    assert str(error.value) == (
        "training of view 'signal' stopped after epoch 1: the logits of validation windows w00, w01, w02, ... are not finite: "
        "lower the learning rate, or look at these windows"
    )
    ends = train_together(pupils, **shared)
    assert str(ends[1]) == str(error.value)
    for k in (0, 2):
        assert ends[k].epoch == alone(ones[k], **shared).epoch
        compare(pupils[k].model, ones[k].model, atol=1e-12, rtol=1e-12)


def test_a_network_of_a_stack_is_read_and_changed_through_the_stack():
    networks = [network(k) for k in range(3)]
    wanted = [{name: tensor.clone() for name, tensor in n.state_dict().items()} for n in networks]
    stack = Stack(networks)
    assert len(list(stack.parameters())) == len(list(networks[0].parameters()))
    for made, before in zip(networks, wanted, strict=True):
        assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    inputs = torch.randn(3, 4, 2, 32)
    stack.eval()
    networks[1].load_state_dict(wanted[0])
    shown = stack.trace(inputs)
    for k, start in enumerate((0, 0, 2)):
        alone = network(start).eval().trace(inputs[k])
        torch.testing.assert_close(shown[k].logits, alone.logits)
        torch.testing.assert_close(shown[k].embedding, alone.embedding)
        for ours, theirs in zip(shown[k].maps, alone.maps, strict=True):
            torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        next(stack.parameters())[2].fill_(5.0)
    assert bool((networks[2].stem.weight == 5).all())
    assert not bool((networks[1].stem.weight == 5).any())


def test_students_learn_alike_who_differ_in_numbers_only():
    one = alike(taught(1))
    assert one == alike(taught(2, lambda_=0.1, lambda_to=0.9, temperature=2.0, alpha=0.7))
    assert one == alike(taught(2, "kd(temperature=2)"))
    others = [taught(1, "kd(reduction=elementmean)"), taught(1, "dkd"), taught(1, weighing="aver"), None]
    assert len({one, *map(alike, others)}) == 5
    assert [alike(lesson) for lesson in (taught(1, weighing="ae-kd"), watched(1, "kd"), taught(1, "kd+sp"))] == [
        None
    ] * 3


@pytest.mark.parametrize("name", ["ds10-1", "se10-1", "inception", "patch", "resnet18", "mobilenetv3"])
def test_every_kind_of_network_goes_through_a_stack(name):
    def made(k):  # images as training gives them
        return network(k, name, view).to(memory_format=torch.channels_last) if view.dims == 2 else network(k, name)

    view = SIGNAL if name in list_models(1) or "10-" in name else GASF
    networks = [made(k) for k in range(2)]
    stack = Stack(networks).train()
    inputs = torch.randn(2, 4, 2, *[32] * view.dims)
    shown = stack.trace(inputs)
    shown.logits.square().sum().backward()
    for k in range(2):
        alone = made(k).train()
        trace = alone.trace(inputs[k])
        trace.logits.square().sum().backward()
        torch.testing.assert_close(shown[k].logits, trace.logits)
        for ours, theirs in zip(stack.weights, alone.parameters(), strict=True):
            torch.testing.assert_close(ours.grad[k], theirs.grad)
        compare(networks[k], alone)  # running statistics
