import dataclasses
import errno
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import tsimage
from tests.tsimage.test_conversion import SMALL, contents
from tsimage import Imager, chunks


def test_a_failure_before_the_first_chunk_leaves_nothing(many, tmp_path, painted):
    painted.fail_at = {1: RuntimeError("the disk broke")}
    with pytest.raises(RuntimeError, match="the disk broke"):
        tsimage.convert(many, tmp_path / "out", SMALL)
    assert contents(tmp_path) == []


def test_a_failure_later_is_continued_by_the_same_call(many, tmp_path, painted):
    said = []
    painted.fail_at = {4: RuntimeError("the memory broke")}
    with pytest.raises(RuntimeError, match="the memory broke"):
        tsimage.convert(many, tmp_path / "out", SMALL, say=said.append)
    assert contents(tmp_path) == [".out.partial"]
    assert said[1:] == [
        f"What is finished is kept in '{tmp_path / '.out.partial'}': the same command continues from there"
    ]
    told = []
    said.clear()
    store = tsimage.convert(many, tmp_path / "out", SMALL, say=said.append, on_progress=lambda *x: told.append(x))
    assert said[1:] == ["Continuing an unfinished conversion: 3 of 5 chunks are done"]
    assert told == [(5, 23), (10, 23), (15, 23), (20, 23), (23, 23)]
    assert painted.counts == [5, 5, 5, 5, 5, 3]  # three done, one failed, two more
    assert contents(tmp_path) == ["out"]
    tsimage.convert(many, tmp_path / "whole", SMALL)
    for name in contents(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    np.testing.assert_array_equal(store.images, SMALL(many))


def test_an_interruption_keeps_the_work_and_the_old_store_whole(many, tmp_path):
    tsimage.convert(many.select([0, 1]), tmp_path / "out", SMALL)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    def _interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tsimage.convert(many, tmp_path / "out", SMALL, overwrite=True, on_progress=_interrupt)
    assert contents(tmp_path) == [".out.partial", "out"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    # still refused without overwrite, and the work is not lost by asking
    with pytest.raises(tsimage.UserError, match="exists already"):
        tsimage.convert(many, tmp_path / "out", SMALL)
    said = []
    store = tsimage.convert(many, tmp_path / "out", SMALL, overwrite=True, say=said.append)
    assert said[1].startswith("Continuing an unfinished conversion: ")
    np.testing.assert_array_equal(store.images, SMALL(many))
    assert contents(tmp_path) == ["out"]


def unfinished(many, output, painted, imager=SMALL, at=4):
    """Leave a conversion behind that failed at a chunk."""
    painted.counts.clear()
    painted.fail_at = {at: RuntimeError("stop")}
    with pytest.raises(RuntimeError, match="stop"):
        tsimage.convert(many, output, imager)
    painted.counts.clear()
    painted.fail_at = {}


@pytest.mark.parametrize("other", ["recipe", "windows", "version of tsimage"])
def test_unfinished_work_of_another_kind_is_discarded_and_said(many, tmp_path, painted, monkeypatch, other):
    unfinished(many, tmp_path / "out", painted)
    windows, imager = many, SMALL
    if other == "recipe":
        imager = dataclasses.replace(SMALL, segmentation="truncate")
    elif other == "windows":
        values = many.values.copy()
        values[22, 1, 11] += 1
        windows = dataclasses.replace(many, values=values)
    else:
        monkeypatch.setattr(tsimage, "__version__", "99")
    said = []
    store = tsimage.convert(windows, tmp_path / "out", imager, say=said.append)
    assert said[1:] == [f"Discarded an unfinished conversion in '{tmp_path / '.out.partial'}', which has other {other}"]
    assert painted.counts == [5, 5, 5, 5, 3]
    np.testing.assert_array_equal(store.images, imager(windows))


def test_a_torn_line_of_the_journal_counts_as_not_written(many, tmp_path, painted):
    unfinished(many, tmp_path / "out", painted)
    journal = tmp_path / ".out.partial" / "chunks.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    said = []
    store = tsimage.convert(many, tmp_path / "out", SMALL, say=said.append)
    assert said[1:] == ["Continuing an unfinished conversion: 2 of 5 chunks are done"]
    assert painted.counts == [5, 5, 3]
    np.testing.assert_array_equal(store.images, SMALL(many))


def test_a_finished_chunk_that_was_damaged_since_is_painted_anew(many, tmp_path, painted):
    unfinished(many, tmp_path / "out", painted)
    path = tmp_path / ".out.partial" / "made" / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1 - 5 * 1024] ^= 1  # the last byte of the second chunk, of three
    path.write_bytes(content)
    said = []
    store = tsimage.convert(many, tmp_path / "out", SMALL, say=said.append)
    assert said[1:] == ["Continuing an unfinished conversion: 2 of 5 chunks are done, 1 are damaged and painted anew"]
    np.testing.assert_array_equal(store.images, SMALL(many))
    assert store.verify()


def test_a_full_disk_is_one_sentence_and_the_work_is_kept(many, tmp_path, monkeypatch, says):
    calls = []

    def _full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", _full)
    monkeypatch.setattr("tsimage.manifest.labels_bytes", lambda windows: 0)
    monkeypatch.setattr("tsimage.conversion.labels_bytes", lambda windows: 0)
    n_bytes = 23 * (1024 + 16) + 5 * 100 + 4096
    there = 3 * 5 * 1024 + 128
    with says(
        f"the disk that holds '{tmp_path / 'out'}' is full: {(n_bytes - there) / 1000:.1f} kB ({n_bytes - there:,} bytes) "
        f"more are needed: make room and repeat the command; what is finished is kept in '{tmp_path / '.out.partial'}'"
    ):
        tsimage.convert(many, tmp_path / "out", SMALL)
    monkeypatch.undo()
    said = []
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5 * 1024)
    store = tsimage.convert(many, tmp_path / "out", SMALL, say=said.append)
    assert said[1] == "Continuing an unfinished conversion: 2 of 5 chunks are done"
    np.testing.assert_array_equal(store.images, SMALL(many))


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_a_second_process_with_one_output_is_refused_in_one_sentence(many, tmp_path, says, repository):
    many.save(tmp_path / "w.npz")
    code = """
        import sys, tsimage
        def hold(done, total):
            print("painting", flush=True)
            sys.stdin.read()
        tsimage.convert(sys.argv[1], sys.argv[2], tsimage.Imager(size=4), on_progress=hold)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), tmp_path / "w.npz", tmp_path / "out"]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as first:
        assert first.stdout.readline() == "painting\n"
        before = sorted(p.name for p in (tmp_path / ".out.partial").rglob("*"))
        with says(
            f"another process is making '{tmp_path / 'out'}': wait until it has finished, or choose another output"
        ):
            tsimage.convert(many, tmp_path / "out", Imager(size=4), overwrite=True)
        assert sorted(p.name for p in (tmp_path / ".out.partial").rglob("*")) == before
        first.stdin.close()
        assert first.wait() == 0
    np.testing.assert_array_equal(tsimage.open_store(tmp_path / "out").images, Imager(size=4)(many))
    assert contents(tmp_path) == ["out", "w.npz"]


def test_a_working_folder_that_is_not_ours_is_left_alone(many, tmp_path, says):
    folder = tmp_path / ".out.partial"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    with says(
        f"'{folder}' is needed to make '{tmp_path / 'out'}' but holds 'thesis.txt': move it away, or choose another output"
    ):
        tsimage.convert(many, tmp_path / "out", SMALL)
    assert (folder / "thesis.txt").read_text() == "precious"


def test_a_store_moved_aside_by_a_killed_process_comes_back(make_windows, tmp_path):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    before = (tmp_path / "out" / "images.npy").read_bytes()
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / "out").rename(tmp_path / ".out.partial" / "replaced")
    with pytest.raises(tsimage.UserError, match="exists already"):
        tsimage.convert(make_windows(), tmp_path / "out", Imager(size=4))
    assert (tmp_path / "out" / "images.npy").read_bytes() == before
    assert contents(tmp_path) == ["out"]
