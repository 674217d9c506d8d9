"""A training that was broken off goes on from its checkpoint to the same bits."""

import json
import subprocess
import sys
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import torch

import distill
from distill.augment import Augmenter, parse_augment
from distill.batching import Samples
from distill.checkpoint import Checkpoints
from distill.divergence import DivergenceError
from distill.keeping import Every, Keeping, parse_every
from distill.losses import parse_losses
from distill.models import build_model
from distill.plan import Plan
from distill.progress import Progress
from distill.schedule import Schedule
from distill.sealed import pack, unpack
from distill.seeds import initialised
from distill.teachers import cached_logits
from distill.teaching import Teaching, asked_once, live
from distill.train import train
from distill.trainings import carry_out
from distill.views import View
from tests.distill.tiny_runs import QUICK
from tsimage import Imager, load

UNITS = ("g", "g")
SIGNAL, GASF = View(imager=None, units=UNITS), View(imager=Imager(stack="gasf", size=8), units=UNITS)
EACH_STEP = Every(seconds=0.0)


def some(n, seed):
    rng = np.random.default_rng(seed)
    return Samples(
        values=torch.from_numpy(rng.normal(size=(n, 2, 32)).astype(np.float32)),
        labels=torch.arange(n) % 3,
        ids=np.array([f"w{i:02d}" for i in range(n)]),
    )


DATA = some(22, seed=0)


def network(view=SIGNAL, role="student"):
    return initialised(lambda: build_model("wrn10-1", dims=view.dims, in_channels=view.channels, classes=3), 0, role)


def taught(losses="kd", speak="cached", **options):
    views = {"a": GASF, "b": SIGNAL}
    teachers = []
    for name, view in views.items():
        model = network(view, role=name)
        ask = partial(asked_once, values=DATA.values, embeddings=speak == "embeddings")
        teachers.append((live if speak == "live" else ask)(model, view))
    return Teaching(teachers=teachers, names=list(views), weights=[0.3, 0.7], terms=parse_losses(losses), **options)


def schedule(**options):
    return Schedule(**{"epochs": 3, "batch_size": 8, "learning_rate": 0.05, **options})


HABITS = {
    "plain sgd": lambda: {},
    "adamw, steps, warm-up": lambda: {"schedule": schedule(optimizer="adamw", course="steps", warmup_epochs=1)},
    "ema, balanced, smoothed": lambda: {"schedule": schedule(ema=0.8, balanced=True, label_smoothing=0.1)},
    "patience": lambda: {"schedule": schedule(epochs=6, patience=2), "validation": some(9, seed=1)},
    "two teachers, cached": lambda: {"teaching": taught(temperature_to=1.0, lambda_to=0.1)},
    "two teachers, cached embeddings, adapters": lambda: {"teaching": taught("dkd+rkd+dcd(dim=8)", "embeddings")},
    "two teachers, live, adapters": lambda: {"teaching": taught("dkd+hint+sp(beta=10)", "live", weighing="ebkd")},
    "augmented": lambda: {
        "augmenter": Augmenter(
            recipe=parse_augment("jitter+mixup"), channels=("x", "y"), units=UNITS, scale=np.ones(2), seed=3
        )
    },
    "in micro-batches": lambda: {"micro_batches": 2},
}


class BrokenOff(Checkpoints):
    """Breaks the process off after the n-th checkpoint, as a kill would."""

    left = 10**9

    def write(self, tensors, about):
        super().write(tensors, about)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def trained(habits, checkpoints=None):
    model, rows = network(), []
    options = {"schedule": schedule(), **habits()}
    ended = train(model, SIGNAL, DATA, seed=0, checkpoints=checkpoints, on_epoch=rows.append, **options)
    return model.state_dict(), ended, rows


