"""Locks between processes."""

import threading
import time

import pytest

from tsimage.locks import claimed, is_held, locked

pytest.importorskip("fcntl", reason="this system has no locks on files")


def test_a_lock_is_held_until_its_block_ends_and_its_file_stays(tmp_path):
    path = tmp_path / "made" / "lock"
    assert not is_held(path)
    with claimed(path) as mine:
        assert mine
        assert is_held(path)
    assert not is_held(path)
    assert path.read_bytes() == b""


def test_looking_neither_takes_a_lock_nor_is_in_the_way_of_who_looks_too(tmp_path):
    path = tmp_path / "lock"
    with claimed(path):
        assert is_held(path)
        assert is_held(path)
    with claimed(path) as mine:
        assert mine


def test_patience_outlasts_who_only_looks(tmp_path):
    path, held = tmp_path / "lock", threading.Event()

    def look():
        with locked(path):
            held.set()
            time.sleep(0.05)

    looker = threading.Thread(target=look)
    looker.start()
    held.wait(10)
    with claimed(path) as mine:
        assert not mine
    with claimed(path, patience_s=30) as mine:
        assert mine
    looker.join()


def test_patience_ends(tmp_path):
    path = tmp_path / "lock"
    with locked(path), claimed(path, patience_s=0.02) as mine:
        assert not mine
