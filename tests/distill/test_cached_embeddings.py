"""Teachers who were asked once for logits and embeddings: what is kept of them, and what a student takes from that."""

import json
import shutil
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

import distill
from distill.batching import Samples
from distill.losses import parse_losses
from distill.models import build_model
from distill.prediction import embed, predict
from distill.schedule import Schedule
from distill.sealed import pack, unpack
from distill.seeds import initialised
from distill.teachers import cached_embeddings, cached_logits
from distill.teaching import Teaching, asked_once, cached, live
from distill.train import train
from distill.views import View
from tests.distill.tiny_grids import RUN, do
from tests.distill.tiny_runs import QUICK, shas
from tsimage import Imager

UNITS = ("g", "g")
SIGNAL, GASF = View(imager=None, units=UNITS), View(imager=Imager(stack="gasf", size=8), units=UNITS)


def network(view=SIGNAL, seed=0):
    return initialised(
        lambda: build_model("wrn10-1", dims=view.dims, in_channels=view.channels, classes=3), seed, "student"
    )


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return Samples(
        values=torch.from_numpy(rng.normal(size=(16, 2, 32)).astype(np.float32)),
        labels=torch.arange(16) % 3,
        ids=np.array([f"w{i:02d}" for i in range(16)]),
    )


def taught(losses, *speakers):
    names, weights = [f"wrn10-1:{k}" for k in range(len(speakers))], [1 / len(speakers)] * len(speakers)
    return Teaching(teachers=speakers, names=names, weights=weights, terms=parse_losses(losses))


@pytest.mark.parametrize("view", [SIGNAL, GASF], ids=["signal", "images"])
def test_logits_and_embeddings_come_from_one_pass(data, view):
    model = network(view).train()
    shown = embed(model, view, data.values, batch_size=5)
    assert shown.maps == ()
    assert torch.equal(shown.logits, predict(model, view, data.values, batch_size=5))
    with torch.no_grad():
        traces = [model.trace(view.of(part)) for part in data.values.split(5)]
        torch.testing.assert_close(model.head(shown.embedding), shown.logits)
    assert torch.equal(shown.embedding, torch.cat([trace.embedding for trace in traces]))


def test_where_memory_ends_embeddings_come_in_smaller_batches(data, monkeypatch):
    model, sizes = network(), []
    whole, trace = embed(model, SIGNAL, data.values), model.trace

    def limited(inputs):
        if len(inputs) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(inputs))
        return trace(inputs)

    monkeypatch.setattr(model, "trace", limited)
    shown = embed(model, SIGNAL, data.values)
    assert sizes == [4, 4, 4, 4]
    torch.testing.assert_close(shown.embedding, whole.embedding)


def test_a_batch_of_all_windows_is_what_a_live_teacher_shows_to_the_bit(data):
    """The cache is computed in one batch here, as the live teacher sees it; where batches differ, rounding does."""
    views, index = (SIGNAL, GASF), torch.arange(16)
    models = [network(view, seed) for seed, view in enumerate(views)]
    student = network(seed=5).trace(data.values)
    speakers = [asked_once(m, v, data.values, embeddings=True) for m, v in zip(models, views, strict=True)]
    once = taught("kd+rkd+dcd(dim=8)", *speakers).ready(network(seed=5), SIGNAL, data)
    looking = replace(once, teachers=[live(model, view) for model, view in zip(models, views, strict=True)])
    parts, _ = once.losses(student, index, data.values, data.labels, epoch=1)
    expected, _ = looking.losses(student, index, data.values, data.labels, epoch=1)
    assert {name: part.item() for name, part in parts.items()} == {n: part.item() for n, part in expected.items()}
    assert {"rkd_1", "contrast_1", "kd_1"} <= parts.keys()


