import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import tsimage
from tests.tsimage.test_launch import lives, wait_for
from tsimage import Imager, chunks
from tsimage.chunks import Chunk
from tsimage.conversion import progress
from tsimage.journal import JournalledImages

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no locks to share by")

SMALL = Imager(stack="gasf+mtf", size=8)

# paints in chunks of 5, notes each with its process in `painted`, and holds where a file of that name asks for it
WORKER = """
    import os, sys, time
    from pathlib import Path
    import tsimage
    from tsimage import Imager, chunks, cli

    chunks.CHUNK_BYTES = 5 * 4 * 8 * 8 * 4 + 100
    folder, paint = Path(os.environ["NOTES"]), Imager.__call__

    def painting(self, x, *args, **kwargs):
        (folder / f"at-{os.getpid()}").touch()
        time.sleep(0.15)
        while (folder / f"hold-{os.environ.get('TSIMAGE_WORKER', '')}").exists():
            time.sleep(0.02)
        result = paint(self, x, *args, **kwargs)
        with (folder / "painted").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        return result

    Imager.__call__ = painting
    # a launched worker is this program too
    cli.command_line = lambda: [sys.executable, "-c", CODE, *sys.argv[1:]]
    cli.main()
"""


@pytest.fixture
def many(make_windows, monkeypatch):
    """43 windows, in 9 chunks when they are painted as SMALL."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5 * 4 * 8 * 8 * 4 + 100)
    return make_windows(43, length=12)


@pytest.fixture
def command(many, tmp_path, repository):
    """Start `tsimage convert` of the windows with further arguments; what it painted is noted."""
    many.save(tmp_path / "w.npz")
    code = textwrap.dedent(WORKER)
    code = f"CODE = {code!r}\nCODE = 'CODE = ' + repr(CODE) + chr(10) + CODE\n{code}"

    def _command(*more, output="out", worker=None, stack="gasf+mtf"):
        environment = os.environ | {"PYTHONPATH": str(repository), "NOTES": str(tmp_path)}
        if worker is not None:
            environment["TSIMAGE_WORKER"] = worker
        arguments = ["convert", "w.npz", output, "--size", "8", "--stack", stack, *more]
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return _command


def end(process):
    said, errors = process.communicate(timeout=60)
    return process.returncode, said, errors


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def painters(folder):
    """Who painted each chunk, one entry for each."""
    return (folder / "painted").read_text().split()


def left(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(("at-", "hold-", "painted", "w.npz")))


@pytest.fixture
def whole(many, tmp_path_factory):
    """What one process writes."""
    source = tmp_path_factory.mktemp("whole")
    many.save(source / "w.npz")
    tsimage.convert(source / "w.npz", source / "out", SMALL)
    return content(source / "out")


def test_two_commands_share_a_store_and_paint_every_chunk_once(command, whole, tmp_path):
    both = [command("--share"), command("--share")]
    for process in both:
        code, said, errors = end(process)
        assert code == 0, errors
        assert said.splitlines()[-1].startswith("out: 43 images of 8 x 8")
    assert content(tmp_path / "out") == whole
    assert len(painters(tmp_path)) == 9
    assert set(painters(tmp_path)) == {str(process.pid) for process in both}
    assert left(tmp_path) == ["out"]
    # late ones find it made and paint nothing
    assert end(command("--share"))[0] == 0
    assert end(command("--share", "--overwrite"))[0] == 0
    assert len(painters(tmp_path)) == 9
    code, _, errors = end(command())
    assert (code, errors) == (
        2,
        "tsimage: output 'out' exists already: choose another name (option overwrite replaces it)\n",
    )


def test_the_chunks_of_a_killed_process_are_painted_by_the_others(command, whole, tmp_path):
    (tmp_path / "hold-a").touch()
    killed = command("--share", worker="a")
    wait_for((tmp_path / f"at-{killed.pid}").exists)  # it has a chunk, and never ends it
    other = command("--share", worker="b")
    wait_for(lambda: (tmp_path / "painted").exists() and len(painters(tmp_path)) == 8)
    time.sleep(0.5)
    assert other.poll() is None  # it waits for the last chunk
    assert progress(tmp_path / "out") == (38, 43)
    killed.kill()
    killed.communicate()
    code, _, errors = end(other)
    assert code == 0, errors
    assert content(tmp_path / "out") == whole
    assert painters(tmp_path) == [str(other.pid)] * 9
    assert left(tmp_path) == ["out"]


def test_what_killed_processes_left_is_continued_alone_or_together(command, whole, tmp_path):
    (tmp_path / "hold-a").touch()
    killed = [command("--share", worker="a"), command("--share", worker="b")]
    wait_for(lambda: (tmp_path / "painted").exists() and len(painters(tmp_path)) >= 3)
    for process in killed:
        process.kill()
        process.communicate()
    done = progress(tmp_path / "out")[0]
    assert 0 < done < 43
    with (tmp_path / ".out.partial" / "chunks.jsonl").open("a") as journal:
        journal.write('{"chunk": 8, "sta')  # as a kill may leave it
    code, said, errors = end(command())
    assert code == 0, errors
    assert "Continuing an unfinished conversion: " in said
    assert content(tmp_path / "out") == whole
    assert left(tmp_path) == ["out"]


KILLER = """
    import json, os, random, signal, sys, tempfile, time
    from pathlib import Path
    import numpy as np
    import tsimage
    from tsimage import chunks, claims
    from tsimage.imager import Imager
    from tsimage.windows import Windows

    n, top = 43, Path(sys.argv[1])
    claims.WAIT_S = 0.005
    chunks.CHUNK_BYTES = 5 * 2 * 4 * 4 * 4
    values = np.random.default_rng(0).normal(size=(n, 2, 12)).astype(np.float32)
    empty, text = np.full(n, ""), np.array([f"w{i}" for i in range(n)])
    windows = Windows(values=values, channels=("a", "b"), units=("g", "g"), rate_hz=None, labels=np.zeros(n, dtype=int),
        class_names=("x",), subjects=empty, recordings=empty, start=np.zeros(n, dtype=int), stop=np.ones(n, dtype=int),
        ids=text)
    tsimage.convert(windows, top / "whole", Imager(size=4))
    for sync in ("fdatasync", "fsync"):  # a kill loses nothing that was written, so they need not wait for the disk
        setattr(os, sync, lambda _: None)

    def content(store):
        return {p.name: p.read_bytes() for p in store.iterdir()}

    def child(folder, seed):
        pid = os.fork()
        if pid:
            return pid
        code, chance, paint = 1, random.Random(seed), Imager.__call__
        def painting(self, x, *args, **kwargs):
            result = paint(self, x, *args, **kwargs)
            time.sleep(chance.random() * 0.004)
            with (folder / "painted").open("a") as file:
                file.write(".")
            return result
        Imager.__call__ = painting
        try:
            time.sleep(chance.random() * 0.03)
            tsimage.convert(windows, folder / "out", Imager(size=4), share=True)
            code = 0
        finally:
            os._exit(code)

    expected, chance, rounds = content(top / "whole"), random.Random(1), []
    for turn in range(30):
        folder = Path(tempfile.mkdtemp(dir=top))
        pids = [child(folder, 10 * turn + k) for k in range(4)]
        for pid in pids[: turn % 3]:
            time.sleep(chance.random() * 0.05)
            os.kill(pid, signal.SIGKILL)  # it is there until it is waited for
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        rounds.append({"killed": codes.count(-9), "failed": len([c for c in codes if c not in (0, -9)]),
            "same": content(folder / "out") == expected, "left": sorted(p.name for p in folder.iterdir()),
            "painted": len((folder / "painted").read_text())})
    print(json.dumps(rounds))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_four_processes_of_which_any_are_killed_make_what_one_makes(tmp_path, repository):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLER), tmp_path],
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)
    assert sum(turn["killed"] for turn in rounds) > 5
    for turn in rounds:
        assert turn["same"], turn
        assert turn["failed"] == 0, (turn, done.stderr)
        assert turn["left"] == ["out", "painted"], turn
        assert 9 <= turn["painted"] <= 9 + 2 * turn["killed"], turn  # a killed one had painted two that were not noted


