"""What a run writes of its models: logits, scores made from them, sizes, and a seal."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

import distill
from distill.calibration import calibration_error, reliability
from distill.layout import read_result
from distill.sealed import unpack
from tests.distill.tiny_runs import QUICK


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    rng = np.random.default_rng(3)
    from tsimage.windows import Windows

    n = 24
    windows = Windows(
        values=rng.normal(size=(n, 2, 20)).astype(np.float32),
        channels=("acc-x", "gyro-x"),
        units=("g", "rad/s"),
        rate_hz=50.0,
        labels=np.arange(n) % 3,
        class_names=("lie", "sit", "walk"),
        subjects=np.repeat(["ann", "bob", "cem", "dia"], 6),
        recordings=np.repeat(["ann", "bob", "cem", "dia"], 6),
        start=np.tile(np.arange(6) * 20, 4),
        stop=np.tile(np.arange(6) * 20 + 20, 4),
        ids=np.array([f"w{i}" for i in range(n)]),
        name="made",
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    return distill.run(distill.Run(**QUICK | {"seeds": (0, 1), "folds": "2"}), windows=windows, folder=folder)


def models(finished):
    return {f"{m['role']} {m['network']}:{m['view']}": m for m in finished.content["models"]}


def test_scores_are_those_of_the_logits_on_disk(finished):
    logits, about = unpack(finished.folder / "logits.safetensors")
    seen = pd.read_csv(finished.folder / "predictions.csv", dtype=str)
    classes = about["classes"]
    labels = np.array([classes.index(name) for name in seen["label"]])
    assert about["classes"] == ["lie", "sit", "walk"]
    for name, model in models(finished).items():
        for seed, scores in model["seeds"].items():
            said = logits[f"{name} seed {seed}"].numpy()
            assert said.shape == (len(seen), 3)
            assert [classes[k] for k in said.argmax(1)] == seen[f"{name} seed {seed}"].tolist()
            assert scores["ece"] == pytest.approx(calibration_error(reliability(said, labels)))
            each = f1_score(labels, said.argmax(1), average=None, labels=[0, 1, 2], zero_division=0.0)
            assert scores["f1_by_class"] == pytest.approx(dict(zip(classes, each, strict=True)))
            for fold, rows in seen.groupby("fold"):
                right = (rows[f"{name} seed {seed}"] == rows["label"]).mean()
                assert scores["accuracy_by_fold"][fold] == pytest.approx(right)


def test_agreement_is_the_share_of_windows_on_which_both_say_the_same(finished):
    seen = pd.read_csv(finished.folder / "predictions.csv", dtype=str)
    for name in ("scratch wrn10-1:signal", "student wrn10-1:signal"):
        for seed, scores in models(finished)[name]["seeds"].items():
            teacher = seen[f"teacher wrn10-1:gasf seed {seed}"]
            assert scores["agreement"]["wrn10-1:gasf"] == (teacher == seen[f"{name} seed {seed}"]).mean()
            assert set(scores["agreement"]) == {"wrn10-1:gasf", "wrn10-1:signal"}
    assert "agreement" not in models(finished)["teacher wrn10-1:gasf"]["seeds"]["0"]


def test_sizes_are_those_of_the_networks(finished):
    from distill.models import build_model

    student = models(finished)["student wrn10-1:signal"]
    net = build_model("wrn10-1", dims=1, in_channels=2, classes=3, size=20)
    assert student["parameters"] == sum(p.numel() for p in net.parameters())
    statistics = 2 * 2 * 4  # mean and deviation of two channels
    assert student["bytes"] == sum(t.numel() * t.element_size() for t in net.state_dict().values()) + statistics
    assert models(finished)["teacher wrn10-1:gasf"]["macs"] > 0


def test_every_score_names_the_weights_that_it_is_of(finished):
    known = {p.parent: json.loads(p.read_text()) for p in finished.folder.rglob("training.json")}
    named = [t for m in finished.content["models"] for s in m["seeds"].values() for t in s["trainings"]]
    assert len(named) == len(known) == 16
    assert {t["weights_sha256"] for t in named} == {record["weights_sha256"] for record in known.values()}


def test_files_beside_the_result_are_named_by_their_sum(finished):
    for name, digest in finished.content["files"].items():
        assert hashlib.sha256((finished.folder / name).read_bytes()).hexdigest() == digest


def test_a_number_that_was_changed_by_hand_is_found(finished, tmp_path, says):
    folder = tmp_path / "copy"
    shutil.copytree(finished.folder, folder)
    path = folder / "result.json"
    text = path.read_text()
    number = str(finished.content["models"][0]["seeds"]["0"]["accuracy"])
    path.write_text(text.replace(number, "0.99", 1))
    with says(
        f"'{path}' is not as it was written (its sha256 differs): remove it and do the same run again, which only evaluates "
        "what is trained"
    ):
        read_result(folder)
    path.write_text('{"models": []}')
    with says(f"'{path}' is no result of this version: remove the run directory and do the run anew"):
        read_result(folder)


def test_logits_that_are_not_finite_are_no_answer(people, tmp_path, says):
    """Samples that float32 holds, but no network: they would be counted as a class like any other."""
    values = people.values * np.float32(0.01)  # by whose deviation the others are divided
    values[3] = people.values[3] * np.float32(1e38)
    split = np.where(people.subjects == "ann", "test", "train")
    spoilt = replace(people, values=values, split=split)
    with says(
        "seed 0, teacher wrn10-1:signal: its logits of 1 of 6 windows of the test part are not finite, first of window 'w3': see "
        "whether its samples are possible, and mend it or leave it out"
    ):
        distill.run(distill.Run(**QUICK), windows=spoilt, folder=tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()


def test_people_in_both_parts_of_their_own_split_are_told(people, tmp_path):
    shared = replace(people, split=np.where(np.arange(30) % 6 < 3, "train", "test"))
    result = distill.run(distill.Run(**QUICK), windows=shared, folder=tmp_path / "run")
    assert "5 people are in both parts (ann, bob, cem, dia, eva/2): " in str(result)
    assert "5 people are in both parts" in str(distill.compare_runs(distill.read_records([result.folder])))
