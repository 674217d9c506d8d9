"""Grids whose trainings go through the same steps, against grids that do them one by one."""

import json
import sys
from io import StringIO
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import distill
from distill.checkpoint import Checkpoints
from distill.cli import main
from distill.grid import prepare
from distill.keeping import Keeping
from distill.kinds import has_begun, kind
from distill.layout import LOCK
from distill.learner import Learner
from distill.progress import Progress, Terminal
from distill.sealed import unpack
from distill.stacked_learners import StackedLearners
from distill.stacking import Stack
from distill.status import status
from distill.trainings import made_ready
from distill.worker import Worker
from tests.distill.tiny_grids import RUN, Told, noted, planned
from tsimage.locks import claimed

TEXT = RUN.replace('teacher = "wrn10-1"', 'teacher = "wrn10-1:signal"').replace("image-size = 8", "batch-size = 20")
TEXT = TEXT.replace("seeds = [0]", "seeds = [0, 1]") + "[[grid]]\nlambda = [0.3, 0.7]\n"
"""Two seeds: four networks on the signal without teachers, then four students."""


def work(text, out, together, keeping=None, progress=None):
    plan = planned(text, out)
    prepare(plan)
    told = progress or Told()
    Worker(plan, told, keeping, together=together).work()
    return plan, told


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    return work(TEXT, tmp_path_factory.mktemp("grids") / "alone", 1)[0]


def records(plan):
    return {path.name: json.loads((path / "training.json").read_text()) for path in plan.jobs}


def assert_alike(plan, wanted):
    """See that every training ended where it ended in the other grid, and left the same files."""
    made, before = records(plan), records(wanted)
    assert made.keys() == before.keys()
    for name, record in before.items():
        assert made[name].keys() == record.keys()
        folder, other = plan.folder / "trainings" / name, wanted.folder / "trainings" / name
        assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in other.iterdir())
        weights, wanted_weights = (load_file(f / "weights.safetensors") for f in (folder, other))
        for tensor in wanted_weights:
            torch.testing.assert_close(weights[tensor], wanted_weights[tensor], atol=1e-5, rtol=1e-4)
        for a, b in zip(*((f / "history.jsonl").read_text().splitlines() for f in (folder, other)), strict=True):
            assert json.loads(a) == pytest.approx(json.loads(b), rel=1e-3, abs=1e-6)


def test_what_goes_together_ends_as_what_goes_alone(one_by_one, tmp_path):
    plan, told = work(TEXT, tmp_path / "grid", 4)
    assert_alike(plan, one_by_one)
    assert {record["together"] for record in records(plan).values()} == {4}
    assert {record["together"] for record in records(one_by_one).values()} == {1}
    assert noted(plan.folder, "begins") == noted(plan.folder, "done")
    assert len(told.lines) == 8
    assert [line.partition("]")[0] for line in told.lines] == [f"[{n}/8" for n in range(1, 9)]
    assert status(plan.folder).is_finished
    frames = [distill.run_grid(p.folder.with_suffix(".toml"), p.folder) for p in (plan, one_by_one)]
    assert frames[0]["mean"].tolist() == pytest.approx(frames[1]["mean"].tolist())


def test_no_more_go_together_than_were_asked_for(tmp_path):
    plan, _ = work(TEXT, tmp_path / "grid", 3)
    assert sorted(record["together"] for record in records(plan).values()) == [2, 2, 3, 3, 3, 3, 3, 3]


class Stops(Progress):
    """Breaks off in the n-th epoch that it is told."""

    def __init__(self, after):
        self.left = after

    def epoch(self, row):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("first", "then"), [(4, 1), (1, 4)])
def test_broken_off_it_goes_on_the_other_way(one_by_one, tmp_path, first, then):
    out, keeping = tmp_path / "grid", Keeping(checkpoint_every="0s")
    with pytest.raises(KeyboardInterrupt):
        work(TEXT, out, first, keeping, Stops(2))
    begun = list(out.glob("trainings/*/checkpoint.safetensors"))
    assert len(begun) == first
    plan, _ = work(TEXT, out, then, keeping)
    assert_alike(plan, one_by_one)
    assert len(noted(out, "goes on")) == first
    made = [records(plan)[path.parent.name]["together"] for path in begun]
    assert made == [first] * first  # those that have not begun go without the one that has


def test_broken_off_between_checkpoints_they_go_on_together(one_by_one, tmp_path, monkeypatch):
    out, keeping = tmp_path / "grid", Keeping(checkpoint_every="0s")
    write, left = Checkpoints.write, iter(range(5, -1, -1))

    def broken(self, tensors, about):
        write(self, tensors, about)
        if next(left) == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", broken)
        with pytest.raises(KeyboardInterrupt):
            work(TEXT, out, 4, keeping)
    left_at = [unpack(path)[1]["step"] for path in out.glob("trainings/*/checkpoint.safetensors")]
    assert sorted(left_at) == [1, 1, 2, 2]
    step, going = StackedLearners.train_step, []

    def watched(self):
        going.append(len(self.learners))
        return step(self)

    monkeypatch.setattr(StackedLearners, "train_step", watched)
    plan, _ = work(TEXT, out, 4, keeping)
    assert_alike(plan, one_by_one)
    assert going == [2, *[4] * 2, *[4] * 4]  # those behind, all of them, and the students


