"""The checks of experiments/grid_kills.py on folders made by hand, and the grids of experiments/."""

import importlib.util
import json
import re
import signal
import sys
from collections import Counter

import pandas as pd
import pytest

from distill.grid import GridPlan
from distill.gridfile import read_grid
from distill.sealed import pack
from tests.conftest import REPOSITORY

GRIDS = sorted(path.stem for path in (REPOSITORY / "experiments").glob("*.toml"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("grid_kills", REPOSITORY / "experiments" / "grid_kills.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["grid_kills"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["grid_kills"]


@pytest.fixture
def folder(tmp_path):
    """A finished grid of two trainings and one run; a process was killed at b, another went on with it."""
    names = ["trainings/a", "trainings/b"]
    for name in [*names, "runs/r", "logs"]:
        (tmp_path / name).mkdir(parents=True)
    grid = {"trainings": {name: {} for name in names}, "runs": [{"folder": "runs/r", "trainings": names}]}
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    for name in names:
        (tmp_path / name / "training.json").write_text("{}")
    (tmp_path / "runs/r/result.json").write_text("{}")
    log(tmp_path, "m-1", ("begins", "a", 1), ("done", "a", 2), ("begins", "b", 3))
    log(tmp_path, "m-2", ("goes on", "b", 4), ("done", "b", 5), ("result", "r", 6))
    return tmp_path


def log(folder, process, *events):
    with (folder / "logs" / f"{process}.jsonl").open("a") as file:
        for what, name, second in events:
            which = f"{'runs' if name == 'r' else 'trainings'}/{name}"
            at = f"2026-01-01T00:00:{second:02d}.000+00:00"
            file.write(json.dumps({"at": at, "what": what, "which": which}) + "\n")


def row(script, folder, **seen):
    trial = script.Trial(folder / "grid.toml", folder, 2, "1")
    trial.counts.update({"everything": 1} | seen)
    return script.report(trial, "made", [], None)


def test_counts_of_the_logs(script, folder):
    assert script.logged(folder) == {
        "runs": 1,
        "results": 1,
        "trainings": 2,
        "done": 2,
        "begun": 2,
        "gone on": 1,
        "done unlogged": 0,
        "done twice": 0,
        "failed": 0,
        "results twice": 0,
        "torn lines": 0,
        "files left over": 0,
    }
    assert script.wrong(row(script, folder)) == []


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([("done", "a", 9)], ["done twice"]),
        ([("begins", "a", 9)], ["done twice"]),
        ([("failed", "b", 4)], ["failed"]),
        ([("result", "r", 9)], ["results twice"]),
        (
            [("begins", "b", 3), ("goes on", "b", 4)],
            ["trainings begun or gone on with at other times than after a kill"],
        ),
    ],
)
def test_what_the_logs_must_not_say(script, folder, events, found):
    log(folder, "m-3", *events)
    assert script.wrong(row(script, folder)) == found


def test_a_process_killed_before_it_logged_the_end_is_no_fault(script, folder):
    (folder / "logs/m-2.jsonl").write_text("")
    counts = script.logged(folder)
    assert counts["done unlogged"] == 1
    assert script.wrong(row(script, folder) | {"results twice": 0}) == []


def test_what_is_missing_or_left_over_or_torn(script, folder):
    (folder / "trainings/a/training.json").unlink()
    (folder / "runs/r/result.json").unlink()
    (folder / "trainings/a/.weights.safetensors.7.partial").touch()
    (folder / "logs/m-3.jsonl").write_text('{"at": "2026')
    assert script.wrong(row(script, folder)) == ["torn lines", "files left over", "not all done", "not all results"]


@pytest.mark.parametrize("seen", ["rewritten", "unreadable", "outlived", "wrong exit codes"])
def test_what_was_seen_at_a_kill_counts(script, folder, seen):
    assert script.wrong(row(script, folder, **{seen: 1})) == [seen]


def test_what_differs_counts(script, folder):
    assert script.wrong(row(script, folder) | {"identical": False, "changed by starting again": 1}) == [
        "changed by starting again",
        "not identical",
    ]


def test_unreadable_checkpoints_and_records_are_counted(script, folder):
    (folder / "trainings/a/checkpoint.safetensors").write_bytes(pack({}, {"epoch": 1}))
    assert script.readable(folder) == (1, 0)
    content = bytearray(pack({}, {"epoch": 1}))
    content[20] ^= 1
    (folder / "trainings/b/checkpoint.safetensors").write_bytes(content)
    (folder / "runs/r/result.json").write_text("{")
    assert script.readable(folder) == (2, 2)


def test_a_record_that_is_written_again_or_vanishes_is_seen(script, folder):
    known = {}
    assert script.rewritten(folder, known) == 0
    assert script.rewritten(folder, known) == 0
    (folder / "beside").write_text("{}")
    (folder / "beside").replace(folder / "trainings/a/training.json")
    assert script.rewritten(folder, known) == 1
    (folder / "trainings/b/training.json").unlink()
    assert script.rewritten(folder, known) == 2


def test_a_session_is_found_and_killed_whole(script, tmp_path):
    shift = script.Shift([], tmp_path / "log")
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    leader = script.subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    shift.leaders.append(leader)
    while len(shift.processes()) < 2:
        assert leader.poll() is None
    assert leader.pid not in shift.workers()
    shift.send(signal.SIGKILL, [leader.pid])
    assert shift.wait(0.2) == 1
    while shift.processes():
        pass
    assert shift.ended()


def test_the_table_is_tidy(script, tmp_path):
    table = pd.DataFrame(
        {"run": ["x"], "state": "done", "alpha": 0.1, "mean": 100 / 3, "seeds": '{"0": 30.0, "2": 36.666}'}
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    assert script.tidy(tmp_path / "table.csv").to_dict("records") == [
        {"alpha": 0.1, "mean": 33.3333, "seeds": "30.00 36.67"}
    ]


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_has_the_runs_and_trainings_that_it_says(name, tmp_path, request):
    path = REPOSITORY / "experiments" / f"{name}.toml"
    text = " ".join(line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines())
    said = re.search(
        r"(\d+) runs of (?:three|five) seeds: (\d+) trainings, of them (\d+) teachers, (\d+) students from scratch and "
        r"(\d+) distilled students",
        text,
    )
    grid = read_grid(path)
    seeds = 5 if "of five seeds" in said[0] else 3
    assert all(cell.run.seeds == tuple(range(seeds)) and cell.run.evaluate == "test" for cell in grid.runs)
    assert (len(grid.runs), seeds * len(grid.runs)) == (int(said[1]), int(said[5]))
    if grid.runs[0].run.data == "hapt":
        request.getfixturevalue("data_dir")
    jobs = GridPlan(grid.runs, tmp_path / "grid").jobs.values()
    roles = Counter(job.training.role for job in jobs)
    assert (len(jobs), roles["teacher"], roles["scratch"], roles["student"]) == tuple(
        int(said[k]) for k in (2, 3, 4, 5)
    )


def test_the_published_grid_is_the_one_of_the_papers():
    runs = [cell.run for cell in read_grid(REPOSITORY / "experiments" / "published.toml").runs]
    main = [run for run in runs if run.read.classes and run.read.window == "2.56s"]
    networks = ("wrn16-1", "wrn16-3", "wrn28-1", "wrn28-3")
    wanted = {((f"{n}:{view}",), (1.0,)) for n in networks for view in ("gasf", "signal")}
    wanted |= {
        ((f"{n}:gasf", f"{n}:signal"), (a, round(1 - a, 9))) for n in networks for a in (0.1, 0.3, 0.5, 0.7, 0.9)
    }
    for window, classes in {(run.read.window, run.read.classes) for run in runs}:
        of_set = [run for run in runs if (run.read.window, run.read.classes) == (window, classes)]
        teachers = [run.teachers() for run in of_set]
        found = [(tuple(t.name for t in ts), tuple(round(t.weight, 9) for t in ts)) for ts in teachers]
        assert len(found) == len(wanted)
        assert set(found) == wanted
    assert len(main) == 28
    assert {(r.epochs, r.course, r.lambda_, r.temperature, r.student, r.protocol) for r in runs} == {
        (200, "steps", 0.7, 4.0, "wrn16-1", "clean")
    }
    assert {r.image_size for r in runs if any(t.view == "gasf" for t in r.teachers())} == {64}