@pytest.mark.parametrize("losses", ["rkd", "kd+dcd(dim=8)"])
def test_a_student_learns_what_it_learns_from_live_teachers(data, losses):
    made = []
    for speak in (asked_once(network(GASF, 1), GASF, data.values, embeddings=True), live(network(GASF, 1), GASF)):
        model = network()
        train(
            model,
            SIGNAL,
            data,
            Schedule(epochs=1, batch_size=8, learning_rate=0.01),
            seed=0,
            teaching=taught(losses, speak),
        )
        made.append(model.state_dict())
    alone = network().state_dict()
    assert not torch.equal(made[0]["stem.weight"], alone["stem.weight"])
    for name, tensor in made[1].items():
        torch.testing.assert_close(made[0][name], tensor, atol=1e-4, rtol=1e-3)


def test_what_is_kept_serves_only_its_teacher_view_and_windows(data, tmp_path, monkeypatch):
    asked, told, path = [], [], tmp_path / "embeddings.safetensors"
    monkeypatch.setattr("distill.teachers.embed", lambda *given: asked.append(given) or embed(*given))

    def sought(sha="sha", view=SIGNAL, ids=data.ids):
        return cached_embeddings(path, network(view), sha, view, data.values, ids, told.append)

    first = sought()
    assert (first.logits.shape, first.embedding.shape) == ((16, 3), (16, 64))
    again = sought()
    assert torch.equal(again.logits, first.logits)
    assert torch.equal(again.embedding, first.embedding)
    assert len(asked) == 1
    for others, other in enumerate([{"sha": "other"}, {"view": GASF}, {"ids": data.ids[::-1]}]):
        sought(**other)
        sought(**other)
        sought()  # so that nothing else differs from what is kept when the next one comes
        assert len(asked) == 3 + 2 * others
    assert told == []
    content = bytearray(path.read_bytes())
    content[-300] ^= 1
    path.write_bytes(content)
    sought()
    assert told == [f"'{path}' is not as it was written: these embeddings are computed anew"]
    unpack(path)


def test_embeddings_are_packed_with_one_copy_more_than_the_file():
    embedding = torch.ones(1024, 256)
    tracemalloc.start()
    try:
        content = pack({"embedding": embedding}, {"key": "k"})
        assert len(content) <= tracemalloc.get_traced_memory()[1] < 2.2 * len(content)
    finally:
        tracemalloc.stop()


def test_a_file_without_embeddings_is_made_anew(data, tmp_path):
    told, path, model = [], tmp_path / "embeddings.safetensors", network()
    first = cached_embeddings(path, model, "sha", SIGNAL, data.values, data.ids)
    path.write_bytes(pack({"logits": first.logits}, unpack(path)[1]))
    again = cached_embeddings(path, model, "sha", SIGNAL, data.values, data.ids, told.append)
    assert torch.equal(again.embedding, first.embedding)
    assert told == [f"'{path}' is not as it was written: these embeddings are computed anew"]


