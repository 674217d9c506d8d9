import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tsimage.launch import Launch, local, resolve, start
from tsimage.launch.supervision import outcome

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are bound to their parent on Linux alone")

PIECES = str(Path(__file__).with_name("pieces.py"))
ONE = Launch(workers=1, gpus=0)


def pieces(folder, n, seconds, *more):
    return [sys.executable, PIECES, str(folder), str(n), str(seconds), *more]


def lines(folder):
    return sorted((int(a), int(b)) for a, b in (line.split() for line in (folder / "done").read_text().splitlines()))


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.02)
    return found


def pid_in(path):
    """The process id in a file that another process writes; 0 as long as it is not there."""
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_workers_share_the_pieces_and_each_is_done_once(tmp_path):
    polls = []
    ended = start(
        pieces(tmp_path, 12, 0.1), Launch(workers=3, threads=2), folder=tmp_path, on_poll=lambda: polls.append(1)
    )
    done = lines(tmp_path)
    assert [piece for piece, _ in done] == list(range(12))
    assert {worker for _, worker in done} == {0, 1, 2}
    assert [(e.worker, e.code, e.killed_by, e.restarts, e.well) for e in ended] == [
        (k, 0, "", 0, True) for k in range(3)
    ]
    assert [e.log.read_text() for e in ended] == [f"worker {k} with 2 threads\n" for k in range(3)]
    assert ended[2].log == tmp_path / "logs" / "worker-2.log"
    assert polls


def test_a_killed_worker_starts_again_and_no_piece_is_lost(tmp_path):
    killed = []

    def kill_one():
        pid = pid_in(tmp_path / "at-1")
        if pid and not killed:
            killed.append(pid)
            os.kill(pid, signal.SIGKILL)

    ended = start(pieces(tmp_path, 8, 0.4), Launch(workers=2, threads=1), folder=tmp_path, on_poll=kill_one)
    assert killed
    assert [piece for piece, _ in lines(tmp_path)] == list(range(8))
    assert [(e.code, e.restarts) for e in ended] == [(0, 0), (0, 1)]
    assert ended[1].log.read_text() == "worker 1 with 1 threads\n" * 2


def test_a_worker_that_is_always_killed_is_given_up(tmp_path):
    (ended,) = start(["sh", "-c", "echo once; kill -9 $$"], ONE, folder=tmp_path)
    assert (ended.code, ended.killed_by, ended.restarts, ended.well) == (None, "SIGKILL", 3, False)
    assert ended.log.read_text() == "once\n" * 4
    assert str(ended) == f"worker 0 was killed by SIGKILL after 3 restarts (see '{ended.log}')"


def test_a_worker_that_ends_with_an_error_is_not_started_again(tmp_path):
    (ended,) = start(["sh", "-c", "echo bad >&2; exit 7"], ONE, folder=tmp_path)
    assert (ended.code, ended.killed_by, ended.restarts, ended.well) == (7, "", 0, False)
    assert ended.log.read_text() == "bad\n"
    assert str(ended) == f"worker 0 ended with code 7 (see '{ended.log}')"


def test_a_command_that_is_not_there_is_said_in_the_log(tmp_path):
    (ended,) = start(["no-such-command"], ONE, folder=tmp_path)
    assert ended.code == 1
    assert ended.log.read_text() == "'no-such-command' cannot be started: No such file or directory\n"


def test_a_worker_does_not_inherit_ignored_signals_of_python(tmp_path):
    # with SIGPIPE ignored, `yes` would complain about a broken pipe instead of ending
    (ended,) = start(["sh", "-c", "yes | head -1"], ONE, folder=tmp_path)
    assert ended.log.read_text() == "y\n"


@pytest.mark.parametrize(
    ("code", "meaning"),
    [(0, (0, "")), (1, (1, "")), (255, (255, "")), (-11, (None, "SIGSEGV")), (137, (None, "SIGKILL"))],
)
def test_what_an_exit_code_means(code, meaning):
    how = outcome(code)
    assert (how.code, how.killed_by) == meaning


def test_what_on_poll_raises_ends_the_workers(tmp_path):
    found = []

    def fail():
        found.append(pid_in(tmp_path / "at-0"))
        if found[-1]:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        start(pieces(tmp_path, 9, 30), Launch(workers=1, threads=1), folder=tmp_path, on_poll=fail)
    assert (tmp_path / "asked").exists()
    assert not lives(found[-1])


