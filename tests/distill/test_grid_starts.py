"""A grid whose start was killed begins again, and one that is done is left as it is."""

import os
import signal
from pathlib import Path

import pytest

from distill.checkpoint import Checkpoints
from distill.cli import main
from distill.grid import GridPlan, prepare
from distill.gridfile import read_grid
from distill.keeping import Keeping
from distill.progress import Progress
from distill.worker import Worker
from tsimage import atomic

GRID = """
[run]
channels = ["acc*"]
student = "wrn10-1"
teacher = "wrn10-1:signal"
epochs = 1
precision = "fp32"
device = "cpu"
seeds = [0]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "quick.toml"
    path.write_text(GRID)
    return path


def test_a_start_that_was_killed_while_it_wrote_leaves_a_folder_to_begin_in(file, tmp_path, says):
    folder = tmp_path / "grid"
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / ".grid.json.123.partial").write_text('{"runs": [')
    plan = GridPlan(read_grid(file).runs, folder)
    prepare(plan)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "grid.json"]
    assert atomic.read_json(folder / "grid.json") == plan.describe()
    (folder / "grid.json").rename(folder / "other.json")
    with says(f"'{folder}' is not empty and holds no grid: choose another folder"):
        prepare(plan)


def test_a_grid_that_is_done_is_left_as_it_is(file, tmp_path, capsys):
    folder = tmp_path / "grid"

    def files():
        return {p: (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}

    main(["grid", str(file), "--out", str(folder)])
    before, said = files(), capsys.readouterr().out
    assert {"grid.json", "table.csv"} < {path.name for path in before}
    main(["grid", str(file), "--out", str(folder)])
    main(["work", str(folder)])
    assert files() == before
    assert said.splitlines()[-6:] == capsys.readouterr().out.splitlines()[-6:]


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at_the_checkpoint():
    Checkpoints.remove = die


def dying_at_the_cache():
    replace = Path.replace
    Path.replace = lambda path, to: die() if to.name == "evaluation.safetensors" else replace(path, to)


@pytest.mark.parametrize("dying", [dying_at_the_checkpoint, dying_at_the_cache])
def test_nothing_of_a_killed_process_is_left_when_the_grid_is_done(file, tmp_path, dying):
    folder = tmp_path / "grid"

    def work():
        plan = GridPlan(read_grid(file).runs, folder)
        prepare(plan)
        Worker(plan, Progress(), Keeping(checkpoint_every="1")).work()

    def left():
        return [*folder.rglob(".*.partial"), *folder.rglob("checkpoint.*")]

    child = os.fork()
    if child == 0:
        dying()
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(left()) == 1
    work()
    assert left() == []
    assert len(list(folder.rglob("result.json"))) == 1
