"""Where there are folds, each chooses for itself, on subjects that it trains on and never on those that it leaves out."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import distill
from distill.cli import main
from distill.plan import Plan
from distill.progress import Progress
from distill.selecting import choose, validation_splits
from distill.splits import cross_validation, validation_within
from tests.distill.tiny_runs import QUICK, shas
from tsimage.errors import UserError

SMALL = QUICK | {"teacher": ("wrn10-1:signal",), "image_size": 32}
LOSO = distill.Run(**SMALL, folds="loso", select=("lambda=0.0,1.0",))


def below(folder, name):
    """The hashes of the trainings below a part of a run, by their place in that part."""
    return {k.removeprefix(f"{name}/"): v for k, v in shas(folder).items() if k.startswith(f"{name}/")}


def values_only(tried):
    return [{k: v for k, v in c.items() if k != "validation_accuracy"} for c in tried]


@pytest.fixture
def contrary(make_windows):
    """32 windows of 4 people, whose sign is their class; of the one that fold 1 holds out to choose on, the other way round."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 16)
    windows = make_windows(
        32,
        subjects=np.repeat(["ann", "bob", "cem", "dia"], 8),
        split=None,
        labels=labels,
        class_names=("down", "up"),
        values=((2 * labels - 1)[:, None, None] + 0.1 * rng.normal(size=(32, 2, 20))).astype(np.float32),
    )
    first = cross_validation(windows, "loso")[0]
    (odd,) = set(windows.subjects[validation_within(windows, first).evaluation])
    return odd, replace(windows, labels=np.where(windows.subjects == odd, 1 - labels, labels))


def test_every_fold_finds_what_is_best_for_the_people_held_out_in_it(contrary, tmp_path):
    """Who follows the others is told well by a network that learns; who contradicts them, better by one that hardly does."""
    odd, windows = contrary
    run = distill.Run(
        **SMALL | {"epochs": 8, "seeds": (1,)}, batch_size=8, folds="loso", select=("learning_rate=0.05,1e-9",)
    )
    result = distill.run(run, windows=windows, folder=tmp_path / "run")
    chosen = {}
    for number, name in enumerate(["ann", "bob", "cem", "dia"], start=1):
        trial = result.folder / "select" / f"fold-{number}" / "1"
        parts = json.loads((trial / "run.json").read_text())["split"]["parts"]
        (held,) = parts["validation"]["subjects"]
        assert sorted([held, *parts["train"]["subjects"], name]) == ["ann", "bob", "cem", "dia"]
        chosen[name] = {"learning_rate": 1e-9 if held == odd else 0.05}
    assert {c["learning_rate"] for c in chosen.values()} == {1e-9, 0.05}
    assert result.content["chosen"] == chosen
    about = json.loads((result.folder / "run.json").read_text())
    assert about["chosen"] == chosen
    assert "learning_rate" not in about["run"]
    for name, tried in result.content["candidates"].items():
        best = max(tried, key=lambda c: c["validation_accuracy"])
        assert {"learning_rate": best["learning_rate"]} == chosen[name]
    few = sum(c["learning_rate"] == 1e-9 for c in chosen.values())
    counted = sorted([(few, "1e-09"), (4 - few, "0.05")], reverse=True)
    said = "; ".join(f"learning_rate {rate} in {n} fold{'s' * (n > 1)}" for n, rate in counted)
    text = str(result)
    assert (
        f"Chosen on validation subjects of each fold: {said}; then the subjects left out were looked at once." in text
    )
    assert (
        "Loss of the student: with the values chosen in each fold, L = 0.3 CE + 0.7 x 4^2 x [1 KL(wrn10-1:signal)] in 4 folds"
    ) in text


