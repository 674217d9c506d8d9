"""Everybody is evaluated once, by models that never saw them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import distill
from tests.distill.tiny_runs import QUICK, shas
from tsimage.errors import UserError


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


def test_unknown_people_leave_the_mean_of_subjects_out(people, tmp_path):
    unknown = replace(people, subjects=np.full(len(people), ""))
    result = distill.run(distill.Run(**QUICK, folds="3"), windows=unknown, folder=tmp_path / "run")
    assert "mean of subjects" not in str(result)
    assert result.table("subject_accuracy")["mean"].isna().all()
    with pytest.raises(UserError, match="unknown metric 'acc'"):
        result.table("acc")
