"""The commands of grids, as they are typed."""

import json
import re
import shutil

import pandas as pd
import pytest

from distill import cli_grid
from distill.cli import main
from distill.grid import prepare
from distill.worker import Worker
from tests.distill.tiny_grids import RUN, TWO, described, ends, noted, planned, stamps
from tsimage import load

DIVERGING = RUN.replace('teacher = "wrn10-1"', 'teacher = "wrn10-1:signal"').replace("image-size = 8\n", "")
DIVERGING += "[[grid]]\nlearning-rate = [1e18, 0.05]\n"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def distill_says(capsys):
    """Call a command, and return what it prints."""

    def call(*args, code=0):
        capsys.readouterr()
        if code:
            with pytest.raises(SystemExit) as stop:
                main([*map(str, args)])
            assert stop.value.code == code
        else:
            main([*map(str, args)])
        return capsys.readouterr()

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TWO)
    return path


def table_of(out):
    return out[out.index("Accuracy in %") :]


def test_a_grid_tells_its_plan_and_ends_with_its_table_and_again_with_the_same(distill_says, file, tmp_path):
    first = distill_says("grid", file).out
    lines = first.splitlines()
    assert lines[0] == "Grid of 2 runs with 2 students in all; folder runs/tiny"
    assert lines[1] == "5 trainings, since 3 of 8 are shared; 0 are done"
    assert lines[2] == "2 teachers, 1 students from scratch, 2 distilled students"
    assert re.fullmatch(r"About .* for 5 trainings, from timing a few steps of each kind", lines[4])
    assert lines[5].startswith("[1/5] seed 0  teacher wrn10-1:gasf  2 epochs in ")
    assert lines[-1] == "All models: runs/tiny/table.csv"
    frame = pd.read_csv("runs/tiny/table.csv")
    assert frame["lambda"].tolist() == [0.3] * 4 + [0.7] * 4
    assert frame["role"].tolist() == ["teacher", "teacher", "scratch", "student"] * 2
    before = stamps(tmp_path / "runs")
    again = distill_says("grid", file).out
    assert "5 are done" in again
    assert "About" not in again
    assert table_of(again) == table_of(first)
    assert stamps(tmp_path / "runs") == before


def test_dry_run_writes_nothing(distill_says, file, tmp_path):
    assert distill_says("grid", file, "--dry-run").out.splitlines()[-1] == "Nothing was trained."
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_a_run_that_diverges_is_told_and_stops_no_other(distill_says, file):
    file.write_text(DIVERGING)
    said = distill_says("grid", file, code=1)
    assert re.search(r"^\[1/6\] seed 0  teacher wrn10-1:signal  failed: training of view 'signal' .*lower the learning rate; the step can ",
                     said.out, re.M)  # fmt: skip
    assert re.search(r"1e\+18 +missing$", said.out, re.M)
    assert re.search(r"0\.05 +\d+\.\d\d +\d+\.\d\d", said.out)
    assert said.err.startswith(
        "distill: 3 trainings failed (first seed 0  teacher wrn10-1:signal: training of view 'signal' "
    )
    assert said.err.endswith("): see distill status runs/tiny; --retry-failed tries them again\n")
    again = distill_says("grid", file, code=1)
    assert "[1/6]" not in again.out
    assert again.err == said.err
    retried = distill_says("grid", file, "--retry-failed", code=1).out
    assert "2 trainings that failed are tried again" in retried
    assert "failed: training" in retried


def test_workers_share_a_grid_and_print_what_one_process_prints(distill_says, file, tmp_path):
    alone = distill_says("grid", file, "--out", "alone").out
    options = ("--launch", "local", "--workers", "2", "--threads", "1", "--checkpoint-every", "1")
    both = distill_says("grid", file, "--out", "both", *options).out
    assert ", 2 workers" in both
    assert table_of(both).replace("both/", "alone/") == table_of(alone)
    assert ends(tmp_path / "both") == ends(tmp_path / "alone")
    assert (
        noted(tmp_path / "both", "begins")
        == noted(tmp_path / "both", "done")
        == sorted(described(tmp_path / "both")["trainings"])
    )
    said = "".join((tmp_path / "both" / "logs" / f"worker-{k}.log").read_text() for k in range(2))
    assert said.count("2 epochs in ") == 5


def test_workers_that_end_early_are_no_success(distill_says, file, monkeypatch):
    monkeypatch.setattr("tsimage.launch.start", lambda *args, **options: [])
    said = distill_says("grid", file, "--workers", "2", code=1)
    assert said.err == (
        "distill: 2 of 2 runs are not done, as their workers ended: see runs/tiny/logs; the same command goes on\n"
    )
    assert said.out.count("missing") == 2


