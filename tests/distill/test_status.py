"""How far a grid or a run is, told from its folder alone, and drawn as it is."""

import io
import json
import threading
import time
from dataclasses import replace

import pytest
from rich.console import Console

import distill
from distill.grid import prepare
from distill.grid_table import as_table as results_as_table
from distill.grid_table import grid_table
from distill.layout import LOCK
from distill.live import CountLines, LiveTable
from distill.progress import Progress
from distill.runner import alone
from distill.status import as_table, status
from tests.distill.tiny_grids import RUN, TWO, do, planned
from tests.distill.tiny_runs import QUICK
from tsimage import load
from tsimage.errors import UserError
from tsimage.locks import claimed, is_held, locked


@pytest.fixture
def begun(tmp_path):
    """A grid of two runs with a training that is done, one that is under way, one that failed, and two that wait."""
    plan = planned(TWO, tmp_path / "grid")
    prepare(plan)
    image, signal, scratch, *_ = plan.jobs
    for folder in (image, signal, scratch):
        folder.mkdir(parents=True)
    (image / "training.json").write_text("{}")
    (scratch / "history.jsonl").write_text('{"epoch": 1, "loss": 1.5}\n{"epo')
    (scratch / LOCK).touch()
    with claimed(scratch / LOCK):
        yield plan


def fail(folder, error):
    (folder / "failed.json").write_text(json.dumps({"error": error}))


def drawn(table, width=200):
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    return text.getvalue()


def test_every_state_of_a_grid(begun):
    found = status(begun.folder)
    assert [(t.state, t.epoch, t.epochs) for t in found.trainings] == [
        ("done", 2, 2),
        ("waiting", 0, 2),
        ("running", 1, 2),
        ("waiting", 0, 2),
        ("waiting", 0, 2),
    ]
    assert [(run.state, run.done, run.trainings) for run in found.runs] == [("running", 1, 4)] * 2
    fail(list(begun.jobs)[1], "it would not")
    found = status(begun.folder)
    assert [t.state for t in found.trainings] == ["done", "failed", "running", "failed", "failed"]
    assert [t.error for t in found.trainings][1:] == [
        "it would not",
        "",
        *["needs seed 0  teacher wrn10-1:signal, which failed"] * 2,
    ]
    assert [run.state for run in found.runs] == ["failed", "failed"]
    assert not found.is_finished
    assert json.loads(json.dumps(found.to_json()))["counts"] == {"done": 1, "running": 1, "failed": 3, "waiting": 0}


def test_accuracies_of_a_grid_that_is_done_are_those_of_its_results(tmp_path):
    plan, _ = do(TWO, tmp_path / "grid")
    found, frame = status(plan.folder), grid_table(plan.folder)
    assert found.is_finished
    for run in found.runs:
        for role in ("scratch", "student"):
            row = frame[(frame["run"] == run.name) & (frame["role"] == role)].iloc[0]
            assert run.accuracy[role] == pytest.approx(row["seeds"])
    assert frame["lambda"].tolist() == [0.3] * 4 + [0.7] * 4
    lines = drawn(as_table(found), width=400).splitlines()
    assert lines[0] == f"{plan.folder}: 5 trainings: 5 done, 0 running, 0 failed, 0 waiting"
    shown = f"{found.runs[0].accuracy['student']['0']:.2f}"
    assert [line.split()[:4] for line in lines if line.strip().startswith("lambda 0.3")] == [
        ["lambda", "0.3", "done", "4/4"]
    ]
    assert shown in "\n".join(lines)


def test_a_run_that_is_under_way_and_one_that_is_done(tmp_path):
    run = distill.Run(**QUICK)
    result = distill.run(run, windows=load("basic-motions", channels="acc*"), folder=tmp_path / "run")
    found = status(result.folder)
    assert (found.is_finished, found.runs[0].name) == (True, "run")
    accuracy = 100 * result.content["models"][-1]["seeds"]["0"]["accuracy"]
    assert found.runs[0].accuracy["student"] == {"0": accuracy}
    (result.folder / "result.json").unlink()
    for name in ("scratch-wrn10-1", "student-wrn10-1"):
        (result.folder / "seed-0" / name / "training.json").unlink()
    assert [t.state for t in status(result.folder).trainings] == ["done", "done", "waiting", "waiting"]
    with claimed(result.folder / LOCK):
        found = status(result.folder)
    assert [(t.state, t.epoch) for t in found.trainings] == [("done", 2), ("done", 2), ("running", 2), ("waiting", 2)]
    assert (found.runs[0].state, found.runs[0].done) == ("running", 2)


def test_who_asks_how_far_a_run_is_keeps_no_process_out_of_it(tmp_path):
    looking = threading.Event()

    def look():
        with locked(tmp_path / LOCK):  # as is_held does, but for longer
            looking.set()
            time.sleep(0.05)

    threading.Thread(target=look).start()
    looking.wait(10)
    with alone(tmp_path):
        assert is_held(tmp_path / LOCK)


