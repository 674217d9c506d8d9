import threading

import numpy as np
import pytest
import torch
from torch import nn

from distill.batching import Samples, batches
from distill.divergence import broken_gradients
from distill.learner import Learner
from distill.losses import parse_losses
from distill.models import build_model
from distill.models.standardize import Standardize, Standardized
from distill.prediction import predict
from distill.schedule import Schedule
from distill.seeds import initialised, random_seed
from distill.teaching import Teaching, cached
from distill.train import train
from distill.views import View
from tsimage import Imager
from tsimage.errors import UserError

UNITS = ("g", "g")
SIGNAL = View(imager=None, units=UNITS)
IDS = np.array([f"w{i}" for i in range(23)])


def samples(n=48, length=32, seed=0):
    """Two classes that differ in frequency."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    time = np.arange(length) / length
    phase = rng.uniform(0, 6, (n, 2, 1))
    values = np.sin(2 * np.pi * (2 + 4 * labels[:, None, None]) * time + phase).astype(np.float32)
    return Samples(
        values=torch.from_numpy(values),
        labels=torch.from_numpy(labels),
        ids=np.array([f"w{i:03d}" for i in range(n)]),
    )


def network(seed=0, dims=1, channels=2):
    return initialised(lambda: build_model("wrn10-1", dims=dims, in_channels=channels, classes=2), seed, "student")


def state_equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())


def taught_by(logits, losses="kd", **options):
    """Teaching by one teacher whose logits are known."""
    return Teaching(teachers=[cached(logits)], names=["oracle"], weights=[1.0], terms=parse_losses(losses), **options)


SHORT = Schedule(epochs=3, batch_size=16, learning_rate=0.05)


def test_batches_hold_every_window_once_in_nearly_equal_sizes():
    made = list(batches(IDS, 8, seed=0, epoch=1))
    assert sorted(np.concatenate(made)) == list(range(23))
    assert sorted(map(len, made)) == [7, 8, 8]


def test_batches_follow_the_ids_and_not_the_positions():
    shuffled = np.random.default_rng(1).permutation(len(IDS))
    a = [IDS[b].tolist() for b in batches(IDS, 8, seed=0, epoch=1)]
    b = [IDS[shuffled][b].tolist() for b in batches(IDS[shuffled], 8, seed=0, epoch=1)]
    assert a == b


def test_batches_differ_by_seed_and_epoch():
    first = np.concatenate(list(batches(IDS, 8, seed=0, epoch=1)))
    assert (first != np.concatenate(list(batches(IDS, 8, seed=0, epoch=2)))).any()
    assert (first != np.concatenate(list(batches(IDS, 8, seed=1, epoch=1)))).any()


def test_initial_weights_come_from_seed_and_role_and_leave_the_global_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a = network(0)
    assert torch.equal(torch.rand(3), expected)
    assert state_equal(a, network(0))
    assert not state_equal(a, network(1))
    assert random_seed(0, "init", "teacher") != random_seed(0, "init", "student")


def test_initial_weights_are_the_same_whatever_another_thread_builds_meanwhile():
    """The other thread draws between two draws of this one, wherever it is let."""
    entered, ended = threading.Event(), threading.Event()

    def other():
        initialised(lambda: (torch.rand(1), entered.set(), ended.wait(5)), 1, "student")

    thread = threading.Thread(target=other)

    def build(between=lambda: None):
        first = torch.rand(2)
        between()
        return torch.cat([first, torch.rand(2)])

    expected = initialised(build, 0, "student")
    made = initialised(lambda: build(lambda: (thread.start(), entered.wait(0.1))), 0, "student")
    ended.set()
    thread.join()
    assert entered.is_set()
    assert torch.equal(made, expected)


def test_training_learns_and_repeats_itself_to_the_bit():
    data, rows = samples(), []
    models = [network(), network()]
    schedule = Schedule(epochs=12, batch_size=16, learning_rate=0.05)
    for model in models:
        train(model, SIGNAL, data, schedule, seed=0, on_epoch=rows.append)
    assert state_equal(*models)
    assert rows[11]["accuracy"] == 1.0
    assert rows[11]["loss"] < rows[0]["loss"] / 2
    held_out = samples(seed=1)
    assert (predict(models[0], SIGNAL, held_out.values).argmax(1) == held_out.labels).float().mean() > 0.9


def test_rate_falls_from_the_first_step_to_the_last():
    rows = []
    train(
        network(),
        SIGNAL,
        samples(),
        Schedule(epochs=4, batch_size=48, learning_rate=0.05),
        seed=0,
        on_epoch=rows.append,
    )
    rates = [row["learning_rate"] for row in rows]
    assert rates[0] == pytest.approx(0.05)
    assert rates[-1] == pytest.approx(1e-4)
    assert rates == sorted(rates, reverse=True)


def test_another_seed_gives_another_model():
    a, b = network(), network()
    train(a, SIGNAL, samples(), SHORT, seed=0)
    train(b, SIGNAL, samples(), SHORT, seed=1)
    assert not state_equal(a, b)


def test_distillation_pulls_the_student_to_its_teacher_rather_than_to_the_labels():
    data = samples()
    swapped = torch.nn.functional.one_hot(1 - data.labels, 2).float() * 6
    teaching = taught_by(swapped, lambda_=1.0)
    student = network()
    train(student, SIGNAL, data, Schedule(epochs=12, batch_size=16, learning_rate=0.05), seed=0, teaching=teaching)
    assert (predict(student, SIGNAL, data.values).argmax(1) == 1 - data.labels).float().mean() > 0.9


def test_teacher_logits_go_with_their_windows():
    """A teacher that knows each window by position must not be shuffled against it."""
    data = samples()
    truth = torch.nn.functional.one_hot(data.labels, 2).float() * 6
    teaching = taught_by(truth, lambda_=1.0)
    student, rows = network(), []
    train(
        student,
        SIGNAL,
        data,
        Schedule(epochs=12, batch_size=16, learning_rate=0.05),
        seed=0,
        teaching=teaching,
        on_epoch=rows.append,
    )
    assert rows[-1]["accuracy"] == 1.0
    means = {"epoch", "learning_rate", "loss", "cross_entropy", "kd", "kd_0", "accuracy"}
    logged = {"weight cross_entropy", "weight kd", "weight teacher_0", "gradient cross_entropy", "gradient kd"}
    assert set(rows[-1]) == means | logged
    assert set(rows[1]) == means


def test_a_two_dimensional_network_trains_on_images_painted_batch_by_batch():
    data = samples()
    view = View(imager=Imager(stack="gasf+mtf", size=16), units=UNITS)
    assert (view.channels, view.dims, view.name) == (4, 2, "gasf+mtf")
    model, rows = network(dims=2, channels=4), []
    train(model, view, data, Schedule(epochs=8, batch_size=16, learning_rate=0.05), seed=0, on_epoch=rows.append)
    assert rows[-1]["accuracy"] > 0.9
    whole = predict(model, view, data.values)
    single = torch.cat([predict(model, view, data.values[i : i + 1]) for i in range(len(data.ids))])
    torch.testing.assert_close(whole, single, atol=1e-4, rtol=1e-4)


def test_bf16_trains_too():
    model, rows = network(), []
    schedule = Schedule(epochs=12, batch_size=16, learning_rate=0.05)
    train(model, SIGNAL, samples(), schedule, seed=0, precision="bf16", on_epoch=rows.append)
    assert rows[-1]["accuracy"] > 0.9
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_a_loss_that_is_not_finite_stops_at_once_and_names_the_windows():
    data = samples()
    broken = torch.zeros(len(data.ids), 2)
    broken[7] = torch.nan
    teaching = taught_by(broken)
    with pytest.raises(
        UserError,
        match=r"training of view 'signal' stopped at epoch 1, step \d: the logits of teacher oracle are not finite in windows "
        "w007: look at these windows and what was trained on them$",
    ):
        train(network(), SIGNAL, data, SHORT, seed=0, teaching=teaching)


@pytest.mark.parametrize("step", [2, 8])
@pytest.mark.parametrize("behind", [False, True])
def test_a_gradient_that_is_not_finite_stops_in_its_step_the_last_one_too(step, behind):
    """Else the weights were lost unseen, and windows of the next step were named, or none."""
    data, inner = samples(), network()
    model = Standardized(Standardize.fit(data.values), inner) if behind else inner
    steps = iter(range(9))
    inner.head.weight.register_hook(lambda gradient: gradient / (next(steps) != step))
    epoch, batch = divmod(step, 3)
    named = ", ".join(data.ids[list(batches(data.ids, 16, 0, epoch + 1))[batch]][:3])
    with pytest.raises(UserError) as error:
        train(model, SIGNAL, data, SHORT, seed=0)
    assert str(error.value) == (
        f"training of view 'signal' stopped at epoch {epoch + 1}, step {step + 1}: the gradient of head.weight is not finite on "
        f"windows {named}, ...: lower the learning rate"
    )
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_weights_that_are_not_finite_at_the_end_are_named_as_in_the_network():
    data, inner = samples(), network()
    model = Standardized(Standardize.fit(data.values), inner)
    learner = Learner(model, SIGNAL, data, SHORT, seed=0)
    with torch.no_grad():
        inner.stem.weight[0] = torch.nan
    with pytest.raises(
        UserError, match=r"ended with weights that are not finite \(stem\.weight\): lower the learning rate$"
    ):
        learner.finish()


def test_gradients_whose_squares_are_infinite_are_finite():
    layer = nn.Linear(1, 2)
    layer.weight.grad = torch.full((2, 1), 1e30)
    assert broken_gradients(layer.named_parameters()) == []
    layer.weight.grad[1] = torch.inf
    assert broken_gradients(layer.named_parameters()) == ["weight"]


def test_view_keys_tell_recipes_and_units_apart():
    keys = {
        View(imager=None, units=UNITS).key(),
        View(imager=None, units=("g", "rad/s")).key(),
        View(imager=Imager(stack="gasf"), units=UNITS).key(),
        View(imager=Imager(stack="gasf", size=16), units=UNITS).key(),
        View(imager=Imager(stack="gasf", scaling="window"), units=UNITS).key(),
    }
    assert len(keys) == 5
