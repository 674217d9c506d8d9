"""Teachers that are taken from an earlier run instead of trained."""

import json
from dataclasses import replace

import numpy as np
import pytest

import distill
import tsimage
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
    with says(f"{name} was trained with other windows (as many, of other samples, labels or people){end}"):
        begin(replace(windows, values=windows.values + 1))
    few = windows.select(np.arange(2, len(windows)))
    with says(f"{name} was trained with other windows ({windows}, here {few}){end}"):
        begin(few)
    with says(f"{name} was trained with other split (folds none, here loso){end}"):
        begin(windows, folds="loso")
    with says(f"{name} was trained with other split (evaluate test, here validation){end}"):
        begin(windows, evaluate="validation")
    with says(f"{name} was trained with other split (patience 0, here 3){end}"):
        begin(windows, patience=3)
    known = json.loads((before.folder / "run.json").read_text())
    for part in known["split"]["parts"].values():
        part["ids_sha256"] = "0"
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "run.json").write_text(json.dumps(known))
    moved = f"teacher wrn10-1:gasf of '{tmp_path / 'moved'}'"
    with says(f"{moved} was trained with other split (other windows in its parts){end}"):
        begin(windows, f"wrn10-1@{tmp_path / 'moved'}")
    with says(
        f"teacher wrn10-2:gasf of '{before.folder}' is none of the teachers of that run (wrn10-1:gasf, wrn10-1:signal): name "
        "one of these, or train it here"
    ):
        begin(windows, f"wrn10-2:gasf@{before.folder}")
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


def test_windows_that_were_read_otherwise_are_refused_by_the_option(tmp_path, says):
    run = distill.Run(**QUICK | {"teacher": ("wrn10-1:signal",), "epochs": 1, "image_size": 32})
    before = distill.run(run, folder=tmp_path / "earlier")
    later = distill.Run(
        **QUICK | {"teacher": (f"wrn10-1:signal@{before.folder}",), "image_size": 32},
        read=tsimage.ReadOptions(channels=("acc*",)),
    )
    with says(
        f"teacher wrn10-1:signal of '{before.folder}' was trained with other windows (channels none, here acc*): take one that "
        "was trained with these, or train it here"
    ):
        distill.run(later, folder=tmp_path / "later")


def test_a_teacher_that_was_itself_taken_is_named_where_it_was_trained(earlier, tmp_path, says):
    windows, before = earlier
    run = distill.Run(**QUICK | {"teacher": (f"wrn10-1@{before.folder}",)})
    second = distill.run(run, windows=windows, folder=tmp_path / "second")
    with says(
        f"teacher wrn10-1:gasf of '{second.folder}' was taken from an earlier run by that one: name the directory of the run "
        "that trained it"
    ):
        distill.run(
            distill.Run(**QUICK | {"teacher": (f"wrn10-1@{second.folder}",)}),
            windows=windows,
            folder=tmp_path / "third",
        )


def test_scaling_decides_only_about_images_that_it_scales(people, tmp_path):
    own = replace(people, split=np.where(people.subjects == "ann", "test", "train"))
    options = QUICK | {"epochs": 1, "teacher": ("wrn10-1:gasf", "wrn10-1:mtf(bins=4)")}
    before = distill.run(distill.Run(**options, scaling="window"), windows=own, folder=tmp_path / "earlier")
    later = distill.Run(**options | {"teacher": (f"wrn10-1:mtf(bins=4)@{before.folder}",)})
    result = distill.run(later, windows=own, folder=tmp_path / "later")
    assert result.content["models"][0]["view"] == "mtf(bins=4)"


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
