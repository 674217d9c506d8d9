"""Several processes at one grid, some of them killed, and trainings that fail: everything is done once, and to the same end."""

import json
import random
import shutil
import time

import pytest

from distill.grid import prepare, retry
from distill.layout import LOCK
from distill.progress import Progress
from distill.status import status
from distill.worker import Worker
from tests.distill.tiny_grids import RUN, TWO, do, ends, noted, notes, planned, processes
from tsimage.disk import DiskFullError
from tsimage.locks import claimed

LONG = TWO.replace("epochs = 2", "epochs = 10")
FAST = RUN.replace('teacher = "wrn10-1"', 'teacher = "wrn10-1:signal"').replace("image-size = 8\n", "")
DIVERGING = f"{FAST}[[grid]]\nlearning-rate = [1e18, 0.05]\n"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("grids") / "undisturbed"
    do(LONG, out)
    return ends(out)


def ended(started):
    for process in started:
        process.join(120)
    return [process.exitcode for process in started]


def test_processes_that_begin_a_grid_at_once_share_it(undisturbed, tmp_path):
    out = tmp_path / "grid"
    assert ended(processes(2, LONG, out)) == [0, 0]
    assert ends(out) == undisturbed
    everything = sorted(path.relative_to(out).as_posix() for path in out.glob("trainings/*"))
    assert len(everything) == 5
    assert noted(out, "begins") == noted(out, "done") == everything
    assert len(noted(out, "result")) == 2
    assert {what for what, _ in notes(out)} == {"begins", "done", "result"}


def test_killed_at_any_moment_and_started_again_it_ends_the_same(undisturbed, tmp_path):
    out, rng, kills = tmp_path / "grid", random.Random(5), 0
    for _ in range(6):
        [process] = processes(1, LONG, out)
        deadline, before = time.monotonic() + 60, len(notes(out))
        while len(notes(out)) == before and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.4))
        kills += process.is_alive()
        process.kill()
        process.join()
    assert kills >= 3
    assert ended(processes(1, LONG, out)) == [0]
    assert ends(out) == undisturbed
    done = noted(out, "done")
    assert len(done) == len(set(done))  # none twice; a kill between a training and its line leaves none
    assert len(done) >= 5 - kills
    assert not [path for path in out.rglob("*") if path.name.endswith(".partial")]
    assert status(out).is_finished


def test_a_training_that_fails_is_kept_apart_and_not_tried_again_unless_asked(tmp_path):
    out = tmp_path / "grid"
    plan, told = do(DIVERGING, out)
    failed = noted(out, "failed")
    assert len(failed) == 2  # the teacher and the student from scratch; the distilled one is not begun
    assert len(noted(out, "done")) == 3
    for name in failed:
        error = json.loads((out / name / "failed.json").read_text())["error"]
        assert error.startswith("training of view 'signal' ")
        assert "is not finite on windows " in error
        assert "lower the learning rate" in error
        assert sum(line.endswith(f"failed: {error}") for line in told) >= 1
    found = status(out)
    assert [run.state for run in found.runs] == ["failed", "done"]
    assert found.counts() == {"done": 3, "running": 0, "failed": 3, "waiting": 0}
    teacher, student = found.trainings[0], found.trainings[2]
    assert student.error == f"needs {teacher.title}, which failed"
    log = notes(out)
    assert do(DIVERGING, out)[1] == []
    assert notes(out) == log
    assert retry(out) == 2
    assert status(out).counts() == {"done": 3, "running": 0, "failed": 0, "waiting": 3}
    assert len(do(DIVERGING, out)[1]) == 2
    assert noted(out, "failed") == sorted(2 * failed)
    assert len(plan.jobs) == 6


def test_a_teacher_that_fails_stops_every_run_that_needs_it_and_no_other(tmp_path):
    text = FAST.replace("epochs = 2", "epochs = 2\nlearning-rate = 1e18") + "[[grid]]\nlambda = [0.3, 0.7]\n"
    text += "[[grid]]\nlearning-rate = 0.05\n"
    out = tmp_path / "grid"
    do(text, out)
    assert [run.state for run in status(out).runs] == ["failed", "failed", "done"]
    assert len(noted(out, "failed")) == 2


def test_who_finds_everything_claimed_waits_and_tells(tmp_path):
    out = tmp_path / "grid"
    plan = planned(f"{FAST}[[grid]]\nlambda = [0.3]\n", out)
    prepare(plan)
    looks = []
    locks = [claimed(path / LOCK) for path in plan.jobs]
    for lock in locks:
        assert lock.__enter__()

    def on_wait():
        looks.append(noted(out, "begins"))
        if len(looks) == 2:
            for lock in locks:
                lock.__exit__(None, None, None)

    Worker(plan, Progress(), on_wait=on_wait).work()
    assert looks == [[], []]
    assert len(noted(out, "done")) == 3


def test_interrupted_it_goes_on_from_where_it_was(undisturbed, tmp_path):
    out = tmp_path / "grid"
    plan = planned(LONG, out)
    prepare(plan)

    class Stops(Progress):
        begun = 0

        def epoch(self, row):
            self.begun += row["epoch"] == 4
            if self.begun == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Worker(plan, Stops()).work()
    assert len(noted(out, "done")) == 2
    assert status(out).counts() == {"done": 2, "running": 0, "failed": 0, "waiting": 3}
    do(LONG, out)
    assert ends(out) == undisturbed


def test_a_full_disk_ends_the_process_and_is_no_failure_of_a_training(tmp_path, monkeypatch):
    def full(plan, training, *rest):
        raise DiskFullError(training.folder / "weights.safetensors", 10)

    plan = planned(TWO, tmp_path / "grid")
    prepare(plan)
    with monkeypatch.context() as patch:
        patch.setattr("distill.worker.carry_out", full)
        with pytest.raises(DiskFullError, match="the disk is full"):
            Worker(plan, Progress()).work()
    assert noted(plan.folder, "failed") == []
    do(TWO, plan.folder)
    assert status(plan.folder).is_finished


def test_what_is_removed_is_done_again_and_nothing_else(undisturbed, tmp_path):
    out = tmp_path / "grid"
    plan, _ = do(LONG, out)
    for path in plan.jobs:
        (path / "checkpoint.safetensors").touch()  # as if killed between the record of a training and its end
    teacher = next(path for path, job in plan.jobs.items() if job.training.role == "teacher")
    shutil.rmtree(teacher)
    do(LONG, out)
    assert ends(out) == undisturbed
    assert len(noted(out, "done")) == 6
    assert not list(out.rglob("checkpoint*"))


def test_a_grid_killed_while_it_wrote_its_first_file_begins_anew(tmp_path):
    out = tmp_path / "grid"
    out.mkdir()
    (out / ".lock").touch()
    (out / ".grid.json.123.partial").write_text("{")
    prepare(planned(TWO, out))
    assert sorted(path.name for path in out.iterdir()) == [".lock", "grid.json"]


def test_a_grid_that_another_process_begins_at_this_moment_is_no_folder_of_something_else(tmp_path, monkeypatch):
    out = tmp_path / "grid"
    plan = planned(TWO, out)
    out.mkdir()
    (out / "logs").mkdir()
    looked = []

    def meanwhile(entry):
        if not looked:
            looked.append(entry)
            (out / "logs").rmdir()
            prepare(plan)
        return False

    monkeypatch.setattr("distill.grid._is_ours", meanwhile)
    assert prepare(plan) == 0
    assert looked
