"""Teachers that are taken from an earlier run instead of trained."""

import json
from dataclasses import replace

import numpy as np
import pytest

import distill
from tests.distill.tiny_runs import QUICK, shas


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
    own = "the data set's own split: windows train 24, test 6"
    with says(f"{name} was trained with other split ({own}, here leave one subject out, 5 subjects){end}"):
        begin(windows, folds="loso")
    with says(
        f"{name} was trained with other split ({own}, here {own.replace('24', '18')[:-6]}stopping 6, test 6){end}"
    ):
        begin(windows, patience=1)
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
    assert list(result.folder.rglob("logits.safetensors")) == [result.folder / "logits.safetensors"]
    rows = (result.folder / "seed-0" / "student-wrn10-1" / "history.jsonl").read_text().splitlines()
    first = json.loads(rows[0])
    assert first["weight at"] == 10
    assert first["gradient at"] > 0


def test_an_optimistic_teacher_is_no_teacher_of_a_clean_run(people, tmp_path, says):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    lab = distill.run(distill.Run(**QUICK, protocol="lab"), windows=own, folder=tmp_path / "lab")
    run = distill.Run(**QUICK | {"teacher": (f"wrn10-1@{lab.folder}",)})
    with says(
        f"teacher wrn10-1:gasf of '{lab.folder}' was trained with other protocol (lab, here clean): take one that was trained "
        "with these, or train it here"
    ):
        distill.run(run, windows=own, folder=tmp_path / "clean")


def test_shared_teachers_of_an_earlier_run(people, tmp_path):
    options = QUICK | {"seeds": (3, 4), "folds": "2"}
    shared = distill.run(distill.Run(**options, shared_teachers=True), windows=people, folder=tmp_path / "shared")
    run = distill.Run(**options | {"teacher": (f"wrn10-1@{shared.folder}",)})
    later = distill.run(run, windows=people, folder=tmp_path / "later")
    assert shas(later.folder).items() <= shas(shared.folder).items()
    assert later.content["models"][0]["seeds"].keys() == {"3"}
