import json
import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_killed_at_any_moment_it_ends_as_the_uninterrupted_one(tmp_path, repository):
    """Kill at every write, sync, rename and painted chunk; then continue, and see what was painted when."""
    done = subprocess.run(
        [sys.executable, "-c", KILLER, tmp_path],
        env=os.environ | {"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert len(report["kills"]) > 20
    assert len({kill["event"] for kill in report["kills"]}) > 5
    seen = set()
    for kill in report["kills"]:
        assert kill["same"], kill
        finished, again = set(kill["finished"]), kill["painted again"]
        assert finished & set(again) == set(), kill  # nothing twice
        assert finished | set(again) == {0, 5, 10, 15, 20} or kill["published"], kill  # nothing missing
        assert len(again) == len(set(again)), kill
        assert kill["left"] == ["out"], kill
        seen.add(len(finished))
    assert {0, 1, 3, 5} <= seen


KILLER = """
import json, os, signal, sys, tempfile
from pathlib import Path
import numpy as np
import tsimage
from tsimage import chunks, journal, unfinished
from tsimage.imager import Imager
from tsimage.windows import Windows

top = Path(sys.argv[1])
n = 23
chunks.CHUNK_BYTES = 5 * 2 * 4 * 4 * 4
values = np.random.default_rng(0).normal(size=(n, 2, 12)).astype(np.float32)
values[:, 0, 0] = np.arange(n) / 100  # tells which windows are painted
empty, text = np.full(n, ""), np.array([f"w{i}" for i in range(n)])
windows = Windows(values=values, channels=("a", "b"), units=("g", "g"), rate_hz=None, labels=np.zeros(n, dtype=int),
    class_names=("x",), subjects=empty, recordings=empty, start=np.zeros(n, dtype=int), stop=np.ones(n, dtype=int), ids=text)

tsimage.convert(windows, top / "first", Imager(size=4))  # what is loaded and compiled now need not be in each child

def child(work):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]

def counted(folder, kill_at):
    record, events, paint = folder / "painted", [0], Imager.__call__
    def event(name):
        events[0] += 1
        if events[0] == kill_at:
            (folder / "event").write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)
    def painting(self, x, *args, **kwargs):
        event("painting")
        result = paint(self, x, *args, **kwargs)
        with record.open("a") as file:
            file.write(f"{round(float(x[0, 0, 0]) * 100)}\\n")
        return result
    def around(owner, name):
        inner = getattr(owner, name)
        def outer(*args, **kwargs):
            event(f"before {name}")
            result = inner(*args, **kwargs)
            event(f"after {name}")
            return result
        setattr(owner, name, outer)
    Imager.__call__ = painting
    for sync in ("fdatasync", "fsync"):  # a kill loses nothing that was written, so they need not wait for the disk
        setattr(os, sync, lambda _: None)
        around(os, sync)
    write = journal.write_at
    def halfway(file, offset, data):
        write(file, offset, data[: len(data) // 2])
        event("halfway through a write")
        write(file, offset, data)
    journal.write_at = halfway
    around(unfinished, "clear")
    around(Path, "rename")
    around(Path, "replace")
    tsimage.convert(windows, folder / "to" / "out", Imager(size=4), overwrite=True)
    (folder / "events").write_text(str(events[0]))

def convert(folder, kill_at=0):
    status = child(lambda: counted(folder, kill_at))
    assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if kill_at else 0), status

def content(store):
    return {p.name: p.read_bytes() for p in store.iterdir()}

def lines(path):
    return [int(line) for line in path.read_text().split()] if path.exists() else []

whole = top / "whole"
whole.mkdir()
convert(whole)
expected, n_events = content(whole / "to" / "out"), int((whole / "events").read_text())
kills = []
for old in (False, True):
    # with an old store in the way only the end is different
    for kill_at in range(n_events - 8, n_events + 3) if old else range(1, n_events + 1, 3):
        folder = Path(tempfile.mkdtemp(dir=top))
        (folder / "to").mkdir()
        if old:
            assert child(lambda: tsimage.convert(windows.select([0]), folder / "to" / "out", Imager(size=4))) == 0
        convert(folder, kill_at)
        noted = folder / "to" / ".out.partial" / "chunks.jsonl"
        finished = []
        for line in noted.read_bytes().split(b"\\n")[:-1] if noted.exists() else []:
            finished.append(json.loads(line)["start"])
        out = folder / "to" / "out"
        published = out.exists() and content(out) == expected
        assert published or not old or not out.exists() or len(tsimage.open_store(out)) == 1
        (folder / "painted").unlink(missing_ok=True)
        convert(folder)
        kills.append({"event": (folder / "event").read_text(), "finished": [] if published else finished,
            "published": published, "painted again": lines(folder / "painted"), "same": content(out) == expected,
            "left": sorted(p.name for p in (folder / "to").iterdir())})
print(json.dumps({"kills": kills}))
"""