@pytest.mark.parametrize(
    "options",
    [
        {"select": ("lambda=0.0,1.0", "temperature=2,8")},
        {"select": ("epochs=2,1",), "epochs": 100},  # the default, which counts as not given
        {"select": ("lambda=1.0,0.0",), "patience": 1, "folds": "3"},
        {
            "select": ("alpha=0.2,0.9",),
            "teacher": ("wrn10-1",),
            "image_size": 8,
            "shared_teachers": True,
            "seeds": (0, 1),
        },
    ],
)
def test_a_fold_is_the_selection_on_that_split(people, tmp_path, options):
    """What a fold chooses and trains is what a run with --select does whose own split tests those whom it leaves out."""
    run = distill.Run(**SMALL | {"folds": "2"} | options)
    nested = distill.run(run, windows=people, folder=tmp_path / "nested")
    seen = pd.read_csv(nested.folder / "predictions.csv", keep_default_na=False)
    for number, (name, fold) in enumerate(seen.groupby("fold", sort=False), start=1):
        own = replace(people, split=np.where(np.isin(people.ids, fold["window"]), "test", "train"))
        alone = distill.run(replace(run, folds=""), windows=own, folder=tmp_path / f"alone-{number}")
        assert below(nested.folder, f"select/fold-{number}") == below(alone.folder, "select")
        finals = {k: v for k, v in shas(alone.folder).items() if not k.startswith("select/")}
        assert below(nested.folder, f"fold-{number}") == finals
        assert nested.content["candidates"][name] == alone.content["candidates"]
        about = json.loads((alone.folder / "run.json").read_text())["run"]
        assert nested.content["chosen"][name] == {k: about[k] for k in nested.content["chosen"][name]}
        mine = pd.read_csv(alone.folder / "predictions.csv", keep_default_na=False)
        pd.testing.assert_frame_equal(fold.drop(columns="fold").reset_index(drop=True), mine)


def test_who_is_left_out_has_no_part_in_what_is_chosen(people, tmp_path):
    mine = people.subjects == "cem"
    labels = people.labels.copy()
    labels[mine] = (labels[mine] + 1) % 3
    a = distill.run(LOSO, windows=people, folder=tmp_path / "a")
    b = distill.run(LOSO, windows=replace(people, labels=labels), folder=tmp_path / "b")
    for part in ("fold-3", "select/fold-3"):
        assert below(a.folder, part) == below(b.folder, part)
    assert a.content["candidates"]["cem"] == b.content["candidates"]["cem"]
    assert below(a.folder, "fold-1") != below(b.folder, "fold-1")  # which trains on cem
    assert a.content["models"] != b.content["models"]


class Kill(Progress):
    """Interrupts at the n-th thing of one kind that it is told."""

    def __init__(self, kind, at):
        self.kind, self.left = kind, at

    def _told(self, kind):
        self.left -= kind == self.kind
        if self.left < 0:
            raise KeyboardInterrupt

    def say(self, line):
        self._told("line")

    def begin(self, title, epochs):
        self._told("training")

    def epoch(self, row):
        self._told("epoch")


