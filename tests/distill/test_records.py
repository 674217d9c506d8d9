"""Runs read back, and folded into rows that do not mix what does not belong together."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from distill.layout import read_result, write_result
from distill.records import read_records
from distill.rows import fold_rows
from tests.distill.made_runs import made_windows, make_run, rewrite


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs that differ in alpha."""
    folder = tmp_path_factory.mktemp("runs")
    for alpha in (0.1, 0.5, 0.9):
        make_run(folder / f"a{alpha}", alpha=alpha)
    return folder


@pytest.fixture
def copied(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_folder_of_runs_is_its_runs(runs):
    assert [r.name for r in read_records([runs])] == ["a0.1", "a0.5", "a0.9"]
    assert [r.run.alpha for r in read_records([runs / "a0.9", runs])] == [0.9, 0.1, 0.5]


def test_what_several_runs_share_is_one_row(runs):
    rows = fold_rows(read_records([runs]))
    assert [row.name for row in rows] == [
        "teacher wrn10-1:gasf",
        "teacher wrn10-1:signal",
        "wrn10-1 from scratch",
        "wrn10-1 distilled, alpha 0.1",
        "wrn10-1 distilled, alpha 0.5",
        "wrn10-1 distilled, alpha 0.9",
    ]
    assert all(sorted(row.seeds) == [0, 1, 2] and not row.missing for row in rows)
    assert rows[0].about["weight"] is None  # 0.1, 0.5 and 0.9
    assert rows[3].values("accuracy")[1] == read_result(runs / "a0.1")["models"][3]["seeds"]["1"]["accuracy"]


def test_what_a_model_said_is_that_of_its_seed(runs):
    row = fold_rows(read_records([runs / "a0.5"]))[3]
    said, logits = row.said(2), row.logits(2)
    assert (said["said"] == said["label"]).mean() == row.values("accuracy")[2]
    assert [("lie", "sit", "walk")[k] for k in logits.argmax(1)] == said["said"].tolist()
    assert said.index[0] == "w18"


def test_seeds_of_several_runs_are_one_row(tmp_path):
    make_run(tmp_path / "one", seeds=(0, 1))
    make_run(tmp_path / "two", seeds=(1, 2))
    rows = fold_rows(read_records([tmp_path]))
    assert len(rows) == 4
    assert all(sorted(row.seeds) == [0, 1, 2] for row in rows)


def test_a_missing_seed_is_named(tmp_path):
    make_run(tmp_path / "one", seeds=(0, 1, 2), alpha=0.1)
    make_run(tmp_path / "two", seeds=(0, 1), alpha=0.9)
    rows = fold_rows(read_records([tmp_path]))
    assert [row.missing for row in rows] == [{}, {}, {}, {}, {2: "no run has this seed"}]


def test_an_unfinished_run_is_a_row_without_numbers(copied):
    (copied / "a0.5" / "result.json").unlink()
    rows = fold_rows(read_records([copied]))
    assert rows[4].name == "wrn10-1 distilled, alpha 0.5"
    assert rows[4].seeds == {}
    why = "its run is not finished; 0 of 12 trainings are done"
    assert rows[4].missing == {0: why, 1: why, 2: why}
    assert all(not row.missing for row in rows[:4])  # other runs have those


def test_shared_teachers_lack_no_seed(tmp_path):
    make_run(tmp_path / "one", shared_teachers=True)
    rows = fold_rows(read_records([tmp_path]))
    assert [sorted(row.seeds) for row in rows] == [[0], [0], [0, 1, 2], [0, 1, 2]]
    assert not any(row.missing for row in rows)


def test_values_chosen_in_each_fold_are_told_as_such(tmp_path):
    make_run(tmp_path / "one", alpha=0.1)
    path = make_run(tmp_path / "two", alpha=0.9) / "run.json"
    about = json.loads(path.read_text())
    del about["run"]["alpha"]
    about["chosen"] = {"ann": {"alpha": 0.2}, "bob": {"alpha": 0.4}}
    rewrite(path, about)
    assert fold_rows(read_records([tmp_path]))[4].name == "wrn10-1 distilled, alpha chosen in each fold"


def test_folders_of_nothing(tmp_path, says):
    mend = "give run directories, folders of grids, or a folder of such"
    with says(f"there is no folder '{tmp_path / 'gone'}': {mend}"):
        read_records([tmp_path / "gone"])
    with says(f"'{tmp_path}' holds no run and no grid: {mend}"):
        read_records([tmp_path])
    for content in ('{"run": {}}', '{"run": {"read": {}, "colour": 1}}', "[]"):
        (tmp_path / "run.json").write_text(content)
        with says(f"'{tmp_path / 'run.json'}' describes no run of this version: do the run anew"):
            read_records([tmp_path])
    with says(f"there is no run to put in a table: {mend}"):
        fold_rows([])


@pytest.mark.parametrize(("name", "read"), [("predictions.csv", "predictions"), ("logits.safetensors", "logits")])
def test_a_flipped_bit_is_found(copied, says, name, read):
    path = copied / "a0.1" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    record = read_records([copied / "a0.1"])[0]
    with says(
        f"'{path}' is missing or not as it was written (its sha256 differs): remove '{copied / 'a0.1' / 'result.json'}' and do "
        "the same run again, which only evaluates what is trained"
    ):
        getattr(record, read)


def refused(says, one, other, differ):
    with says(
        f"'{one}' and '{other}' are both of data 'made' read alike, but with other {differ}: nothing is averaged over them; do "
        "one of them anew, or put them in tables of their own"
    ):
        fold_rows(read_records([one, other]))


def test_runs_of_other_windows_are_refused(runs, tmp_path, says):
    other = made_windows()
    values = other.values.copy()
    values[0, 0, 0] += 1
    refused(says, runs / "a0.1", make_run(tmp_path / "b", replace(other, values=values)), "windows")
    labels = np.arange(72) % 3
    labels[20] = 0
    made = make_run(tmp_path / "c", made_windows(labels=labels))
    refused(says, runs / "a0.1", made, "labels (window 'w20' is 'walk' and 'lie')")
    split = other.split.copy()
    split[[0, 30]] = split[[30, 0]]
    refused(says, runs / "a0.1", make_run(tmp_path / "d", replace(other, split=split)), "windows")
    named = replace(other, class_names=("lie", "sit", "run"))
    refused(says, runs / "a0.1", make_run(tmp_path / "e", named), "classes")


def test_runs_of_other_parts_are_refused(runs, tmp_path, says):
    made = make_run(tmp_path / "b", evaluate="validation")
    with says(
        f"'{runs / 'a0.1'}' is about the test part and '{made}' about the validation part: put them in tables of their own"
    ):
        fold_rows(read_records([runs / "a0.1", made]))


def test_one_seed_of_two_weights_is_refused(copied, says):
    shutil.copytree(copied / "a0.1", copied / "again")
    content = read_result(copied / "again")
    content["models"][2]["seeds"]["1"]["trainings"][0]["weights_sha256"] = "0" * 64
    write_result(copied / "again", content)
    with says(
        f"'{copied / 'a0.1'}' and '{copied / 'again'}' both have seed 1 of scratch wrn10-1:signal, trained alike but with other "
        "weights, as by another version or machine: give one of them"
    ):
        fold_rows(read_records([copied / "a0.1", copied / "again"]))


def test_other_data_are_rows_of_their_own(runs, tmp_path):
    make_run(tmp_path / "b", made_windows(name="other"))
    names = [row.name for row in fold_rows(read_records([runs / "a0.1", tmp_path]))]
    assert names[:2] == ["teacher wrn10-1:gasf, on made", "teacher wrn10-1:signal, on made"]
    assert "wrn10-1 distilled, alpha 0.1, on made" in names


def test_students_of_shared_teachers_are_others(tmp_path):
    make_run(tmp_path / "one", shared_teachers=True)
    make_run(tmp_path / "two")
    rows = fold_rows(read_records([tmp_path]))
    assert [row.name for row in rows[3:]] == [
        "wrn10-1 distilled, shared-teachers true",
        "wrn10-1 distilled, shared-teachers false",
    ]
    assert [sorted(row.seeds) for row in rows] == [[0, 1, 2]] * 5


def test_the_default_alpha_is_a_value_like_others(tmp_path):
    for folder, options in (("one", {}), ("two", {"alpha": 0.3, "seeds": (3,)}), ("three", {"alpha": 0.6})):
        make_run(tmp_path / folder, **options)
    rows = fold_rows(read_records([tmp_path / name for name in ("one", "two", "three")]))
    assert [row.name for row in rows[3:]] == ["wrn10-1 distilled, alpha 0.3", "wrn10-1 distilled, alpha 0.6"]
    assert sorted(rows[3].seeds) == [0, 1, 2, 3]


def test_other_windows_are_found_beside_runs_that_stop_early(runs, tmp_path, says):
    values = made_windows().values + 1
    made = make_run(tmp_path / "b", replace(made_windows(), values=values), patience=3)
    refused(says, runs / "a0.1", made, "windows")


def test_a_run_that_has_not_chosen_yet_is_not_skipped(copied, says):
    begun = copied / "later"
    shutil.copytree(copied / "a0.1", begun / "select" / "1")
    for given in (copied, begun):
        with says(
            f"'{begun}' is a run that has not chosen its values yet; 0 of 12 trainings of its candidates are done: finish it "
            "first, or name the others one by one"
        ):
            read_records([given])


def test_what_is_no_training_or_result_is_a_sentence(copied, says):
    folder = copied / "a0.1"
    path = folder / json.loads((folder / "run.json").read_text())["trainings"][0] / "training.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with says(f"'{path}' describes no training of this version: remove its folder and train it anew"):
        _ = read_records([folder])[0].trainings
    (folder / "result.json").write_text("")
    with says(
        f"'{folder / 'result.json'}' is damaged (Expecting value: line 1 column 1 (char 0)): remove it and do the same run "
        "again, which only evaluates what is trained"
    ):
        read_records([folder])


def test_an_option_that_was_changed_by_hand_is_found(copied, says):
    path = copied / "a0.1" / "run.json"
    path.write_text(path.read_text().replace('"alpha": 0.1', '"alpha": 0.2'))
    with says(f"'{path}' is not as it was written (its sha256 differs): put back what was changed, or do the run anew"):
        read_records([copied])


@pytest.mark.parametrize("key", ["split", "environment", "data", "chosen"])
def test_a_run_that_lacks_what_is_looked_for_is_a_sentence(copied, says, key):
    path = copied / "a0.1" / "run.json"
    about = json.loads(path.read_text())
    rewrite(path, about | {key: "x"})
    with says(f"'{path}' describes no run of this version: do the run anew"):
        read_records([copied])


def test_a_run_that_has_not_begun_is_about_the_data_of_the_others(runs):
    """A grid names its data by their path, a run that has begun by the name of the windows."""
    done, other = read_records([runs / "a0.1", runs / "a0.5"])
    waiting = replace(other, about={}, result=None, run=replace(other.run, data="folder/made.csv"))
    rows = fold_rows([done, waiting])
    assert [row.name for row in rows[3:]] == ["wrn10-1 distilled, alpha 0.1", "wrn10-1 distilled, alpha 0.5"]
    assert {row.data for row in rows} == {"made"}
    assert [sorted(row.missing) for row in rows] == [[], [], [], [], [0, 1, 2]]