PARENT = """
    import signal, sys
    from pathlib import Path
    from tsimage.launch import Launch, process, start, supervision

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests with it ignored
    supervision.GRACE_S = process.GRACE_S = float(sys.argv[1])
    try:
        start(sys.argv[3:], Launch(workers=2, threads=1), folder=Path(sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def parent(repository, folder, grace, *more):
    """Start a parent of two workers with endless pieces; return it and the ids of the workers once they are at work."""
    command = [sys.executable, "-c", textwrap.dedent(PARENT), str(grace), str(folder), *pieces(folder, 9, 60, *more)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(repository)})
    workers = [wait_for(lambda k=k: pid_in(folder / f"at-{k}")) for k in (0, 1)]
    return process, workers


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_reaches_the_workers_and_ends_the_parent(repository, tmp_path, number, code):
    process, workers = parent(repository, tmp_path, 20)
    process.send_signal(number)
    assert process.wait(15) == code  # sooner than the grace ends: they were asked
    assert (tmp_path / "asked").exists()
    assert not any(lives(pid) for pid in workers)


def test_a_worker_that_does_not_end_when_asked_is_killed(repository, tmp_path):
    process, workers = parent(repository, tmp_path, 0.3, "stubborn")
    process.terminate()
    assert process.wait(15) == 143
    assert not any(lives(pid) for pid in workers)


def test_workers_do_not_outlive_a_killed_parent(repository, tmp_path):
    process, workers = parent(repository, tmp_path, 5, "stubborn")
    process.kill()
    process.wait()
    wait_for(lambda: not any(lives(pid) for pid in workers))


def test_workers_take_gpus_in_turn(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    show = ["sh", "-c", "echo $CUDA_VISIBLE_DEVICES-"]

    def shown(launch):
        ended = start(show, launch, folder=tmp_path / str(launch.gpus) / str(launch.workers))
        return [e.log.read_text().strip() for e in ended]

    assert shown(Launch()) == ["2-", "5-"]
    assert shown(Launch(workers=3)) == ["2-", "5-", "2-"]
    assert shown(Launch(gpus=0.5)) == ["2-", "5-", "2-", "5-"]
    assert shown(Launch(gpus=2)) == ["2,5-"]
    assert shown(Launch(gpus=0, workers=2)) == ["-", "-"]


@pytest.mark.parametrize(
    ("asked", "given", "threads"),
    [("1", {}, 1), ("3,1", {}, 3), ("2", {"threads": 6}, 6), ("", {}, 6), ("many", {}, 6), ("0", {}, 6)],
)
def test_threads_that_the_user_asked_for_go_before_a_share_of_the_cores(monkeypatch, asked, given, threads):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert resolve(Launch(workers=2, **given)).threads == threads


def test_defaults_of_this_machine(monkeypatch, says):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert local.devices() == []
    for given, workers, threads in [
        ({}, 3, 4),
        ({"workers": 5}, 5, 2),
        ({"threads": 1}, 12, 1),
        ({"workers": 40}, 40, 1),
        ({"workers": 2, "threads": 3}, 2, 3),
    ]:
        chosen = resolve(Launch(**given))
        assert (chosen.workers, chosen.threads) == (workers, threads)
    with says(
        "2 workers with 0.5 GPUs each do not fit on the 0 GPUs of this machine: give fewer workers, or a smaller --gpus"
    ):
        resolve(Launch(workers=2, gpus=0.5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"launch": "slrum", "workers": 2},
            "unknown engine to launch on 'slrum': did you mean 'slurm'? Valid: local, slurm, ray",
        ),
        ({"workers": 0}, "workers 0 is not allowed: give a whole number from 1 on"),
        ({"threads": -1}, "threads -1 is not allowed: give a whole number from 1 on"),
        ({"gpus": 1.5}, "gpus 1.5 is not allowed: give 0, a fraction of 1, or a whole number"),
        ({"gpus": float("nan")}, "gpus nan is not allowed: give 0, a fraction of 1, or a whole number"),
        (
            {"slurm": ("time=9",)},
            "slurm has no meaning with launch local: leave it out, or choose launch slurm",
        ),
        (
            {"launch": "slurm", "workers": 1, "ray": "head:6379"},
            "ray has no meaning with launch slurm: leave it out, or choose launch ray",
        ),
        (
            {"launch": "ray"},
            "launch ray cannot tell how many workers there should be: give --workers",
        ),
        (
            {"launch": "slurm", "workers": 2, "slurm": ("time",)},
            "slurm 'time' is not allowed: write NAME=VALUE, as in partition=gpu or time=90",
        ),
        (
            {"launch": "slurm", "workers": 2, "slurm": ("cpus_per_task=4",)},
            "slurm 'cpus_per_task=4' is not allowed: --threads says that",
        ),
        (
            {"launch": "slurm", "workers": 2, "gpus": 0.5},
            "gpus 0.5 is not allowed with launch slurm, which lends whole GPUs: give 1, or launch local workers that share a "
            "GPU inside a job",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words, says):
    with says(words):
        Launch(**options)


@pytest.mark.parametrize(("engine", "module"), [("slurm", "submitit"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_is_named(tmp_path, monkeypatch, says, engine, module):
    monkeypatch.setitem(sys.modules, module, None)
    with says(f"launch {engine} needs {module}: pip install 'tsimage[{engine}]'"):
        start(["true"], Launch(launch=engine, workers=1), folder=tmp_path)