@pytest.mark.parametrize(("kind", "each"), [("line", 5), ("training", 4), ("epoch", 9)])
def test_a_nested_selection_killed_again_and_again_ends_the_same(people, tmp_path, kind, each):
    run = replace(LOSO, folds="2")
    whole = distill.run(run, windows=people, folder=tmp_path / "whole")
    kills = 0
    while True:
        try:
            result = distill.run(run, windows=people, folder=tmp_path / "part", progress=Kill(kind, each))
            break
        except KeyboardInterrupt:
            kills += 1
            assert kills < 50
            each += kind == "line"  # what is done already is told in a line, too
    assert kills >= 3
    assert result.content == whole.content
    assert shas(result.folder) == shas(whole.folder)
    for name in ("predictions.csv", "run.json"):
        assert (result.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not list(result.folder.rglob(".*.partial"))


def test_a_finished_one_is_only_read(people, tmp_path, says):
    run = replace(LOSO, folds="2")
    done = distill.run(run, windows=people, folder=tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in done.folder.rglob("*") if path.is_file()}
    again = distill.run(run, windows=people, folder=done.folder)
    assert again.was_finished
    assert again.content == done.content
    assert {path: path.stat().st_mtime_ns for path in done.folder.rglob("*") if path.is_file()} == before
    for options, differ in (
        ({"select": ("lambda=0.0,0.5",)}, "select"),
        ({"select": ("temperature=2,4",)}, "lambda, select"),
        ({"select": ()}, "lambda, select"),
        ({"folds": "3"}, "folds"),
        ({"weight_decay": 0.0}, "weight_decay"),
    ):
        with says(
            f"'{done.folder}' holds another run, with other options ({differ}): choose another folder or remove it"
        ):
            distill.run(replace(run, **options), windows=people, folder=done.folder)


def test_trainings_of_other_values_are_not_gone_on_with(people, tmp_path, says):
    run = replace(LOSO, folds="2")
    done = distill.run(run, windows=people, folder=tmp_path / "run")
    (done.folder / "result.json").unlink()
    path = done.folder / "run.json"
    about = json.loads(path.read_text())
    about["chosen"]["2 of 2"]["lambda"] = 0.25
    path.write_text(json.dumps(about))
    with says(
        f"'{done.folder}' holds another run, with other values chosen for folds (2 of 2): choose another folder or remove it"
    ):
        distill.run(run, windows=people, folder=done.folder)


def test_teachers_of_a_nested_selection_serve_a_later_run(people, tmp_path):
    free = {name: value for name, value in SMALL.items() if name != "epochs"}
    nested = distill.run(
        distill.Run(**free, folds="2", select=("epochs=1,2",)), windows=people, folder=tmp_path / "nested"
    )
    later = distill.run(
        distill.Run(**SMALL | {"teacher": (f"wrn10-1:signal@{nested.folder}",)}, folds="2"),
        windows=people,
        folder=tmp_path / "later",
    )
    mine = {m["view"]: m["seeds"] for m in later.content["models"] if m["role"] == "teacher"}
    assert mine == {m["view"]: m["seeds"] for m in nested.content["models"] if m["role"] == "teacher"}


@pytest.mark.filterwarnings("ignore:overflow")
def test_candidates_that_diverge_are_told_fold_by_fold(people, tmp_path, says):
    run = replace(LOSO, folds="2", select=("learning_rate=1e30,0.01",))
    result = distill.run(run, windows=people, folder=tmp_path / "run")
    assert [[c["validation_accuracy"] is None for c in tried] for tried in result.content["candidates"].values()] == [
        [True, False]
    ] * 2
    assert (
        "Chosen on validation subjects of each fold: learning_rate 0.01 in 2 folds (failed: learning_rate 1e+30 in 2 folds); then"
    ) in str(result)
    with says(
        "without 1 of 2, none of the 2 candidates could be trained: lower the learning-rate or give other values"
    ):
        distill.run(replace(run, select=("learning_rate=1e30,1e29",)), windows=people, folder=tmp_path / "none")
    assert not (tmp_path / "none" / "run.json").exists()


def test_what_folds_chose_is_written_where_they_differ(people, tmp_path):
    """No training is needed to say it."""
    run = distill.Run(**QUICK, folds="loso", select=("lambda=0.2,0.9", "alpha=0.5,0.4"))
    values = {
        "ann": {"lambda": 0.2, "alpha": 0.5},
        "bob": {"lambda": 0.9, "alpha": 0.5},
        "cem": {"lambda": 0.9, "alpha": 0.5},
        "dia": {"lambda": 0.2, "alpha": 0.4},
        "eva/2": {"lambda": 0.9, "alpha": 0.5},
    }
    plan = Plan(run, people, tmp_path / "run", chosen=values)
    about = plan.describe()
    assert plan.formula() == about["formula"] == (
        "with the values chosen in each fold, L = 0.1 CE + 0.9 x 4^2 x [0.5 KL(wrn10-1:gasf) + 0.5 KL(wrn10-1:signal)] in 3 "
        "folds; L = 0.8 CE + 0.2 x 4^2 x [0.5 KL(wrn10-1:gasf) + 0.5 KL(wrn10-1:signal)] in 1 fold; L = 0.8 CE + 0.2 x 4^2 x "
        "[0.4 KL(wrn10-1:gasf) + 0.6 KL(wrn10-1:signal)] in 1 fold"
    )  # fmt: skip
    assert about["teachers"] == {"wrn10-1:gasf": "varies", "wrn10-1:signal": "varies"}
    assert about["chosen"] == values
    assert not {"lambda", "alpha"} & set(about["run"])
    assert about["run"]["select"] == list(run.select)
    assert about["trainings"] == Plan(replace(run, select=()), people, tmp_path / "run").describe()["trainings"]
    assert [part.run.lambda_ for part in plan.parts] == [0.2, 0.9, 0.9, 0.2, 0.9]
    same = Plan(run, people, tmp_path / "run", chosen=dict.fromkeys(values, values["ann"]))
    assert same.weights() == {"wrn10-1:gasf": 0.5, "wrn10-1:signal": 0.5}


def test_what_is_best_is_taken_fold_by_fold_and_of_equals_the_first(people, tmp_path):
    run = replace(LOSO, select=("lambda=0.1,0.5,0.9",))
    planted = {1: [50, 60, 55], 2: [70, 70, 60], 3: [10, 20, 20], 4: [0, 0, 1], 5: [3, 2, 1]}
    asked = []

    def attempt(trial, begin):
        fold, number = trial.folder.parent.name, trial.folder.name
        asked.append((fold, number, trial.run.lambda_, trial.run.evaluate, trial.run.folds))
        return float(planted[int(fold.removeprefix("fold-"))][int(number) - 1])

    plan, tried = choose(Plan(run, people, tmp_path / "run"), attempt, Progress())
    assert asked == [
        (f"fold-{fold}", str(n), value, "validation", "") for fold in range(1, 6) for n, value in enumerate([0.1, 0.5, 0.9], 1)
    ]  # fmt: skip
    assert [v["lambda"] for v in plan.chosen.values()] == [0.5, 0.1, 0.5, 0.9, 0.1]
    assert list(plan.chosen) == list(tried) == ["ann", "bob", "cem", "dia", "eva/2"]
    assert values_only(tried["bob"]) == [{"lambda": 0.1}, {"lambda": 0.5}, {"lambda": 0.9}]
    assert [c["validation_accuracy"] for c in tried["bob"]] == [70, 70, 60]


def test_who_decides_when_to_stop_is_of_the_training_part_both_times(people, tmp_path):
    plan = Plan(replace(LOSO, patience=1), people, tmp_path / "run")
    for outer, inner in zip(plan.splits, validation_splits(plan), strict=True):
        by_part = [set(people.subjects[index]) for index in (inner.train, inner.stopping, inner.evaluation)]
        assert sum(map(len, by_part)) == 4
        assert set.union(*by_part) == set(people.subjects) - {outer.fold}
        assert (inner.part, inner.fold, inner.number) == ("validation", "", 0)


def test_folds_of_recordings_hold_recordings_out(people):
    unknown = replace(people, subjects=np.full(30, ""), recordings=np.repeat(["a", "b", "c", "d", "e"], 6))
    for split in cross_validation(unknown, "5"):
        inner = validation_within(unknown, split)
        assert sorted([*inner.train, *inner.evaluation]) == split.train.tolist()
        assert not set(unknown.recordings[inner.train]) & set(unknown.recordings[inner.evaluation])
        assert inner.basis.endswith(f"the test part (5 folds of 5 recordings; without {split.fold}) is not used")


def test_folds_too_small_to_choose_in_are_refused_before_anything_starts(make_windows, tmp_path, says, monkeypatch):
    two = make_windows(12, subjects=np.repeat(["ann", "bob"], 6), split=None)
    sentence = (
        "made: without ann there is only the subject bob to train on, and choosing on validation subjects needs two: add recordings "
        "of other people, give more folds, or leave out select"
    )
    with says(sentence):
        distill.run(LOSO, windows=two, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.chdir(tmp_path)
    path = two.save(tmp_path / "two.npz")
    with pytest.raises(SystemExit):
        main(
            ["run", "--data", str(path), "--folds", "loso", "--select", "lambda=0,1", "--image-size", "8", "--dry-run"]
        )
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_class_that_choosing_would_take_from_training_is_named(make_windows, tmp_path):
    """Without ann, one class is bob's alone and the other cem's: neither can be held out."""
    three = make_windows(
        12,
        subjects=np.repeat(["ann", "bob", "cem"], 4),
        labels=np.repeat([0, 1, 0, 1], [2, 2, 4, 4]),
        class_names=("sit", "walk"),
        split=None,
    )
    with pytest.raises(UserError) as error:
        distill.run(LOSO, windows=three, folder=tmp_path / "run")
    assert str(error.value).startswith("made: class '")
    assert str(error.value).endswith(
        "all from the training part; the test part (leave one subject out, 3 subjects; without ann) is not used): leave it out "
        "with the option classes, or add recordings of it from other people"
    )
    assert not (tmp_path / "run").exists()


def test_the_command_line_tells_the_candidates_of_folds(people, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = people.save(tmp_path / "people.npz")
    quick = ["--teacher", "wrn10-1", "--student", "wrn10-1", "--image-size", "8", "--epochs", "1", "--seeds", "0"]
    command = ["run", "--data", str(path), *quick, "--folds", "2", "--select", "lambda=0,1", "--out", "here"]
    main([*command, "--dry-run"])
    dry = capsys.readouterr().out
    assert "To choose on validation subjects in each of 2 folds: 2 candidates (lambda 0.0; lambda 1.0)" in dry
    assert "Loss of the student, but for what is chosen: L = 0.3 CE" in dry
    main(command)
    first = capsys.readouterr().out
    assert "without 1 of 2  Candidate 2 of 2: lambda 1.0, on validation subjects\n" in first
    assert "without 2 of 2  Chosen: lambda " in first
    assert "Now every fold on its whole training part; the subjects left out are looked at once.\n" in first
    main(command)
    again = capsys.readouterr().out
    assert "This run is finished; nothing was trained again." in again
    assert "Candidate" not in again.replace("candidates", "")
    assert first[first.index(": accuracy in %") :] == again[again.index(": accuracy in %") :]