def test_work_takes_part_from_any_folder_and_needs_a_grid(distill_says, tmp_path, monkeypatch):
    said = distill_says("work", "grid", code=2).err
    assert (
        said
        == f"distill: '{tmp_path / 'grid'}' holds no grid: give the folder of one, or begin one with distill grid FILE\n"
    )
    load("basic-motions", channels="acc*").save(tmp_path / "own.npz")
    out = tmp_path / "grid"
    prepare(planned(TWO.replace("channels =", 'data = "own.npz"\nchannels ='), out))
    before = stamps(out)[out / "grid.json"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    told = distill_says("work", "../grid").out
    assert told.count("2 epochs in ") == 5
    assert len(noted(out, "result")) == 2
    assert stamps(out)[out / "grid.json"] == before
    assert not list(elsewhere.iterdir())


def test_another_grid_in_the_same_folder_is_told_and_its_table_is_its_own(distill_says, file, tmp_path, monkeypatch):
    distill_says("grid", file)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "tiny.toml"
    other.write_text(RUN + "[[grid]]\nalpha = [0.2, 0.3]\n")
    work = Worker.work

    def replaced(self):
        """Another process begins the first grid in the meantime."""
        work(self)
        prepare(planned(TWO, tmp_path / "runs" / "tiny"))

    monkeypatch.setattr(Worker, "work", replaced)
    said = distill_says("grid", other).out
    assert f"2 runs that runs/tiny held are not in {other}: they stay there, but not in the table" in said
    assert re.search(r"^ +alpha +teachers", said, re.M)


def test_a_run_that_cannot_be_evaluated_is_no_success(distill_says, file, tmp_path):
    distill_says("grid", file)
    [student] = [
        name for name, about in described(tmp_path / "runs/tiny")["trainings"].items() if "0.7" in about["title"]
    ]
    for result in (tmp_path / "runs").rglob("result.json"):
        result.unlink()
    (tmp_path / "runs/tiny" / student / "weights.safetensors").write_bytes(b"")
    said = distill_says("grid", file, code=1)
    assert said.err.startswith(
        "distill: 1 runs could not be evaluated (first lambda 0.7: 'runs/tiny/trainings/student-"
    )
    assert said.err.endswith("and run again to train it anew): see distill status runs/tiny\n")
    assert said.out.count("missing") == 1 + 1  # in the sentence and in the table
    shutil.rmtree(tmp_path / "runs/tiny" / student)
    assert "missing" not in distill_says("grid", file).out


def test_status_of_a_grid_and_of_nothing(distill_says, file, tmp_path):
    shared = RUN.replace('channels = ["acc*"]\n', "")
    file.write_text(f'{shared}[[grid]]\nchannels = [["acc[-_]*"], ["acc*"]]\n')  # the same channels in other words
    distill_says("grid", file, "--out", "grid")
    lines = [line.strip() for line in distill_says("status", "grid").out.splitlines()]
    assert lines[0] == "grid: 4 trainings: 4 done, 0 running, 0 failed, 0 waiting"
    assert [line.partition("  ")[0] for line in lines if "4/4" in line] == ["channels acc[-_]*", "channels acc*"]
    found = json.loads(distill_says("status", "grid", "--json").out)
    assert found["finished"] is True
    assert found["counts"] == {"done": 4, "running": 0, "failed": 0, "waiting": 0}
    assert [run["name"] for run in found["runs"]] == ["channels acc[-_]*", "channels acc*"]
    assert distill_says("status", tmp_path, code=2).err == (
        f"distill: '{tmp_path}' holds no run and no grid of distill: give the folder of one\n"
    )


def test_histories_of_runs_and_grids_are_tracked_while_they_grow(distill_says, file, tmp_path):
    distill_says("grid", file, "--track", "tensorboard", "--out", "grid")
    trainings = sorted(described(tmp_path / "grid")["trainings"])
    events = (tmp_path / "grid" / "tensorboard").rglob("events.out.tfevents.*")
    assert sorted(path.parent.relative_to(tmp_path / "grid" / "tensorboard").as_posix() for path in events) == trainings
    quick = ["--teacher", "wrn10-1:signal", "--student", "wrn10-1", "--epochs", "1", "--seeds", "0"]
    distill_says("run", *quick, "--track", "tensorboard", "--out", "run")
    events = (tmp_path / "run" / "tensorboard").rglob("events.out.tfevents.*")
    assert sorted(path.parent.name for path in events) == [
        "scratch-wrn10-1",
        "student-wrn10-1",
        "teacher-wrn10-1-signal",
    ]


def test_broken_off_it_says_how_to_go_on(distill_says, file, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Worker, "work", interrupted)
    said = distill_says("grid", file, code=130)
    assert said.out.splitlines()[-1] == "Broken off: the same command goes on from the last checkpoints."
    assert cli_grid.FailedTrainingsError.exit_code == 1
