"""Teachers that are taken from an earlier run instead of trained."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import distill
import tsimage
from distill.deploy.picking import pick
from distill.grid import GridPlan
from distill.gridfile import Cell
from distill.options import run_from
from distill.plan import Plan
from distill.records import read_records
from distill.report.study import short_name
from distill.rows import fold_rows
from distill.stress.measuring import measure
from distill.teacher_names import parse_teachers
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


@pytest.fixture
def two_earlier(earlier, tmp_path):
    windows, before = earlier
    other = distill.run(distill.Run(**QUICK, learning_rate=0.02), windows=windows, folder=tmp_path / "slower")
    return windows, before.folder, other.folder


def test_one_network_and_view_of_two_runs_are_two_teachers(two_earlier, tmp_path, capsys):
    windows, first, second = two_earlier
    teachers = (f"wrn10-1:signal@{first}", f"wrn10-1:signal@{second}", "wrn10-1:signal")
    options = QUICK | {"teacher": teachers, "image_size": 32, "batch_size": 8}
    result = distill.run(distill.Run(**options), windows=windows, folder=tmp_path / "later")
    names = ["wrn10-1:signal@earlier", "wrn10-1:signal@slower", "wrn10-1:signal"]
    assert list(json.loads((result.folder / "run.json").read_text())["teachers"]) == names
    assert [f"teacher {name} " in str(result) for name in names] == [True] * 3
    assert "[0.3333 KL(wrn10-1:signal@earlier) + 0.3333 KL(wrn10-1:signal@slower) + 0.3333 KL(wrn10-1:signal)]" in str(
        result
    )
    *taught, _, student = result.content["models"]
    shas_of = [m["seeds"]["0"]["trainings"][0]["weights_sha256"] for m in taught]
    place = "seed-0/teacher-wrn10-1-signal"
    assert shas_of == [shas(folder)[place] for folder in (first, second, result.folder)]
    assert list(student["seeds"]["0"]["agreement"]) == names

    (record,) = read_records([result.folder])
    columns = [name for name in record.predictions if name.startswith("teacher")]
    assert columns == [f"teacher {name} seed 0" for name in names]
    own = read_records([first])[0]
    said = own.logits["teacher wrn10-1:signal seed 0"]
    assert np.array_equal(record.logits[columns[0]], said)
    assert not np.array_equal(record.logits[columns[1]], said)
    rows = fold_rows([record])
    assert [short_name(row) for row in rows[:3]] == [f"teacher {name}" for name in names]
    assert np.array_equal(rows[0].logits(0), said)
    assert [row.name for row in rows[:2]] == [f"teacher wrn10-1:signal, from {folder}" for folder in (first, second)]
    caches = sorted((result.folder / "seed-0").rglob("*/logits.safetensors"))
    assert len(caches) == 3

    picked = pick(result.folder, "teacher:wrn10-1:signal@slower", windows=windows)
    assert picked.trained["weights_sha256"] == shas_of[1]
    assert picked.name == "wrn10-1-teacher-signal-slower-seed-0"
    scores = measure(Plan(record.run, windows, record.folder), record, ["clean"])
    assert scores["model"].tolist()[:3] == [f"teacher {name}" for name in names]
    assert scores["accuracy"].tolist()[:3] == [m["seeds"]["0"]["accuracy"] for m in taught]


def test_teachers_of_two_runs_share_a_grid_with_those_of_one(two_earlier, tmp_path):
    windows, first, second = two_earlier
    both, one = ([f"wrn10-1:signal@{folder}" for folder in folders] for folders in ((first, second), (second,)))
    quick = {"student": "wrn10-1", "epochs": 1, "seeds": [0], "precision": "fp32", "device": "cpu"}
    cells = [Cell(run=run_from(quick | {"teacher": t}), values={"teacher": t}, line=1) for t in (both, one)]
    plan = GridPlan(cells, tmp_path / "grid", windows)
    keys = [part.cache_path(t, part.splits[0], 0) for part in plan.plans for t in part.teachers]
    assert len(set(keys)) == 2
    assert keys[1] == keys[2]  # the logits of one teacher are kept once


def test_a_teacher_of_one_run_is_named_once(two_earlier, tmp_path, says):
    windows, first, _ = two_earlier
    with says(f"teacher 'wrn10-1:signal@{first}/.' is named twice: name it once and give it the weight of both"):
        distill.Run(teacher=(f"wrn10-1:signal@{first}/.", f"wrn10-1:signal@{first}"))
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    run = distill.Run(**QUICK | {"teacher": (f"wrn10-1@{first}", f"wrn10-1:gasf@{copy}")})
    with says(
        f"teacher wrn10-1:gasf of '{copy}' has the same weights as that of '{first}': name it once and give it the weight of both"
    ):
        distill.run(run, windows=windows, folder=tmp_path / "later")


def test_what_was_taken_beside_another_is_named_where_it_was_trained(two_earlier, tmp_path, says):
    windows, first, second = two_earlier
    options = QUICK | {"image_size": 32, "epochs": 1}
    later = distill.run(
        distill.Run(**options | {"teacher": (f"wrn10-1:signal@{first}", f"wrn10-1:signal@{second}")}),
        windows=windows,
        folder=tmp_path / "later",
    )
    with says(
        f"teacher wrn10-1:signal of '{later.folder}' was taken from an earlier run by that one: name the directory of the run that "
        "trained it"
    ):
        distill.run(
            distill.Run(**options | {"teacher": (f"wrn10-1:signal@{later.folder}",)}),
            windows=windows,
            folder=tmp_path / "third",
        )


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("runs/a", "runs/b"), ("@a", "@b")),
        (("one/x", "two/x", ""), ("@one/x", "@two/x", "")),
        (("x", "two/x"), ("@x", "@two/x")),
        (("/far/off/a", "../a"), ("@off/a", "@../a")),
    ],
)
def test_names_tell_directories_apart_in_few_words(folders, names):
    teachers = [f"wrn10-1:mtf@{folder}" if folder else "wrn10-1:mtf" for folder in folders]
    assert [t.name for t in parse_teachers([*teachers, "wrn10-1:signal@runs/a"])] == [
        *(f"wrn10-1:mtf{name}" for name in names),
        "wrn10-1:signal",
    ]


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
