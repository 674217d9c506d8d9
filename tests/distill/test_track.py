import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import distill
from distill.track import FOLDER, Tracker, read_history, track


def rows_of(*epochs, scale=1.0):
    return [{"epoch": e, "loss": scale / e, "kd_0": -0.1 * e, "learning_rate": 1e-3 ** (1 / e)} for e in epochs]


def append(folder, *rows):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "history.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def shown(events):
    """What TensorBoard shows of a folder: name to (step, value) pairs, in the order in which they were written."""
    seen = EventAccumulator(str(events), size_guidance={"scalars": 0}).Reload()
    return {tag: [(point.step, point.value) for point in seen.Scalars(tag)] for tag in seen.Tags()["scalars"]}


def expected(rows):
    names = [name for name in rows[0] if name != "epoch"]
    return {n: [(row["epoch"], float(np.float32(row[n]))) for row in rows if n in row] for n in names}


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def following(run, folder, rows):
    """Write epochs as a training does: the history first, then the tracker."""
    tracker = Tracker(run)
    tracker.begin(folder)
    for row in rows:
        append(folder, row)
        tracker.epoch(row)
        assert shown(run / FOLDER / folder.relative_to(run)) == expected(read_history(folder / "history.jsonl"))
    return tracker


def test_every_value_of_a_run_is_read_back(make_windows, tmp_path):
    subjects = np.repeat(["ann", "bob", "cem"], 6)
    windows = make_windows(18, subjects=subjects, split=np.where(subjects == "ann", "test", "train"))
    run = distill.Run(teacher="wrn10-1", student="wrn10-1", image_size=8, epochs=3, seeds=(0,), device="cpu")
    folder = distill.run(run, windows=windows, folder=tmp_path).folder
    trainings = track(folder)
    assert sorted(map(Path.as_posix, trainings)) == [
        "seed-0/scratch-wrn10-1",
        "seed-0/student-wrn10-1",
        "seed-0/teacher-wrn10-1-gasf",
        "seed-0/teacher-wrn10-1-signal",
    ]
    for name in trainings:
        rows = [json.loads(line) for line in (folder / name / "history.jsonl").read_text().splitlines()]
        assert len(rows) == 3
        assert shown(folder / FOLDER / name) == expected(rows)
    before = state(folder)
    assert track(folder) == trainings
    assert state(folder) == before
    assert distill.run(run, windows=windows, folder=folder).was_finished  # they do no harm to the run


def test_epochs_are_there_as_soon_as_they_are_told(tmp_path):
    following(tmp_path, tmp_path / "seed-0" / "student", rows_of(1, 2, 3)).end()
    before = state(tmp_path)
    track(tmp_path)
    assert state(tmp_path) == before


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
@pytest.mark.parametrize("ended", [True, False])
def test_a_training_that_goes_on_from_a_checkpoint_doubles_nothing(tmp_path, kept, ended):
    folder = tmp_path / "seed-0" / "student"
    tracker = following(tmp_path, folder, rows_of(1, 2, 3))
    if ended:
        tracker.end()
    history = folder / "history.jsonl"
    history.write_text("".join(line + "\n" for line in history.read_text().splitlines()[:kept]))
    following(tmp_path, folder, rows_of(*range(kept + 1, 5), scale=2.0)).end()
    assert [row["epoch"] for row in read_history(history)] == [1, 2, 3, 4]


def test_epochs_that_the_history_held_may_be_told_again(tmp_path):
    append(tmp_path / "s", *rows_of(1, 2))
    tracker = Tracker(tmp_path)
    tracker.begin(tmp_path / "s")
    for row in rows_of(1, 2, 3):
        tracker.epoch(row)
    tracker.end()
    assert shown(tmp_path / FOLDER / "s") == expected(rows_of(1, 2, 3))


def test_one_tracker_follows_training_after_training(tmp_path):
    tracker = Tracker(tmp_path)
    for number, name in enumerate(("a", "b"), start=1):
        tracker.begin(tmp_path / name)  # without end, as where a training was broken off
        for row in rows_of(1, 2, scale=number):
            tracker.epoch(row)
    tracker.end()
    tracker.end()
    for number, name in enumerate(("a", "b"), start=1):
        assert shown(tmp_path / FOLDER / name) == expected(rows_of(1, 2, scale=number))


@pytest.mark.parametrize("cut", [3, 40, 90, 150])
def test_event_files_that_were_cut_off_are_mended(tmp_path, cut):
    folder = tmp_path / "s"
    following(tmp_path, folder, rows_of(1, 2, 3)).end()
    (file,) = (tmp_path / FOLDER / "s").iterdir()
    file.write_bytes(file.read_bytes()[:-cut])
    track(tmp_path)
    assert shown(tmp_path / FOLDER / "s") == expected(rows_of(1, 2, 3))


@pytest.mark.parametrize("where", [5, 30, 120, -60, -20])
def test_event_files_with_a_flipped_bit_are_mended(tmp_path, where):
    append(tmp_path / "s", *rows_of(1, 2, 3))
    track(tmp_path)
    (file,) = (tmp_path / FOLDER / "s").iterdir()
    content = bytearray(file.read_bytes())
    content[where] ^= 1
    file.write_bytes(content)
    track(tmp_path)
    assert shown(tmp_path / FOLDER / "s") == expected(rows_of(1, 2, 3))


def test_points_that_are_there_twice_are_mended(tmp_path):
    append(tmp_path / "s", *rows_of(1, 2))
    track(tmp_path)
    (file,) = (tmp_path / FOLDER / "s").iterdir()
    file.with_name(file.name + ".again").write_bytes(file.read_bytes())
    assert shown(tmp_path / FOLDER / "s") != expected(rows_of(1, 2))
    track(tmp_path)
    assert shown(tmp_path / FOLDER / "s") == expected(rows_of(1, 2))


def test_a_last_line_that_was_cut_off_is_no_epoch_and_not_a_number_is_one(tmp_path):
    append(tmp_path / "s", {"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": math.inf})
    with (tmp_path / "s" / "history.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    track(tmp_path)
    ((first, nan), second) = shown(tmp_path / FOLDER / "s")["loss"]
    assert (first, math.isnan(nan), second) == (1, True, (2, math.inf))
    before = state(tmp_path)
    track(tmp_path)
    assert state(tmp_path) == before


def test_without_tensorboard_it_says_what_to_install(tmp_path, says, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with says("tracking needs tensorboard, which is not installed: pip install 'tsimage[track]'"):
        Tracker(tmp_path)
