"""The student's loop with every loss, view and weighing, and the habits of training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.augment import AUGMENTATIONS, Augmenter, hash_ids, parse_augment
from distill.batching import Samples, batches
from distill.config import Run
from distill.gradients import PartGradients
from distill.losses import LOSSES, combine, parse_losses
from distill.models import build_model
from distill.prediction import predict
from distill.schedule import Schedule
from distill.seeds import initialised
from distill.teaching import Teaching, cached, live
from distill.train import train
from distill.views import View
from distill.weighing import WEIGHINGS
from tsimage import Imager

UNITS = ("g", "g")
VIEWS = {
    "signal": View(imager=None, units=UNITS),
    "gasf": View(imager=Imager(stack="gasf", size=8), units=UNITS),
    "mtf+rp": View(imager=Imager(stack="mtf(bins=3)+rp", size=8), units=UNITS),
}
SIGNAL = VIEWS["signal"]
TWO_STEPS = Schedule(epochs=1, batch_size=8, learning_rate=0.05)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return Samples(
        values=torch.from_numpy(rng.normal(size=(16, 2, 32)).astype(np.float32)),
        labels=torch.arange(16) % 3,
        ids=np.array([f"w{i:02d}" for i in range(16)]),
    )


def network(view=SIGNAL, seed=0, role="student"):
    return initialised(lambda: build_model("wrn10-1", dims=view.dims, in_channels=view.channels, classes=3), seed, role)


def teaching(*views, losses="kd", **options):
    names = [f"wrn10-1:{name}" for name in views]
    teachers = [live(network(VIEWS[name], role=name), VIEWS[name]) for name in views]
    weights = [1 / len(views)] * len(views)
    return Teaching(teachers=teachers, names=names, weights=weights, terms=parse_losses(losses), **options)


def trained(data, schedule=TWO_STEPS, **options):
    model, rows = network(), []
    train(model, SIGNAL, data, schedule, seed=0, on_epoch=rows.append, **options)
    return model, rows


def same(a, b):
    return all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())


@pytest.mark.parametrize("views", [("signal",), ("gasf",), ("mtf+rp", "signal")], ids=" & ".join)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighing", ["fixed", *WEIGHINGS])
def test_every_view_loss_and_weighing_trains_two_steps(data, views, loss, weighing):
    before = network()
    model, rows = trained(data, teaching=teaching(*views, losses=loss, weighing=weighing))
    assert not same(before, model)
    weights = [rows[0][f"weight teacher_{k}"] for k in range(len(views))]
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert rows[0][loss] > 0
    assert rows[0][f"gradient {loss}"] > 0
    assert all(np.isfinite(value) for value in rows[0].values())


@pytest.mark.parametrize("loss", [name for name in LOSSES if LOSSES[name].kind == "logits"])
def test_lambda_zero_is_training_from_labels_to_the_bit(data, loss):
    alone, _ = trained(data)
    taught, _ = trained(data, teaching=teaching("gasf", "signal", losses=loss, lambda_=0.0))
    assert same(alone, taught)


def test_features_alone_leave_the_cross_entropy_whole(data):
    _, rows = trained(data, teaching=teaching("signal", losses="sp(beta=2)", lambda_=0.7))
    assert rows[0]["weight cross_entropy"] == 1.0
    assert rows[0]["weight sp"] == 2.0
    assert rows[0]["loss"] == pytest.approx(rows[0]["cross_entropy"] + 2 * rows[0]["sp"], rel=1e-6)


def test_a_live_teacher_says_what_was_cached(data):
    """Logits of every window at once and batch by batch differ by rounding only."""
    teacher = network(VIEWS["gasf"], role="gasf")
    kept = cached(predict(teacher, VIEWS["gasf"], data.values))
    index = torch.tensor([3, 1, 15])
    a, b = kept(index, data.values[index]).logits, live(teacher, VIEWS["gasf"])(index, data.values[index]).logits
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert not b.requires_grad


def test_a_live_teacher_is_not_changed_by_its_lessons(data):
    made = network(VIEWS["gasf"], role="gasf")
    before = {k: v.clone() for k, v in made.state_dict().items()}
    trained(data, teaching=replace(teaching("signal"), teachers=[live(made, VIEWS["gasf"])]))
    assert all(torch.equal(v, before[k]) for k, v in made.state_dict().items())


def test_gradient_norms_are_those_of_the_weighed_parts_and_leave_no_trace(data):
    model = network()
    student = model.trace(data.values)
    teacher = network(seed=1).trace(data.values)
    parts = combine(parse_losses("kd+at(beta=3)"), student, [teacher], data.labels, torch.ones(1), lambda_=0.6)
    gradients = PartGradients(model)
    gradients.add(parts, {"cross_entropy": 0.4, "kd": 0.6, "at": 3.0, "teacher_0": 1.0})
    norms = gradients.norms()
    assert set(norms) == {"cross_entropy", "kd", "at"}
    assert all(p.grad is None for p in model.parameters())
    for name, weight in (("cross_entropy", 0.4), ("kd", 0.6), ("at", 3.0)):
        model.zero_grad()
        (weight * parts[name]).backward(retain_graph=True)
        square = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)
        assert norms[name] == pytest.approx(square**0.5, rel=1e-5)


def test_logging_of_gradients_changes_no_weight(data, monkeypatch):
    logged, rows = trained(data, teaching=teaching("signal"))
    monkeypatch.setattr("distill.learner.Learner.wants_norms", False)
    silent, other = trained(data, teaching=teaching("signal"))
    assert same(logged, silent)
    assert "gradient kd" in rows[0]
    assert "gradient kd" not in other[0]


def test_logged_gradients_are_of_the_whole_batch_where_it_goes_in_parts(data):
    """Without batch normalisation and losses that compare windows, parts of unequal size tell what the whole batch tells."""
    wide, rows = replace(data, values=data.values.double()), []
    teachers = [live(network(seed=seed).double(), SIGNAL) for seed in (1, 2)]
    lesson = replace(teaching("signal", "gasf", losses="kd+at(beta=3)", weighing="ebkd"), teachers=teachers)
    for parts in (1, 3):
        model = initialised(lambda: build_model("wrn10-1-gn", dims=1, in_channels=2, classes=3), 0, "student").double()
        schedule = replace(TWO_STEPS, batch_size=16)
        train(model, SIGNAL, wide, schedule, seed=0, teaching=lesson, micro_batches=parts, on_epoch=rows.append)
    logged = [{name: row[name] for name in row if name.startswith(("gradient", "weight"))} for row in rows]
    assert logged[1] == pytest.approx(logged[0], rel=1e-6)
    assert logged[0].keys() == {
        *("weight cross_entropy", "weight kd", "weight at", "weight teacher_0", "weight teacher_1"),
        *("gradient cross_entropy", "gradient kd", "gradient at"),
    }


def test_lambda_and_temperature_move_in_a_straight_line(data):
    lesson = teaching("signal", lambda_=0.9, lambda_to=0.1, temperature=4.0, temperature_to=2.0)
    student = network().trace(data.values)
    index = torch.arange(16)
    for step, lambda_, temperature in ((0, 0.9, 4.0), (2, 0.5, 3.0), (4, 0.1, 2.0)):
        parts, weights = lesson.losses(student, index, data.values, data.labels, epoch=1, step=step, steps=5)
        assert weights["kd"] == pytest.approx(lambda_)
        still = teaching("signal", lambda_=lambda_, temperature=temperature)
        expected, _ = still.losses(student, index, data.values, data.labels, epoch=1)
        torch.testing.assert_close(parts["loss"], expected["loss"])


def test_a_loss_of_maps_refuses_a_teacher_that_shows_none(data, says):
    lesson = replace(teaching("signal", losses="sp"), teachers=[cached(torch.zeros(16, 3))])
    with says("loss 'sp' needs feature maps and teacher 'wrn10-1:signal' has none: choose kd, lskd, dkd or dist"):
        trained(data, teaching=lesson)


def test_logits_of_other_windows_or_classes_are_refused(data, says):
    def taught(logits):
        teaching = Teaching(teachers=[cached(logits)], names=["a"], weights=[1.0], terms=parse_losses("kd"))
        trained(data, teaching=teaching)

    n = len(data.ids)
    taught(torch.zeros(n, 3))
    with says(
        f"the logits of teacher a are of {n + 1} windows, and there are {n} training windows: give a row for each of them, in "
        "their order"
    ):
        taught(torch.zeros(n + 1, 3))
    with says("teacher a tells 4 classes apart, and the student 3: take one that was trained on the same classes"):
        taught(torch.zeros(n, 4))


def test_running_means_of_the_weights(data):
    """Against the recursion by hand, for weights and running statistics."""
    schedule = replace(TWO_STEPS, ema=0.75)
    states = []

    class Spy(torch.optim.SGD):
        def step(self, *args, **kwargs):
            out = super().step(*args, **kwargs)
            states.append({k: v.clone() for k, v in model.state_dict().items()})
            return out

    model = network()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.optim.SGD", Spy)
        train(model, SIGNAL, data, schedule, seed=0)
    assert len(states) == 2
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * states[0][name] + 0.25 * states[1][name])


def test_early_stopping_keeps_the_best_epoch(data, monkeypatch):
    right = iter([0.2, 0.5, 0.5, 0.4, 0.6])
    seen = []

    def predicted(model, view, values, batch_size=256):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        hits = round(next(right) * 10)
        return torch.nn.functional.one_hot(torch.tensor([0] * hits + [1] * (10 - hits)), 3).float()

    monkeypatch.setattr("distill.learner.predict", predicted)
    held = Samples(values=data.values[:10], labels=torch.zeros(10, dtype=torch.int64), ids=data.ids[:10])
    model, rows = network(), []
    kept = train(
        model,
        SIGNAL,
        data,
        Schedule(epochs=9, batch_size=8, learning_rate=0.05, patience=2),
        seed=0,
        validation=held,
        on_epoch=rows.append,
    )
    assert kept.epoch == 2
    assert [round(row["validation_accuracy"], 6) for row in rows] == [0.2, 0.5, 0.5, 0.4]
    assert all(torch.equal(v, seen[1][k]) for k, v in model.state_dict().items())


def test_balanced_classes_count_alike(data):
    few = replace(data, labels=torch.tensor([0] * 12 + [1] * 3 + [2]))
    _, rows = trained(few, Schedule(epochs=1, batch_size=16, learning_rate=1e-9, balanced=True))
    logits = network().train().trace(data.values).logits
    losses = torch.nn.functional.cross_entropy(logits, few.labels, reduction="none")
    by_class = torch.stack([losses[few.labels == c].mean() for c in range(3)])
    assert rows[0]["cross_entropy"] == pytest.approx(by_class.mean().item(), rel=1e-5)


def test_label_smoothing_mixes_in_all_classes(data):
    _, rows = trained(data, Schedule(epochs=1, batch_size=16, learning_rate=1e-9, label_smoothing=0.3))
    log_p = network().train().trace(data.values).logits.log_softmax(1)
    target = 0.7 * torch.nn.functional.one_hot(data.labels, 3) + 0.1
    assert rows[0]["cross_entropy"] == pytest.approx(-(target * log_p).sum(1).mean().item(), rel=1e-5)


def test_adamw_is_torchs(data):
    model, _ = trained(data, Schedule(epochs=1, batch_size=16, learning_rate=0.01, optimizer="adamw", weight_decay=0.1))
    other = network().train()
    optimizer = torch.optim.AdamW(other.parameters(), lr=0.01, weight_decay=0.1)
    torch.nn.functional.cross_entropy(other(data.values), data.labels).backward()
    optimizer.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def augmenter(text, seed=0):
    return Augmenter(recipe=parse_augment(text), channels=["acc-x", "acc-y"], units=UNITS, scale=[1.0, 1.0], seed=seed)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name not in ("rotation", "erasing")])
def test_every_augmentation_trains_and_repeats_itself_to_the_bit(data, name):
    plain, _ = trained(data)
    a, _ = trained(data, augmenter=augmenter(name))
    b, _ = trained(data, augmenter=augmenter(name))
    other, _ = trained(data, augmenter=augmenter(name, seed=1))
    assert same(a, b)
    assert not same(a, plain)
    assert not same(a, other)


def test_a_live_teacher_sees_what_the_student_sees(data):
    """Live teachers are asked about the augmented values, in the order of the batch."""
    asked, painted = [], []

    def spy(index, values):
        asked.append((index.clone(), values.clone()))
        return network(seed=1).eval().trace(values).detach()

    lesson = replace(teaching("signal"), teachers=[spy])
    model = network()
    inner = model.trace
    model.trace = lambda x: (painted.append(x.clone()), inner(x))[1]
    train(model, SIGNAL, data, TWO_STEPS, seed=0, teaching=lesson, augmenter=augmenter("scaling"))
    assert len(asked) == 3  # one example before the two steps
    for (index, values), seen in zip(asked[1:], painted[1:], strict=True):
        assert torch.equal(values, seen)
        assert not torch.equal(values, data.values[index])


def test_mixed_windows_are_learnt_with_mixed_labels(data):
    schedule = Schedule(epochs=1, batch_size=16, learning_rate=1e-9)
    _, rows = trained(data, schedule, augmenter=augmenter("mixup(alpha=1)"))
    index = next(batches(data.ids, 16, 0, 1))
    made = augmenter("mixup(alpha=1)").signals(data.values[index], hash_ids(data.ids[index]), 1)
    losses = network().train().trace(made.values).logits
    own, other = data.labels[index], data.labels[index][made.partner]
    ce = torch.nn.functional.cross_entropy
    expected = made.share * ce(losses, own, reduction="none") + (1 - made.share) * ce(losses, other, reduction="none")
    assert rows[0]["cross_entropy"] == pytest.approx(expected.mean().item(), rel=1e-5)


@pytest.mark.parametrize("name", ["erasing", "mixup(on=image)", "cutmix(on=image)", "jitter+erasing"])
def test_images_are_augmented_too(data, name):
    view, made = VIEWS["gasf"], []
    for options in ({}, {"augmenter": augmenter(name)}, {"augmenter": augmenter(name)}):
        model = network(view)
        train(model, view, data, TWO_STEPS, seed=0, **options)
        made.append(model)
    assert same(made[1], made[2])
    assert not same(made[0], made[1])


@pytest.mark.parametrize(
    ("options", "formula"),
    [
        ({}, "L = 0.3 CE + 0.7 x 4^2 x [0.3 KL(wrn16-1:gasf) + 0.7 KL(wrn16-1:signal)]"),
        (
            {"loss": "kd(reduction=elementmean)", "temperature": 2.0},
            "L = 0.3 CE + 0.7 x 2^2 x [0.3 KL(wrn16-1:gasf) + 0.7 KL(wrn16-1:signal)]/C",
        ),
        (
            {"lambda_": 0.9, "lambda_to": 0.5, "temperature_to": 1.0},
            "L = (0.1 to 0.5) CE + (0.9 to 0.5) x (4 to 1)^2 x [0.3 KL(wrn16-1:gasf) + 0.7 KL(wrn16-1:signal)]",
        ),
        (
            {"loss": "kd+sp(beta=700)", "weighing": "ebkd"},
            "L = 0.3 CE + 0.7 x 4^2 x [w0 KL(wrn16-1:gasf) + w1 KL(wrn16-1:signal)] + 700 x [w0 SP(wrn16-1:gasf) + "
            "w1 SP(wrn16-1:signal)], w by ebkd",
        ),
        ({"loss": "at(beta=5)"}, "L = CE + 5 x [0.3 AT(wrn16-1:gasf) + 0.7 AT(wrn16-1:signal)]"),
    ],
)
def test_the_formula_says_what_is_added(options, formula):
    assert Run(teacher=("wrn16-1",), **options).formula() == formula


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"weighing": "ebkd", "alpha": 0.3},
            "weighing ebkd finds the weights of teachers by itself, so alpha and NETWORK:VIEW=WEIGHT do nothing: leave them "
            "out, or take weighing fixed",
        ),
        (
            {"loss": "at", "temperature": 4.0},
            "temperature does nothing for loss 'at', which has no part of logits: leave it out",
        ),
        (
            {"loss": "at", "lambda_to": 0.4},
            "lambda-to does nothing for loss 'at', which has no part of logits: leave it out",
        ),
        (
            {"loss": "kd(temperature=3)", "temperature": 4.0},
            "temperature and loss 'kd(temperature=3)' say the same thing: give one of them",
        ),
        ({"weighing": "abkd"}, "unknown weighing 'abkd': did you mean 'ebkd'? Valid: fixed, aver, ebkd, ca-mkd, ae-kd"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam': did you mean 'adamw'? Valid: sgd, adamw"),
        ({"lambda_to": 1.5}, "lambda-to 1.5 is not allowed: it is a weight of distillation, from 0 to 1"),
        ({"temperature_to": 0.0}, "temperature-to 0.0 is not allowed: it must be positive and finite"),
        (
            {"teaching": "cached", "augment": "jitter"},
            "teaching cached is not possible, as augmentation jitter changes the windows in every step: take live, or auto",
        ),
        (
            {"teaching": "cached", "loss": "kd+sp"},
            "teaching cached is not possible, as loss sp compares feature maps in every step: take live, or auto",
        ),
        (
            {"augment": "mixup", "loss": "dkd"},
            "mixed windows have two labels and dkd needs one: leave out the mixing or dkd",
        ),
        (
            {"augment": "erasing", "teacher": ("wrn16-1:signal",)},
            "augmentation erasing changes images, and no teacher that is trained looks at any: leave it out",
        ),
        ({"ema": 1.0}, "ema 1.0 is not allowed: from 0 to less than 1"),
        ({"label_smoothing": -0.1}, "label-smoothing -0.1 is not allowed: from 0 to less than 1"),
        ({"patience": -1}, "patience -1 is not allowed: give a number of epochs, or 0 for none"),
    ],
)
def test_impossible_options_are_refused(says, options, error):
    with says(error):
        Run(**options)