def test_one_that_cannot_begin_fails_alone(one_by_one, tmp_path):
    out = tmp_path / "grid"
    plan = planned(TEXT, out)
    prepare(plan)

    teacher = next(path for path, job in plan.jobs.items() if job.training.role == "teacher")
    worker = Worker(plan, Told(), together=4)
    alike = [j for j in plan.jobs.values() if j.training.role in ("teacher", "scratch")]
    worker._do(alike)
    path = teacher / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    worker.work()
    failed = noted(out, "failed")
    students = [p for p, j in plan.jobs.items() if j.training.role == "student" and teacher in j.needs]
    assert failed == sorted(p.relative_to(out).as_posix() for p in students)
    assert len(noted(out, "done")) == 6
    said = json.loads((students[0] / "failed.json").read_text())
    assert said["error"].startswith(f"'{path}' is missing or not as it was written")
    assert "Traceback" in said["traceback"]


class Watches(Progress):
    """Breaks off in an epoch, and keeps what it was told began."""

    def __init__(self, epoch):
        self.last, self.begun = epoch, []

    def begin(self, title, epochs):
        self.begun.append(title)

    def epoch(self, row):
        if row["epoch"] == self.last:
            raise KeyboardInterrupt


def test_one_that_ended_or_failed_before_the_others_is_recorded_at_once(tmp_path, monkeypatch):
    def broken(plan, training, samples, say):
        made = made_ready(plan, training, samples, say)
        if training.role == "scratch" and training.seed == 1:
            torch.nn.init.constant_(next(made.model.parameters()), torch.inf)
        return made

    monkeypatch.setattr("distill.companions.made_ready", broken)
    stops = property(lambda self: self.epoch > (1 if self.seed == 0 else 2))
    monkeypatch.setattr(Learner, "has_ended", stops)
    out, watch = tmp_path / "grid", Watches(2)
    with pytest.raises(KeyboardInterrupt):
        work(TEXT, out, 4, progress=watch)
    states = {training.title: training.state for training in status(out).trainings if "distilled" not in training.title}
    assert states == {
        "seed 0  teacher wrn10-1:signal": "done",
        "seed 0  from scratch wrn10-1:signal": "done",
        "seed 1  teacher wrn10-1:signal": "waiting",
        "seed 1  from scratch wrn10-1:signal": "failed",
    }
    assert (len(noted(out, "done")), len(noted(out, "failed"))) == (2, 1)
    said = json.loads(next(out.glob("trainings/*/failed.json")).read_text())["error"]
    assert said.startswith("training of view 'signal' stopped at epoch 1, step 1: the student's logits are not finite")
    assert watch.begun == [
        "[1/8] seed 0  teacher wrn10-1:signal  and 3 more at once",
        "[1/8] seed 0  teacher wrn10-1:signal  and 2 more at once",
        "[3/8] seed 1  teacher wrn10-1:signal",
    ]


def test_a_terminal_draws_one_bar_when_others_go_on():
    drawn = StringIO()
    terminal = Terminal(Console(file=drawn, force_terminal=True))
    before = sys.stdout
    terminal.begin("four at once", 2)
    assert sys.stdout is not before  # what is printed while a bar is drawn goes above it
    terminal.begin("three at once", 2)
    terminal.stop()
    assert sys.stdout is before


def test_of_the_time_each_has_an_equal_share_while_it_is_there(tmp_path, monkeypatch):
    clock = iter([0, 8, 11, 13, 14, *[14] * 5])  # began, four ends; and the students
    monkeypatch.setattr("distill.companions.time", SimpleNamespace(monotonic=clock.__next__))
    plan, _ = work(TEXT, tmp_path / "grid", 4)
    seconds = [record["seconds"] for record in records(plan).values() if record["role"] != "student"]
    assert seconds == [2, 3, 4, 5]


def test_where_memory_does_not_suffice_half_as_many_go_together_from_there_on(one_by_one, tmp_path, monkeypatch):
    tried = []

    def limited(self, inputs):
        tried.append(len(inputs))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Stack, "trace", limited)
    plan, told = work(TEXT, tmp_path / "grid", 4)
    assert_alike(plan, one_by_one)
    assert {record["together"] for record in records(plan).values()} == {1}
    assert tried == [4, 2]  # neither by the other two of the four nor by the students after them
    assert [line for line in told.lines if "memory" in line] == [
        f"{n} trainings cannot go together (memory ran out): they, and later ones of their kind, go on by {n // 2}"
        for n in (4, 2)
    ]