@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS)
def test_broken_off_after_any_step_it_ends_with_the_same_bits(habits, tmp_path):
    wanted, ended, rows = trained(habits)
    steps = 3 * max(3, len(rows))  # three batches in each epoch; the end of an epoch is a place of its own
    for stop in range(1, steps + 1, 2):
        checkpoints = BrokenOff(tmp_path, "key", EACH_STEP)
        checkpoints.left = stop
        with pytest.raises(KeyboardInterrupt):
            trained(habits, checkpoints)
        made, again, seen = trained(habits, Checkpoints(tmp_path, "key", EACH_STEP))
        assert all(torch.equal(made[name], wanted[name]) for name in wanted)
        assert again == ended
        assert json.dumps(seen) == json.dumps(rows)  # names in the same order too
        checkpoints.remove()


@pytest.mark.parametrize(
    ("every", "places"),
    [
        (Every(epochs=2), [(3, 0)]),
        (EACH_STEP, [(1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (4, 0)]),
        (Every(seconds=1e6), []),
    ],
)
def test_checkpoints_are_written_as_often_as_was_asked(tmp_path, every, places):
    written = []

    class Noting(Checkpoints):
        def write(self, tensors, about):
            written.append((about["epoch"], about["batch"]))

    trained(HABITS["plain sgd"], Noting(tmp_path, "key", every))
    assert written == places


def test_every_is_seconds_or_epochs(says):
    assert parse_every("0.5s") == Every(seconds=0.5)
    assert parse_every("3") == Every(epochs=3)
    for text in ("0", "1.5", "soon", "-3s", "5 min"):
        with says(
            f"checkpoint-every '{text}' is not understood: give seconds with an s (60s), or a number of epochs (5)"
        ):
            parse_every(text)


def test_every_flipped_bit_of_a_checkpoint_is_found_and_named(tmp_path, says):
    path = tmp_path / "checkpoint.safetensors"
    content = pack({"model/weight": torch.arange(3.0)}, {"key": "key"})
    path.write_bytes(content)
    assert torch.equal(unpack(path)[0]["model/weight"], torch.arange(3.0))
    for bit in range(8 * len(content)):
        broken = bytearray(content)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        with says(f"'{path}' is not as it was written (its sha256 differs): remove it and give the same command again"):
            unpack(path)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with says(f"'{path}' is not as it was written (its sha256 differs): remove it and give the same command again"):
            unpack(path)


def test_a_checkpoint_is_a_file_of_safetensors(tmp_path):
    from safetensors.torch import load_file

    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(pack({"b": torch.ones(2), "a": torch.zeros(1, dtype=torch.int64)}, {}))
    assert load_file(path).keys() == {"a", "b", "~sha256"}


def test_a_checkpoint_of_another_training_is_refused(tmp_path, says):
    checkpoints = BrokenOff(tmp_path, "one", EACH_STEP)
    checkpoints.left = 1
    with pytest.raises(KeyboardInterrupt):
        trained(HABITS["plain sgd"], checkpoints)
    with says(f"'{checkpoints.path}' is of another training: remove it, and this training starts from the beginning"):
        trained(HABITS["plain sgd"], Checkpoints(tmp_path, "two", EACH_STEP))


def test_damaged_logits_are_named_and_computed_anew(tmp_path):
    path, told, model = tmp_path / "logits.safetensors", [], network()
    first = cached_logits(path, model, "sha", SIGNAL, DATA.values, DATA.ids, told.append)
    content = bytearray(path.read_bytes())
    content[-60] ^= 4
    path.write_bytes(content)
    assert torch.equal(cached_logits(path, model, "sha", SIGNAL, DATA.values, DATA.ids, told.append), first)
    assert told == [f"'{path}' is not as it was written: these logits are computed anew"]
    cached_logits(path, model, "sha", SIGNAL, DATA.values, DATA.ids, told.append)
    assert len(told) == 1


def test_a_step_that_failed_can_be_done_again(tmp_path, monkeypatch):
    habits = lambda: {"schedule": schedule(learning_rate=1e18, course="constant")}  # noqa: E731
    checkpoints = Checkpoints(tmp_path, "key", Every(seconds=1e6))
    with pytest.raises(DivergenceError) as first:
        trained(habits, checkpoints)
    said = str(first.value)
    assert said.endswith(f"; the step can be done again from '{tmp_path / 'replay.safetensors'}'")
    tensors, about = unpack(checkpoints.replay_path)
    assert about["step"] >= 1
    assert f"epoch {about['epoch']}, step {about['step'] + 1}:" in said
    index = [DATA.ids.tolist().index(name) for name in about["windows"]]
    assert torch.equal(tensors["batch/values"], DATA.values[index])
    checkpoints.replay_path.rename(checkpoints.path)
    steps = []
    monkeypatch.setattr("torch.optim.SGD.step", lambda self: steps.append(1))
    with pytest.raises(DivergenceError) as again:
        trained(habits, checkpoints)
    assert str(again.value) == said
    assert steps == []


@pytest.fixture
def quick_plan(tmp_path):
    options = {name: value for name, value in QUICK.items() if name != "image_size"}
    run = distill.Run(**options | {"teacher": ("wrn10-1:signal",), "batch_size": 16})
    return Plan(run, load("basic-motions", channels="acc*"), tmp_path / "run")


class Told(Progress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_halves_what_goes_through_at_once(quick_plan, monkeypatch, error):
    training, told, sizes = quick_plan.trainings()[0], Told(), []
    samples = quick_plan.samples(training.split.train)
    learn = distill.train._learn

    def limited(learner, batch, *args, **options):
        if len(batch.positions) > 5:
            raise error
        sizes.append(len(batch.positions))
        learn(learner, batch, *args, **options)

    monkeypatch.setattr("distill.train._learn", limited)
    carry_out(quick_plan, training, samples, "teacher", told, Keeping())
    record = json.loads((training.folder / "training.json").read_text())
    assert record["micro_batches"] == 4
    assert told.lines == [
        f"teacher  memory ran out: every batch now goes in {parts} parts, whose gradients add up" for parts in (2, 4)
    ]
    assert sum(sizes) == 2 * 40  # every window once in each of two epochs
    assert max(sizes) <= 5


def test_memory_for_less_than_two_windows_is_one_sentence(quick_plan, monkeypatch, says):
    training = quick_plan.trainings()[0]

    def never(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("distill.train._learn", never)
    with says(
        "seed 0  teacher wrn10-1:signal: memory ran out even with batches in 4 parts: lower the batch-size or the "
        "image-size, or use another device"
    ):
        carry_out(quick_plan, training, quick_plan.samples(training.split.train), "teacher", Progress(), Keeping())


def test_gradients_of_parts_add_up_to_that_of_the_batch():
    """Without batch normalisation nothing but rounding tells parts of a batch from the whole."""
    grads = []
    for parts in (1, 3):
        model = initialised(lambda: build_model("wrn10-1-gn", dims=1, in_channels=2, classes=3), 0, "student").double()
        data = Samples(values=DATA.values.double(), labels=DATA.labels, ids=DATA.ids)
        with pytest.MonkeyPatch.context() as patch:
            kept = {}
            patch.setattr(
                "torch.optim.SGD.step",
                lambda self, kept=kept: kept.update(
                    {i: p.grad.clone() for i, p in enumerate(self.param_groups[0]["params"])}
                ),
            )
            train(
                model, SIGNAL, data, schedule(epochs=1, batch_size=22), seed=0, micro_batches=parts, teaching=taught()
            )
        grads.append(kept)
    for i, grad in grads[0].items():
        torch.testing.assert_close(grads[1][i], grad, rtol=1e-4, atol=1e-6)


def test_ten_kills_of_runs_and_thirty_of_saves(repository):
    script = [sys.executable, "experiments/kills.py", "--kills", "10", "--saves", "30"]
    done = subprocess.run(script, cwd=repository, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.split("files left over\n")[-1]
    assert "sgd, one teacher, cached" in table
    assert "nothing but saves" in table


def test_what_a_training_is_decides_its_key(quick_plan):
    scratch, student = quick_plan.trainings()[1:]
    base = quick_plan.identity(student)
    assert base["teachers"][0][0] == quick_plan.identity(quick_plan.trainings()[0])
    assert base["schedule"] == asdict(quick_plan.schedule)
    assert "loss" not in quick_plan.identity(scratch)
    assert quick_plan.key(scratch) != quick_plan.key(student)