def test_what_is_neither_is_one_sentence(tmp_path, says):
    with says(f"'{tmp_path}' holds no run and no grid of distill: give the folder of one"):
        status(tmp_path)
    with says(f"'{tmp_path}' holds no grid: give the folder of one, or begin one with distill grid FILE"):
        grid_table(tmp_path)
    (tmp_path / "grid.json").write_text('{"runs": []}')
    with says(f"'{tmp_path / 'grid.json'}' describes no grid of this version: choose another folder"):
        status(tmp_path)
    (tmp_path / "run.json").write_text('{"run": {}}')
    with says(f"'{tmp_path / 'run.json'}' describes no run of this version: choose another folder"):
        status(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        status(tmp_path)


def test_brackets_are_shown_and_not_taken_for_markup(begun):
    found = status(begun.folder)
    error = "columns [bold] and [/x] are not there"
    odd = replace(found.runs[0], name="channels acc-[xyz]", error=error, state="failed")
    told = drawn(as_table(replace(found, folder="grids[x]", runs=(odd,))))
    assert "channels acc-[xyz]" in told
    assert "grids[x]: 5 trainings" in told
    assert f"failed: evaluation of channels acc-[xyz]: {error}" in told
    frame = grid_table(begun.folder)
    frame["lambda"] = ["acc-[xyz]", "[/x]"]
    told = drawn(results_as_table(frame, ["lambda"]))
    assert [line.split() for line in told.splitlines() if "missing" in line] == [
        ["acc-[xyz]", "missing"],
        ["[/x]", "missing"],
    ]


def test_the_live_table_is_drawn_anew_and_taken_away(begun, monkeypatch):
    monkeypatch.setattr("distill.live.EVERY_S", 0.0)
    monkeypatch.setattr("distill.live._SHARE", 1e9)
    console = Console(record=True, width=120, height=40, force_terminal=True, file=io.StringIO())
    table = LiveTable(console, begun.folder)
    table.begin("a training", 2)
    first = console.export_text()
    assert "5 trainings: 1 done, 1 running, 0 failed, 3 waiting" in " ".join(first.split())
    assert "running: seed 0  from scratch wrn10-1:signal  epoch 1/2" in first
    fail(list(begun.jobs)[1], "it would not")
    table.epoch({"epoch": 1})
    table.say("[1/5] a line [of] its own")
    table.end("done")
    table.stop()
    after = console.export_text()
    assert "1 done, 1 running, 3 failed, 0 waiting" in " ".join(after.split())
    assert "failed: seed 0  teacher wrn10-1:signal: it would not" in after
    assert "[1/5] a line [of] its own" in after


def test_a_table_that_takes_long_to_read_is_read_less_often(begun, monkeypatch):
    now, looks = [100.0], []
    monkeypatch.setattr("distill.live.time.monotonic", lambda: now[0])

    def slow(folder):
        looks.append(now[0])
        now[0] += 1.0
        return status(folder)

    monkeypatch.setattr("distill.live.status", slow)
    lines = CountLines(io.StringIO(), begun.folder)
    for _ in range(60):
        lines.look()
        now[0] += 1.0
    assert looks == [100.0, 121.0, 142.0]


def test_lines_are_written_when_something_is_done(begun, monkeypatch):
    monkeypatch.setattr("distill.live.EVERY_S", 0.0)
    monkeypatch.setattr("distill.live._SHARE", 1e9)
    stream = io.StringIO()
    lines = CountLines(stream, begun.folder)
    lines.look()
    lines.look()
    (list(begun.jobs)[2] / "training.json").write_text("{}")
    lines.look()
    lines.stop()
    assert stream.getvalue().splitlines() == [
        "1 done, 1 running, 0 failed, 3 waiting",
        "2 done, 0 running, 0 failed, 3 waiting",
    ]


def test_a_grid_without_results_and_one_with_some_make_one_table_each(begun, tmp_path):
    assert grid_table(begun.folder)["state"].tolist() == ["missing", "missing"]
    alone, _ = do(f"{RUN}[[grid]]\nlambda = [0.3]\n", tmp_path / "other")
    prepare(planned(TWO, alone.folder))
    frame = grid_table(alone.folder)
    assert frame["state"].tolist() == ["done"] * 4 + ["missing"]
    told = drawn(results_as_table(frame, ["lambda"]))
    assert [line.split()[:1] for line in told.splitlines() if line.strip().startswith("0.")] == [["0.3"], ["0.7"]]
    assert told.count("missing") == 1


@pytest.mark.parametrize("folds", ["", "2"])
def test_a_run_that_chooses_is_its_candidates_until_it_has_chosen(people, tmp_path, folds):
    folder, seen = tmp_path / "run", []

    class Looking(Progress):
        def begin(self, title, epochs):
            seen.append(status(folder))

    run = distill.Run(**QUICK | {"select": ("lambda=0.1,0.9",), "folds": folds})
    distill.run(run, people, folder, Looking())
    assert seen[0].runs[0].name == ("select/fold-1/1" if folds else "select/1")
    assert [training.state for training in seen[0].trainings].count("running") == 1
    assert sum(training.state == "done" for training in seen[1].trainings) == 1
    whole = status(folder)
    assert whole.is_finished
    assert [run.name for run in whole.runs] == ["run"]
    assert all(training.epoch == 2 for training in whole.trainings)