def test_where_memory_does_not_suffice_to_begin_all_of_them_none_fails(one_by_one, tmp_path, monkeypatch):
    begun = []

    def limited(plan, training, samples, say):
        begun.append(training.folder)
        if len(begun) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return made_ready(plan, training, samples, say)

    monkeypatch.setattr("distill.companions.made_ready", limited)
    plan, told = work(TEXT, tmp_path / "grid", 4)
    assert_alike(plan, one_by_one)
    assert {record["together"] for record in records(plan).values()} == {2}
    assert sum("memory ran out" in line for line in told.lines) == 1
    assert noted(plan.folder, "failed") == []


class Ends(Told):
    """Keeps apart the lines that say how a training went."""

    def __init__(self):
        super().__init__()
        self.ended = []

    def end(self, line):
        self.ended.append(line)


def test_how_each_went_is_told_as_of_trainings_alone(tmp_path):
    plan, told = work(TEXT, tmp_path / "grid", 4, progress=Ends())
    assert told.lines == []
    assert len(told.ended) == len(plan.jobs)


def test_where_a_stack_does_not_work_they_go_one_by_one(one_by_one, tmp_path, monkeypatch):
    def broken(self, inputs):
        raise RuntimeError("no batching rule")

    monkeypatch.setattr(Stack, "trace", broken)
    plan, told = work(TEXT, tmp_path / "grid", 4)
    assert_alike(plan, one_by_one)
    assert "4 trainings cannot go together (RuntimeError: no batching rule): they go on by 1" in told.lines
    assert noted(plan.folder, "failed") == []


def test_what_others_are_at_is_left_to_them(tmp_path):
    plan = planned(TEXT, tmp_path / "grid")
    prepare(plan)
    path = next(p for p, job in plan.jobs.items() if job.training.role == "scratch")
    lock, told = claimed(path / LOCK), Told()
    assert lock.__enter__()
    Worker(plan, told, on_wait=lambda: lock.__exit__(None, None, None), together=4).work()
    made = {p.name: record["together"] for p, record in zip(plan.jobs, records(plan).values(), strict=True)}
    assert made.pop(path.name) == 1
    assert sorted(made.values()) == [3, 3, 3, 4, 4, 4, 4]


def test_trainings_are_of_one_kind_that_differ_in_seed_and_teaching_only(tmp_path):
    def kinds(*tables):
        text = TEXT.replace("[[grid]]\nlambda = [0.3, 0.7]\n", "") + "".join(f"[[grid]]\n{table}\n" for table in tables)
        jobs = planned(text, tmp_path / "grid").jobs.values()
        return {kind(job.plan, job.training) for job in jobs}

    assert len(kinds("lambda = [0.1, 0.9]", 'loss = "dkd"', 'teaching = "live"')) == 1
    for table in ("epochs = 3", "learning-rate = 0.1", "ema = 0.5", 'augment = "jitter"', 'student = "wrn10-1-gn"'):
        assert len(kinds("lambda = 0.1", table)) == 2
    assert kinds('teacher = "minirocket:signal"') & {None} == {None}


def test_trainings_of_two_folds_or_two_roles_need_the_same_memory_and_those_of_another_batch_size_do_not(
    tmp_path, make_windows
):
    def kinds(text):
        jobs = planned(text, tmp_path / "grid", make_windows(24, split=None)).jobs.values()
        return {kind(job.plan, job.training) for job in jobs}

    text = TEXT.replace('channels = ["acc*"]', 'folds = "2"')
    found = kinds(text)
    assert len(found) == 2
    assert len({one.step for one in found}) == 1
    assert {one.step for one in kinds(text.replace("batch-size = 20", "batch-size = 10"))}.isdisjoint(
        {one.step for one in found}
    )


def test_a_training_has_begun_where_there_is_a_checkpoint(tmp_path):
    plan = planned(TEXT, tmp_path / "grid")
    prepare(plan)
    job = next(iter(plan.jobs.values()))
    keeping = Keeping(checkpoint_every="0s")
    assert has_begun(job.plan, job.training, keeping) is False
    with pytest.raises(KeyboardInterrupt):
        Worker(plan, Stops(1), keeping).work()
    path = job.training.folder / "checkpoint.safetensors"
    assert has_begun(job.plan, job.training, keeping) is True
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert has_begun(job.plan, job.training, keeping) is None


def test_the_command_takes_it_and_refuses_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TEXT.replace("[0.3, 0.7]", "[0.3]"))
    with pytest.raises(SystemExit):
        main(["grid", "tiny.toml", "--together", "0"])
    assert capsys.readouterr().err == (
        "distill: together 0 is not allowed: give how many trainings may go at once, 1 for one by one\n"
    )
    main(["grid", "tiny.toml", "--prepare"])
    main(["work", "runs/tiny", "--together", "4"])
    made = [json.loads(path.read_text())["together"] for path in (tmp_path / "runs/tiny").rglob("training.json")]
    assert sorted(made) == [2, 2, 4, 4, 4, 4]
