"""What may decide a result and what may not: a test part that nobody looks at before the end."""

import json
from dataclasses import replace

import numpy as np
import pytest

import distill
from distill.plan import Plan
from tests.distill.tiny_runs import QUICK, record, shas
from tsimage.errors import UserError


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


def test_a_warm_start_goes_on_from_scratch_beside_a_control_of_equal_length(people, tmp_path):
    run = distill.Run(**QUICK, lambda_=0.0, warm_start=True)
    result = distill.run(run, windows=people, folder=tmp_path / "run")
    made = shas(result.folder)
    assert made["seed-0/control-wrn10-1"] == made["seed-0/student-wrn10-1"]  # with lambda = 0 teachers say nothing
    assert made["seed-0/control-wrn10-1"] != made["seed-0/scratch-wrn10-1"]
    cold = distill.run(replace(run, warm_start=False), windows=people, folder=tmp_path / "cold")
    assert shas(cold.folder)["seed-0/scratch-wrn10-1"] == made["seed-0/scratch-wrn10-1"]
    assert shas(cold.folder)["seed-0/student-wrn10-1"] == made["seed-0/scratch-wrn10-1"]
    table = result.table()
    assert table["role"].tolist() == ["teacher", "teacher", "scratch", "control", "student"]
    assert table["difference"].iloc[-1] == 0
    assert "wrn10-1 from scratch, trained on" in str(result)
    assert "Distilled minus from scratch, trained on for as long without teachers, paired by seed: +0.00" in str(result)


def test_patience_stops_on_people_of_the_training_part(people, tmp_path):
    run = distill.Run(**QUICK | {"epochs": 6}, patience=1)
    result = distill.run(run, windows=people, folder=tmp_path / "run")
    parts = json.loads((result.folder / "run.json").read_text())["split"]["parts"]
    by_part = [set(parts[name]["subjects"]) for name in ("train", "stopping", "test")]
    assert all(by_part)
    assert set.union(*by_part) == set(people.subjects)
    assert sum(map(len, by_part)) == 5
    for name in shas(result.folder):
        rows = [json.loads(line) for line in (result.folder / name / "history.jsonl").read_text().splitlines()]
        best = int(np.argmax([row["validation_accuracy"] for row in rows])) + 1
        assert record(result.folder, name)["kept_epoch"] == best
        assert len(rows) == min(6, best + 1)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"select": ("lamda=0.1,0.2",)}, "unknown option to select 'lamda': did you mean 'lambda'? Valid: lambda, temperature, "
         "alpha, epochs, learning-rate, weight-decay, loss, weighing"),
        ({"select": ("lambda=0.1",)}, "select 'lambda=0.1' is not understood: give two or more different values, as lambda=0.1,0.5"),
        ({"select": ("epochs=1.5,2",)}, "select 'epochs=1.5,2' is not understood: give two or more different values, as epochs=50,100"),
        ({"select": ("weight-decay=1",)}, "select 'weight-decay=1' is not understood: give two or more different values, as weight-decay=0,0.0001"),
        ({"select": ("lambda=0.1,x",)}, "select 'lambda=0.1,x' is not understood: give two or more different values, as lambda=0.1,0.5"),
        ({"select": ("lambda=0.1,0.2", "lambda=0.3,0.4")}, "select names lambda twice: give all its values at once"),
        ({"select": ("lambda=0.1,2",)}, "lambda 2.0 is not allowed: it is the weight of distillation, from 0 to 1"),
        ({"select": ("lambda=0.1,0.2",), "folds": "losso"}, "folds 'losso' are not allowed: give loso (leave one subject out) or a "
         "number from 2 on"),
        ({"select": ("lambda=0.1,0.2",), "folds": "loso", "evaluate": "validation"}, "select chooses on validation subjects already: "
         "leave out evaluate validation"),
        ({"select": ("lambda=0.1,0.2",), "folds": "loso", "teacher": "wrn16-1@x"}, "select trains on two splits, first without the "
         "validation subjects, and a teacher of an earlier run was trained on one: name the teachers without @DIR"),
        ({"select": ("lambda=0.1,0.2",), "evaluate": "validation"}, "select chooses on validation subjects already: leave out "
         "evaluate validation"),
        ({"select": ("temperature=2,4", "lambda=0.1,0.5"), "lambda_": 0.3}, "lambda 0.3 does nothing, as select 'lambda=0.1,0.5' "
         "chooses it: leave out one of them"),
        ({"select": ("alpha=0.1,0.3",), "alpha": 0.3}, "alpha 0.3 does nothing, as select 'alpha=0.1,0.3' chooses it: leave out one "
         "of them"),
        ({"select": ("temperature=2,4",), "temperature": 4}, "temperature 4.0 does nothing, as select 'temperature=2,4' chooses it: "
         "leave out one of them"),
        ({"select": ("learning-rate=0.1,0.2",), "learning_rate": 1}, "learning-rate 1.0 does nothing, as select "
         "'learning-rate=0.1,0.2' chooses it: leave out one of them"),
        ({"select": ("loss=kd,dkd",), "loss": "kd+sp"}, "loss kd+sp does nothing, as select 'loss=kd,dkd' chooses it: leave out one "
         "of them"),
        ({"protocol": "lab", "patience": 3}, "patience has no place in protocol lab, which chooses the epoch on the test part: "
         "leave it out"),
        ({"warm_start": True, "patience": 2}, "warm-start compares with a control that was trained for as long, and patience makes "
         "their lengths differ: leave out one of them"),
        ({"select": ("lambda=0.1,0.2",), "teacher": "wrn16-1@x"}, "select trains on two splits, first without the validation subjects, "
         "and a teacher of an earlier run was trained on one: name the teachers without @DIR"),
        ({"loss": "sp", "lambda_": 0.5}, "lambda does nothing for loss 'sp', which has no part of logits: leave it out"),
        ({"loss": "sp", "select": ("lambda=0.1,0.2",)}, "lambda does nothing for loss 'sp', which has no part of logits: leave it out"),
        ({"teacher": "wrn16-1:gasf", "weighing": "aver"}, "weighing aver does nothing for one teacher: leave it out or name more"),
        ({"protocol": "lab", "loss": "kdd"}, "unknown loss 'kdd': did you mean 'kd'? Valid: kd, lskd, dkd, dist, at, sp, rkd, dcd, "
         "hint, or several joined by +, as kd+sp"),
        ({"protocol": "dirty"}, "unknown protocol 'dirty': Valid: clean, lab"),
    ],
)  # fmt: skip
def test_impossible_protocols_are_refused(says, options, error):
    with says(error):
        distill.Run(**options)


