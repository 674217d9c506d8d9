"""What may decide a result and what may not: folds, and a test part that nobody looks at before the end."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import distill
from distill.assembly import teaching_of
from distill.finished import ridge_of
from distill.plan import Plan
from distill.rocket import RidgeTeacher
from distill.train import train
from tsimage.errors import UserError

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


def record(folder, name):
    return json.loads((folder / name / "training.json").read_text())


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


@pytest.fixture
def earlier(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    return own, distill.run(distill.Run(**QUICK), windows=own, folder=tmp_path / "earlier")


def test_teachers_of_an_earlier_run_give_the_student_that_their_own_run_gave(earlier, tmp_path):
    windows, before = earlier
    kept = {path: path.stat().st_mtime_ns for path in before.folder.rglob("*")}
    run = distill.Run(**QUICK | {"teacher": (f"wrn10-1@{before.folder}",)})
    result = distill.run(run, windows=windows, folder=tmp_path / "later")
    assert shas(result.folder).items() <= shas(before.folder).items()
    assert list(shas(result.folder)) == ["seed-0/scratch-wrn10-1", "seed-0/student-wrn10-1"]
    assert result.content["models"] == before.content["models"]
    assert {path: path.stat().st_mtime_ns for path in before.folder.rglob("*")} == kept
    about = json.loads((result.folder / "run.json").read_text())
    assert about["taken"]["wrn10-1:gasf"] == {
        "seed-0/teacher-wrn10-1-gasf": shas(before.folder)["seed-0/teacher-wrn10-1-gasf"]
    }


def test_an_earlier_teacher_and_a_new_one_teach_together(earlier, tmp_path):
    windows, before = earlier
    teachers = (f"wrn10-1:gasf@{before.folder}=0.4", "wrn10-2:signal=0.6")
    result = distill.run(distill.Run(**QUICK | {"teacher": teachers}), windows=windows, folder=tmp_path / "later")
    assert [(m["network"], m["weight"]) for m in result.content["models"][:2]] == [("wrn10-1", 0.4), ("wrn10-2", 0.6)]
    assert "seed-0/teacher-wrn10-2-signal" in shas(result.folder)


def test_teachers_of_other_windows_classes_or_splits_are_refused(earlier, tmp_path, says):
    windows, before = earlier
    name = f"teacher wrn10-1:gasf of '{before.folder}'"
    end = ": take one that was trained with these, or train it here"

    def begin(windows, teacher=f"wrn10-1@{before.folder}", **options):
        distill.run(distill.Run(**QUICK | {"teacher": (teacher,)} | options), windows=windows, folder=tmp_path / "x")

    with says(f"{name} was trained with other data (made, here else){end}"):
        begin(replace(windows, name="else"))
    with says(f"{name} was trained with other classes (lie, sit, walk, here lie, sit, run){end}"):
        begin(replace(windows, class_names=("lie", "sit", "run")))
    with says(f"{name} was trained with other windows{end}"):
        begin(replace(windows, values=windows.values + 1))
    with says(f"{name} was trained with other split{end}"):
        begin(windows, folds="loso")
    with says(f"{name} was trained with other image-size (8, here 10){end}"):
        begin(windows, image_size=10)
    missing = before.folder / "seed-5" / "teacher-wrn10-1-gasf"
    with says(
        f"{name} is not there for seed 5: '{missing}' holds no finished training; choose other seeds, or train it here"
    ):
        begin(windows, seeds=(5,))
    with says(f"teacher wrn10-1:gasf of '{tmp_path}': there is no run in this folder: give a run directory of distill"):
        begin(windows, f"wrn10-1@{tmp_path}")
    with says("teacher 'wrn10-1@' names no folder after @: give the directory of the run that it comes from"):
        begin(windows, "wrn10-1@")
    assert not (tmp_path / "x").exists()


def test_losses_of_maps_run_their_teachers_live_and_leave_no_cache(earlier, tmp_path):
    windows, before = earlier
    teachers = (f"wrn10-1@{before.folder}",)
    result = distill.run(
        distill.Run(**QUICK | {"teacher": teachers}, loss="kd+at(beta=10)"), windows=windows, folder=tmp_path / "later"
    )
    assert not list(result.folder.rglob("logits.safetensors"))
    rows = (result.folder / "seed-0" / "student-wrn10-1" / "history.jsonl").read_text().splitlines()
    first = json.loads(rows[0])
    assert first["weight at"] == 10
    assert first["gradient at"] > 0


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
    result = distill.run(distill.Run(**QUICK, select=("epochs=1,2",)), windows=own, folder=tmp_path / "run")
    one, two = (shas(result.folder / "select" / str(n)) for n in (1, 2))
    assert not set(one.values()) & set(two.values())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"select": ("lamda=0.1,0.2",)}, "unknown option to select 'lamda': did you mean 'lambda'? Valid: lambda, temperature, "
         "alpha, epochs, learning_rate, weight_decay, loss, weighing"),
        ({"select": ("lambda=0.1",)}, "select 'lambda=0.1' is not understood: give two or more different values, as lambda=0.1,0.5"),
        ({"select": ("lambda=0.1,x",)}, "select 'lambda=0.1,x' is not understood: give two or more different values, as lambda=0.1,0.5"),
        ({"select": ("lambda=0.1,0.2", "lambda=0.3,0.4")}, "select names lambda twice: give all its values at once"),
        ({"select": ("lambda=0.1,2",)}, "lambda 2.0 is not allowed: it is the weight of distillation, from 0 to 1"),
        ({"select": ("lambda=0.1,0.2",), "folds": "loso"}, "select inside every fold is not done: choose with --select on one split, "
         "then give folds"),
        ({"select": ("lambda=0.1,0.2",), "evaluate": "validation"}, "select chooses on validation subjects already: leave out "
         "evaluate validation"),
        ({"protocol": "lab", "patience": 3}, "patience has no place in protocol lab, which chooses the epoch on the test part: "
         "leave it out"),
        ({"warm_start": True, "patience": 2}, "warm-start compares with a control that was trained for as long, and patience makes "
         "their lengths differ: leave out one of them"),
        ({"select": ("lambda=0.1,0.2",), "teacher": "wrn16-1@x"}, "select trains on two splits, first without the validation subjects, "
         "and a teacher of an earlier run was trained on one: name the teachers without @DIR"),
        ({"loss": "sp", "lambda_": 0.5}, "lambda does nothing for loss 'sp', which has no part of logits: leave it out"),
        ({"loss": "sp", "select": ("lambda=0.1,0.2",)}, "lambda does nothing for loss 'sp', which has no part of logits: leave it out"),
        ({"teacher": "wrn16-1:gasf", "weighing": "aver"}, "weighing aver does nothing for one teacher: leave it out or name more"),
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


@pytest.fixture
def longer(make_windows):
    """60 windows of 5 people in 3 classes that differ in their amplitude, long enough for dilated kernels."""
    made = make_windows(60, length=40, subjects=np.repeat(["ann", "bob", "cem", "dia", "eva"], 12), split=None)
    scaled = made.values * (1 + 3 * made.labels[:, None, None])
    return replace(made, values=scaled, split=np.where(made.subjects == "ann", "test", "train"))


@pytest.mark.parametrize("name", ["minirocket", "hydra"])
def test_random_convolutions_teach_with_logits_of_people_left_out(longer, tmp_path, name):
    run = distill.Run(**QUICK | {"teacher": (f"{name}:signal=0.5", "wrn10-1:gasf=0.5")})
    result = distill.run(run, windows=longer, folder=tmp_path / "run")
    about = record(result.folder, f"seed-0/teacher-{name}-signal")
    train = longer.select(np.flatnonzero(longer.split == "train"))
    teacher = RidgeTeacher(name, seed=0).fit(train.values, train.labels, train.subjects)
    expected = (teacher.training_logits.argmax(1) == train.labels).mean()
    assert about["cross_fitted_accuracy"] == expected
    loaded, _ = ridge_of(Plan(run, longer, result.folder).trainings()[0])
    np.testing.assert_array_equal(loaded.training_logits, teacher.training_logits)
    test = longer.select(np.flatnonzero(longer.split == "test"))
    right = (teacher.logits(test.values).argmax(1) == test.labels).mean()
    row = result.content["models"][0]
    assert (row["network"], row["weight"]) == (name, 0.5)
    assert row["seeds"]["0"]["accuracy"] == pytest.approx(right)
    again = distill.run(run, windows=longer, folder=tmp_path / "again")
    assert shas(again.folder) == shas(result.folder)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"teacher": "minirocket"}, "teacher 'minirocket': minirocket looks at the raw signal alone: name it minirocket:signal"),
        ({"teacher": "hydra:gasf"}, "teacher 'hydra:gasf': hydra looks at the raw signal alone: name it hydra:signal"),
        ({"teacher": "hydra:signal", "augment": "jitter"}, "teacher hydra:signal has cross-fitted logits of the training windows as "
         "they are, and augmentation jitter changes the windows: leave out one of them"),
        ({"teacher": "hydra:signal", "loss": "sp"}, "teacher hydra:signal has cross-fitted logits of the training windows as they "
         "are, and loss sp compares more than logits: leave out one of them"),
        ({"teacher": "hydra:signal", "teaching": "live"}, "teacher hydra:signal has cross-fitted logits of the training windows as "
         "they are, and teaching is live: leave out one of them"),
    ],
)  # fmt: skip
def test_what_random_convolutions_cannot_do_is_refused(says, options, error):
    with says(error):
        distill.Run(**options)


def test_an_optimistic_teacher_is_no_teacher_of_a_clean_run(people, tmp_path, says):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    lab = distill.run(distill.Run(**QUICK, protocol="lab"), windows=own, folder=tmp_path / "lab")
    run = distill.Run(**QUICK | {"teacher": (f"wrn10-1@{lab.folder}",)})
    with says(
        f"teacher wrn10-1:gasf of '{lab.folder}' was trained with other protocol (lab, here clean): take one that was trained "
        "with these, or train it here"
    ):
        distill.run(run, windows=own, folder=tmp_path / "clean")


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


@pytest.mark.parametrize("weighing", ["fixed", "aver"])
def test_the_table_shows_the_weights_that_counted(people, tmp_path, weighing):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    result = distill.run(distill.Run(**QUICK, weighing=weighing), windows=own, folder=tmp_path / "run")
    rows = [line.split() for line in str(result).splitlines() if line.startswith(" teacher")]
    assert [row[2] for row in rows] == (["0.30", "0.70"] if weighing == "fixed" else ["varies", "varies"])
    about = json.loads((result.folder / "run.json").read_text())["teachers"]
    assert list(about.values()) == ([0.3, 0.7] if weighing == "fixed" else ["aver", "aver"])


def test_losses_that_cannot_work_are_refused_before_anything_is_trained(people, tmp_path, says):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    run = distill.Run(**QUICK, loss="kd+hint(stage=9)")
    with says("loss 'hint' takes stage 9 and the student has 3: give a stage from 1 to 3"):
        distill.run(run, windows=own, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


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


def test_unknown_people_leave_the_mean_of_subjects_out(people, tmp_path):
    unknown = replace(people, subjects=np.where(people.subjects == "ann", "", people.subjects))
    result = distill.run(distill.Run(**QUICK, folds="3"), windows=unknown, folder=tmp_path / "run")
    assert "mean of subjects" not in str(result)
    assert result.table("subject_accuracy")["mean"].isna().all()
    with pytest.raises(UserError, match="unknown metric 'acc'"):
        result.table("acc")


def test_shared_teachers_of_an_earlier_run(people, tmp_path):
    options = QUICK | {"seeds": (3, 4), "folds": "2"}
    shared = distill.run(distill.Run(**options, shared_teachers=True), windows=people, folder=tmp_path / "shared")
    run = distill.Run(**options | {"teacher": (f"wrn10-1@{shared.folder}",)})
    later = distill.run(run, windows=people, folder=tmp_path / "later")
    assert shas(later.folder).items() <= shas(shared.folder).items()
    assert later.content["models"][0]["seeds"].keys() == {"3"}


def test_a_nan_in_what_a_live_teacher_shows_is_named(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    plan = Plan(distill.Run(**QUICK | {"teacher": ("wrn10-1:gasf",)}, loss="kd+rkd"), own, tmp_path / "x")
    samples = plan.samples(plan.splits[0].train)
    student = plan.build(plan.trainings()[-1], samples)

    def broken(index, values):
        teacher = plan.trainings()[0]
        shown = plan.build(teacher, samples).eval().trace(teacher.view.of(values)).detach()
        shown.embedding[index == 5] = torch.nan
        return shown

    lesson = teaching_of(plan.run, [broken])
    with pytest.raises(
        UserError, match=rf"the embedding of teacher wrn10-1:gasf are not finite in windows {samples.ids[5]}:"
    ):
        train(student, plan.trainings()[-1].view, samples, plan.schedule, seed=0, teaching=lesson)