def test_who_comes_meanwhile_waits_and_what_a_killed_process_left_is_removed(data, tmp_path, monkeypatch):
    path, model, asked, made, two = tmp_path / "embeddings.safetensors", network(), [], [], threading.Event()
    left_over = path.with_name(f".{path.name}.7.partial")
    left_over.touch()

    def slow(*given):
        asked.append(given)
        if len(asked) == 2:
            two.set()
        two.wait(0.2)
        return embed(*given)

    def seek():
        made.append(cached_embeddings(path, model, "sha", SIGNAL, data.values, data.ids))

    monkeypatch.setattr("distill.teachers.embed", slow)
    threads = [threading.Thread(target=seek) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    assert torch.equal(made[0].embedding, made[1].embedding)
    assert not left_over.exists()


def test_embeddings_leave_logits_that_were_kept_as_they_are(data, tmp_path):
    path, model = tmp_path / "logits.safetensors", network()
    cached_logits(path, model, "sha", SIGNAL, data.values, data.ids)
    before = path.read_bytes()
    cached_embeddings(tmp_path / "embeddings.safetensors", model, "sha", SIGNAL, data.values, data.ids)
    assert path.read_bytes() == before


def test_embeddings_of_other_windows_or_none_are_refused(data, says):
    shown = embed(network(), SIGNAL, data.values)
    short = cached(shown.logits, shown.embedding[:15])
    with says(
        "the embeddings of teacher wrn10-1:0 are of 15 windows, and there are 16 training windows: give a row for each of them, in "
        "their order"
    ):
        taught("rkd", short).ready(network(), SIGNAL, data)
    with says("loss 'rkd' needs an embedding and teacher 'wrn10-1:0' has none: choose kd, lskd, dkd or dist"):
        taught("rkd", cached(shown.logits)).ready(network(), SIGNAL, data)
    with says("loss 'sp' needs feature maps and teacher 'wrn10-1:0' has none: choose kd, lskd, dkd or dist"):
        taught("sp", cached(shown.logits, shown.embedding)).ready(network(), SIGNAL, data)


def test_teachers_are_live_where_maps_or_changed_windows_are_compared():
    live_ones = ("at", "sp", "hint", "kd+rkd+sp")
    assert [loss for loss in ("kd", "rkd", "dcd", "dkd+rkd", *live_ones) if distill.Run(loss=loss).is_live] == [
        *live_ones
    ]
    assert distill.Run(loss="rkd", augment="jitter").is_live
    assert distill.Run(loss="rkd", teaching="live").is_live
    assert not distill.Run(loss="rkd", teaching="cached").is_live


def test_runs_of_a_grid_share_the_embeddings_which_are_computed_once_whoever_begins_anew(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("distill.teachers.embed", lambda *given: asked.append(given) or embed(*given))
    text = RUN + '[[grid]]\nlambda = [0.3, 0.7]\nloss = ["kd+rkd", "kd+dcd(dim=8)", "kd"]\n'
    plan, _ = do(text, tmp_path / "grid")
    found = sorted(path.parent.name for path in plan.folder.rglob("embeddings.safetensors"))
    assert len(found) == len(asked) == 2
    for path in plan.folder.rglob("embeddings.safetensors"):
        tensors, _ = unpack(path)
        assert tensors["logits"].shape == (40, 4)
        assert tensors["embedding"].shape == (40, 64)
        assert torch.equal(tensors["logits"], unpack(path.with_name("logits.safetensors"))[0]["logits"])
    before = shas(plan.folder)
    lost = next(
        path for path, job in plan.jobs.items() if job.training.role == "student" and "rkd" in job.plan.run.loss
    )
    shutil.rmtree(lost)
    plan, _ = do(text, tmp_path / "grid")
    assert lost.exists()
    assert shas(plan.folder) == before
    assert len(asked) == 2


def test_a_teacher_that_says_what_is_not_finite_teaches_nobody(people, tmp_path, monkeypatch, says):
    def broken(*given):
        shown = embed(*given)
        logits = shown.logits.clone()
        logits[4, 1] = torch.inf
        return replace(shown, logits=logits)

    monkeypatch.setattr("distill.teachers.embed", broken)
    run = distill.Run(**QUICK | {"epochs": 1}, loss="kd+rkd")
    trained_on = people.select(people.subjects != "ann")
    with says(
        f"teacher wrn10-1:gasf, seed 0: logits of window '{trained_on.ids[4]}' are not finite: train it with a lower learning rate"
    ):
        distill.run(
            run,
            windows=replace(people, split=np.where(people.subjects == "ann", "test", "train")),
            folder=tmp_path / "run",
        )


def test_a_student_of_kept_embeddings_is_that_of_live_teachers_but_for_rounding(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    rows = {}
    for teaching in ("cached", "live"):
        run = distill.Run(**QUICK, loss="kd+rkd", teaching=teaching)
        folder = distill.run(run, windows=own, folder=tmp_path / teaching).folder
        lines = (folder / "seed-0/student-wrn10-1/history.jsonl").read_text().splitlines()
        rows[teaching] = [json.loads(line) for line in lines]
    for one, other in zip(rows["cached"], rows["live"], strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert [p.parent.name for p in sorted(tmp_path.rglob("embeddings.safetensors"))] == [
        "teacher-wrn10-1-gasf",
        "teacher-wrn10-1-signal",
    ]
    assert not (tmp_path / "live/seed-0/teacher-wrn10-1-gasf/embeddings.safetensors").exists()