def test_the_lab_protocol_takes_the_best_test_epoch_and_says_so(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    lab = distill.Run(**QUICK | {"epochs": 4}, protocol="lab")
    assert (lab.effective_course, lab.loss) == ("steps", "kd(reduction=elementmean)")
    for loss in ("kd()", " kd ( temperature=2 )+sp", "sp+kd(temperature=2)"):
        terms = {term.loss.name: term for term in distill.Run(**QUICK, protocol="lab", loss=loss).terms()}
        assert terms["kd"].options["reduction"] == "elementmean"
        assert terms["kd"].options["temperature"] == (2 if "2" in loss else 4)
    result = distill.run(lab, windows=own, folder=tmp_path / "run")
    for model in result.content["models"]:
        label = {"teacher": f"teacher-{model['network']}-{model['view']}"}.get(
            model["role"], f"{model['role']}-{model['network']}"
        )
        rows = (result.folder / "seed-0" / label / "history.jsonl").read_text().splitlines()
        assert len(rows) == 4
        best = max(json.loads(row)["validation_accuracy"] for row in rows)
        assert model["seeds"]["0"]["accuracy"] == pytest.approx(best)
    text = str(result)
    assert text.count("(optimistic)") == 4
    assert "Optimistic: of every training the epoch that is best on the test part itself counts (protocol lab)" in text


def test_windows_that_decide_when_to_stop_share_no_sample_with_the_test_part(make_windows):
    """One recording whose windows overlap: half of it tests, and people of the other half may stop or train."""
    people = np.repeat(["ann", "bob", "cem"], 10)
    windows = make_windows(
        30,
        subjects=people,
        recordings=np.full(30, "r"),
        start=np.arange(30) * 10,
        stop=np.arange(30) * 10 + 20,
        split=np.where(np.arange(30) < 20, "train", "test"),
    )
    for patience in (0, 2):
        with pytest.raises(UserError, match="hold the same raw samples of recording 'r'"):
            Plan(distill.Run(**QUICK, patience=patience), windows)
