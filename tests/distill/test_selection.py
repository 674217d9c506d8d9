"""What is selected is chosen on validation subjects, before the test part is opened once."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import distill
from distill.audit.earlier import read_earlier
from distill.records import read_records
from tests.distill.tiny_runs import QUICK, shas


def test_what_is_selected_is_chosen_on_validation_subjects_and_tested_once(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    run = distill.Run(**QUICK, select=("lambda=0.0,1.0", "temperature=2,8"))
    result = distill.run(run, windows=own, folder=tmp_path / "run")
    tried = result.content["candidates"]
    assert [(t["lambda"], t["temperature"]) for t in tried] == [(0, 2), (0, 8), (1, 2), (1, 8)]
    best = max(tried, key=lambda t: t["validation_accuracy"])
    about = json.loads((result.folder / "run.json").read_text())["run"]
    assert (about["lambda"], about["temperature"], about["evaluate"]) == (best["lambda"], best["temperature"], "test")
    for number, candidate in enumerate(tried, start=1):
        folder = result.folder / "select" / str(number)
        record = json.loads((folder / "run.json").read_text())
        assert not set(record["split"]["parts"]["validation"]["subjects"]) & {"ann"}
        seen = pd.read_csv(folder / "predictions.csv")
        assert "ann" not in set(seen["subject"])
        alone = distill.run(
            distill.Run(
                **QUICK, lambda_=candidate["lambda"], temperature=candidate["temperature"], evaluate="validation"
            ),
            windows=own,
            folder=tmp_path / f"alone-{number}",
        )
        assert shas(folder) == shas(alone.folder)  # also where teachers were copied
        assert 100 * alone.content["models"][-1]["seeds"]["0"]["accuracy"] == pytest.approx(
            candidate["validation_accuracy"]
        )
    assert "then the test part was opened once" in str(result)
    again = distill.run(run, windows=own, folder=tmp_path / "run")
    assert again.was_finished
    assert again.content == result.content
    (read,) = read_records([result.folder])
    assert (read.run.lambda_, read.run.temperature, read.run.select) == (best["lambda"], best["temperature"], ())
    assert read.options["select"] == ["lambda=0.0,1.0", "temperature=2,8"]
    assert read.asked == replace(run, data="made")  # which its command does again
    assert read_earlier(result.folder).run == read.run


def test_selection_ignores_the_test_part(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    labels = own.labels.copy()
    labels[own.split == "test"] = (labels[own.split == "test"] + 1) % 3
    run = distill.Run(**QUICK, select=("lambda=0.0,0.5,1.0",))
    a = distill.run(run, windows=own, folder=tmp_path / "a")
    b = distill.run(run, windows=replace(own, labels=labels), folder=tmp_path / "b")
    assert a.content["candidates"] == b.content["candidates"]
    assert shas(a.folder) == shas(b.folder)


def test_epochs_are_selected_with_teachers_of_their_own(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    free = {name: value for name, value in QUICK.items() if name != "epochs"}
    result = distill.run(distill.Run(**free, select=("epochs=1,2",)), windows=own, folder=tmp_path / "run")
    one, two = (shas(result.folder / "select" / str(n)) for n in (1, 2))
    assert not set(one.values()) & set(two.values())


@pytest.fixture
def selecting(people):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    run = distill.Run(**QUICK, select=("lambda=0.0,1.0",))
    return lambda folder, **options: distill.run(replace(run, **options), windows=own, folder=folder)


def test_a_selection_killed_while_it_copied_continues(selecting, tmp_path):
    whole = selecting(tmp_path / "whole")
    half = selecting(tmp_path / "half")
    (half.folder / "result.json").unlink()
    second = half.folder / "select" / "2"
    (second / "result.json").unlink()
    (second / "seed-0" / "teacher-wrn10-1-gasf").rename(second / "seed-0" / ".teacher-wrn10-1-gasf.partial")
    assert selecting(half.folder).content == whole.content
    assert shas(half.folder) == shas(whole.folder)
    assert not list(half.folder.rglob(".*.partial"))


def test_selections_among_other_values_are_other_runs(selecting, tmp_path, says):
    done = selecting(tmp_path / "run")
    holds = f"'{done.folder}' holds another run, with other options (select): choose another folder or remove it"
    with says(holds):
        selecting(done.folder, select=("lambda=0.0,0.5,1.0",))
    with says(holds):
        selecting(done.folder, select=(), lambda_=json.loads((done.folder / "run.json").read_text())["run"]["lambda"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with says(f"'{tmp_path / 'other'}' is not empty and holds no run: choose another folder"):
        selecting(tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_candidate_that_diverges_does_not_stop_the_others(selecting, tmp_path):
    result = selecting(tmp_path / "run", select=("learning_rate=1e30,0.01",))
    assert [c["validation_accuracy"] is None for c in result.content["candidates"]] == [True, False]
    assert "learning_rate 1e+30: failed" in str(result)
    assert "learning_rate 0.01 (accuracies there" in str(result)