def test_who_does_not_share_and_who_makes_something_else_is_kept_out(command, tmp_path, whole):
    (tmp_path / "hold-a").touch()
    first = command("--share", worker="a")
    wait_for((tmp_path / f"at-{first.pid}").exists)
    code, _, errors = end(command())
    occupied = "tsimage: another process is making 'out': wait until it has finished, or choose another output\n"
    assert (code, errors) == (2, occupied)
    code, _, errors = end(command("--share", stack="gadf"))
    assert (code, errors) == (
        2,
        "tsimage: other processes are making 'out' with other recipe, shape, chunks: wait until they have finished, or choose "
        "another output\n",
    )
    (tmp_path / "hold-a").unlink()
    assert end(first)[0] == 0
    assert content(tmp_path / "out") == whole
    # and the other way round
    (tmp_path / "hold-").touch()
    alone = command(output="new")
    wait_for((tmp_path / f"at-{alone.pid}").exists)
    code, _, errors = end(command("--share", output="new", worker="b"))
    assert (code, errors) == (2, occupied.replace("'out'", "'new'"))
    (tmp_path / "hold-").unlink()
    assert end(alone)[0] == 0
    assert left(tmp_path) == ["new", "out"]


def test_a_failure_is_the_others_chance_and_leaves_nothing_where_nothing_was_done(many, tmp_path, monkeypatch):
    monkeypatch.setattr(Imager, "__call__", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tsimage.convert(many, tmp_path / "out", SMALL, share=True)
    assert list(tmp_path.iterdir()) == []


def test_shared_progress_is_that_of_all(many, tmp_path):
    told = []
    tsimage.convert(many, tmp_path / "out", SMALL, share=True, on_progress=lambda *now: told.append(now))
    assert told == [(n, 43) for n in (5, 10, 15, 20, 25, 30, 35, 40, 43)]


def test_overwrite_replaces_a_store_of_something_else(many, tmp_path):
    tsimage.convert(many, tmp_path / "out", Imager(size=4))
    store = tsimage.convert(many, tmp_path / "out", SMALL, share=True, overwrite=True)
    np.testing.assert_array_equal(store.images, SMALL(many))
    with pytest.raises(tsimage.UserError, match="exists already"):
        tsimage.convert(dataclasses.replace(many, values=many.values + 1), tmp_path / "out", SMALL, share=True)


def test_a_file_system_without_locks_is_said(many, tmp_path, monkeypatch, says):
    def _no_locks(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("tsimage.sharing.fcntl.flock", _no_locks)
    with says(
        f"'{tmp_path / 'out'}' cannot be made by several processes, as its file system has no locks: choose another, or one "
        "process"
    ):
        tsimage.convert(many, tmp_path / "out", SMALL, share=True)


def test_a_torn_line_does_not_spoil_the_next_one(tmp_path):
    def opened():
        return JournalledImages((tmp_path / "images").open("r+b", buffering=0), 0, 4, tmp_path / "journal")

    (tmp_path / "images").touch()
    here, there = opened(), opened()
    here.write(Chunk(0, 0, 1), np.zeros(1, np.float32))
    there.look()
    assert set(there.done) == {0}
    with (tmp_path / "journal").open("a") as journal:
        journal.write('{"chunk": 1, "st')
    there.look()
    here.write(Chunk(2, 2, 3), np.zeros(1, np.float32))
    there.look()
    assert set(there.done) == {0, 2}
    assert there.done == here.done
    here.file.close()
    there.file.close()


def test_launched_workers_paint_what_one_process_paints(command, whole, tmp_path):
    code, said, errors = end(command("--workers", "2", "--threads", "1"))
    assert code == 0, errors
    assert said.splitlines()[0] == "2 workers (local) paint 'out'; what they say is in '.out.workers'"
    assert said.splitlines()[1].startswith("out: 43 images of 8 x 8")
    assert content(tmp_path / "out") == whole
    assert len(painters(tmp_path)) == 9
    assert len(set(painters(tmp_path))) == 2
    assert left(tmp_path) == ["out"]


def test_a_killed_worker_costs_no_more_than_its_chunk(command, whole, tmp_path):
    (tmp_path / "hold-1").touch()
    parent = command("--workers", "2")
    wait_for(lambda: (tmp_path / "painted").exists() and len(painters(tmp_path)) == 8)
    (killed,) = {p.name[3:] for p in tmp_path.glob("at-*")} - set(painters(tmp_path))
    (tmp_path / "hold-1").unlink()
    os.kill(int(killed), signal.SIGKILL)
    code, _, errors = end(parent)
    assert code == 0, errors
    assert content(tmp_path / "out") == whole
    assert len(painters(tmp_path)) == 9
    assert killed not in painters(tmp_path)
    assert left(tmp_path) == ["out"]


def test_an_interrupted_parent_ends_its_workers_and_the_same_command_continues(command, whole, tmp_path):
    (tmp_path / "hold-1").touch()
    parent = command("--workers", "2")
    wait_for(lambda: (tmp_path / "painted").exists() and len(painters(tmp_path)) >= 3)
    parent.send_signal(signal.SIGTERM)
    assert end(parent)[0] == 143
    assert not any(lives(int(p.name[3:])) for p in tmp_path.glob("at-*"))
    assert left(tmp_path) == [".out.partial", ".out.workers"]
    (tmp_path / "hold-1").unlink()
    code, _, errors = end(command("--workers", "2"))
    assert code == 0, errors
    assert content(tmp_path / "out") == whole
    assert left(tmp_path) == ["out"]


def test_what_is_wrong_for_all_workers_is_said_in_one_sentence(command, tmp_path):
    code, _, errors = end(command("--workers", "2", "--channels", "nose"))
    assert code == 2
    log = ".out.workers/logs/worker-0.log"
    assert errors.startswith("tsimage: worker 0 ended with code 2 (see '")
    assert f"{log}'); it said: tsimage: " in errors
    assert "nose" in errors
    assert errors.count("\n") == 1
    assert left(tmp_path) == [".out.workers"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--workers", "2", "--output-format", "npz"],
            "output-format npz is written by one process: leave out --share, --launch and --workers, or make a store",
        ),
        (
            ["--share", "--output-format", "png"],
            "output-format png is written by one process: leave out --share, --launch and --workers, or make a store",
        ),
        (["--threads", "2"], "threads and gpus are of several workers: give --workers as well, or leave them out"),
        (["--workers", "2", "--gpus", "1"], "gpus 1 has no meaning here, as images are painted on CPUs: leave it out"),
        (["--ray", "head:1"], "ray has no meaning with launch local: leave it out, or choose launch ray"),
    ],
)
def test_options_without_a_meaning_are_refused(options, words, tmp_path, capsys):
    from tsimage.cli import main

    with pytest.raises(SystemExit) as caught:
        main(["convert", "basic-motions", str(tmp_path / "out"), *options])
    assert caught.value.code == 2
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_workers_paint_with_their_share_of_the_cores(monkeypatch):
    from tsimage.painting import cores

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    for said, n in [("3", 3), ("20", 8), ("", 8), ("0", 1)]:
        monkeypatch.setenv("TSIMAGE_THREADS", said)
        assert cores() == n
