"""What may decide a result and what may not: folds, and a test part that nobody looks at before the end."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import distill

QUICK = {
    "teacher": ("wrn10-1",),
    "student": "wrn10-1",
    "image_size": 8,
    "epochs": 2,
    "precision": "fp32",
    "device": "cpu",
    "seeds": (0,),
}


@pytest.fixture
def people(make_windows):
    """30 windows of 5 people in 3 classes, 2 channels of 20 samples."""
    return make_windows(30, subjects=np.repeat(["ann", "bob", "cem", "dia", "eva/2"], 6), split=None)


def shas(folder):
    return {
        path.parent.relative_to(folder).as_posix(): json.loads(path.read_text())["weights_sha256"]
        for path in sorted(folder.rglob("training.json"))
    }


def test_leave_one_subject_out_end_to_end(people, tmp_path):
    result = distill.run(distill.Run(**QUICK, folds="loso"), windows=people, folder=tmp_path / "run")
    content = result.content
    assert (content["folds"], content["subjects"], content["windows"]) == (5, 5, {"train": 24, "test": 30})
    assert len(list(result.folder.rglob("training.json"))) == 5 * 4
    table = pd.read_csv(result.folder / "predictions.csv", keep_default_na=False)
    assert sorted(table["window"]) == sorted(people.ids.tolist())
    assert (table["fold"] == table["subject"]).all()
    for model in content["models"]:
        scores = model["seeds"]["0"]
        right = table[f"{model['role']} {model['network']}:{model['view']} seed 0"] == table["label"]
        assert scores["accuracy"] == pytest.approx(right.mean())
        assert scores["accuracy_by_subject"] == pytest.approx(right.groupby(table["subject"]).mean().to_dict())
        assert scores["subject_accuracy"] == pytest.approx(right.groupby(table["subject"]).mean().mean())
    assert "mean of subjects" in str(result)
    assert "counts each of 5 people alike (macro)" in str(result)
    assert result.table("subject_accuracy")["mean"].between(0, 100).all()


def test_a_fold_is_the_run_on_that_split(people, tmp_path):
    """What one fold trains is what a run trains whose own split holds that person out."""
    folds = distill.run(distill.Run(**QUICK, folds="loso"), windows=people, folder=tmp_path / "folds")
    own = replace(people, split=np.where(people.subjects == "cem", "test", "train"))
    alone = distill.run(distill.Run(**QUICK), windows=own, folder=tmp_path / "alone")
    within = {k.removeprefix("fold-3/"): v for k, v in shas(folds.folder).items() if k.startswith("fold-3/")}
    assert within == shas(alone.folder)


def test_a_killed_run_of_folds_continues(people, tmp_path):
    run = distill.Run(**QUICK, folds="2")
    whole = distill.run(run, windows=people, folder=tmp_path / "whole")
    part = distill.run(run, windows=people, folder=tmp_path / "part")
    for path in (part.folder / "result.json", part.folder / "fold-2" / "seed-0" / "student-wrn10-1" / "training.json"):
        path.unlink()
    again = distill.run(run, windows=people, folder=part.folder)
    assert again.content == whole.content
    assert shas(part.folder) == shas(whole.folder)


@pytest.mark.parametrize("folds", ["", "loso"])
def test_labels_of_the_test_part_decide_nothing_that_is_trained(people, tmp_path, folds):
    """Permuted test labels: the same weights, other scores."""
    if folds:  # in folds everybody is trained on, but one in a fold of their own
        changed = people.labels.copy()
        changed[people.subjects == "ann"] = changed[people.subjects == "ann"][::-1]
    else:
        people = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
        changed = people.labels.copy()
        changed[people.split == "test"] = (changed[people.split == "test"] + 1) % 3
    assert (changed != people.labels).any()
    run = distill.Run(**QUICK, folds=folds)
    a = distill.run(run, windows=people, folder=tmp_path / "a")
    b = distill.run(run, windows=replace(people, labels=changed), folder=tmp_path / "b")
    keep = "fold-1/" if folds else ""
    trained = {k: v for k, v in shas(a.folder).items() if k.startswith(keep)}
    assert trained
    assert trained.items() <= shas(b.folder).items()
    assert a.content["models"] != b.content["models"]


def test_samples_of_the_test_part_decide_nothing_that_is_trained(people, tmp_path):
    """Shifted test samples: the same weights, with images that are fitted on the training part too."""
    people = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    values = people.values.copy()
    values[people.split == "test"] += 1000
    run = distill.Run(**QUICK | {"teacher": ("wrn10-1:mtf(fit=train, bins=2)", "wrn10-1:signal")})
    a = distill.run(run, windows=people, folder=tmp_path / "a")
    b = distill.run(run, windows=replace(people, values=values), folder=tmp_path / "b")
    assert shas(a.folder) == shas(b.folder)


def test_training_samples_do_decide(people, tmp_path):
    """The check before could not fail if nothing were compared."""
    people = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    values = people.values.copy()
    values[people.split == "train"] += 1
    a = distill.run(distill.Run(**QUICK), windows=people, folder=tmp_path / "a")
    b = distill.run(distill.Run(**QUICK), windows=replace(people, values=values), folder=tmp_path / "b")
    assert not set(shas(a.folder).values()) & set(shas(b.folder).values())
