from types import SimpleNamespace

import pytest

from tsimage import Imager, chunks


@pytest.fixture
def csv(tmp_path):
    """Write a csv of the given header and rows; return its path."""

    def _write(header, *rows, name="a.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return _write


@pytest.fixture
def many(make_windows, monkeypatch):
    """23 windows, in chunks of 5 when they are painted with 4 channels of 8 x 8 pixels."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 5 * 4 * 8 * 8 * 4 + 100)
    return make_windows(23, length=12)


@pytest.fixture
def painted(monkeypatch):
    """Record the number of windows in each painted chunk; an entry of `fail_at` (counted from 1) fails instead."""
    record = SimpleNamespace(counts=[], fail_at={})
    paint = Imager.__call__

    def _counting(self, x, *args, **kwargs):
        record.counts.append(len(x))
        if len(record.counts) in record.fail_at:
            raise record.fail_at[len(record.counts)]
        return paint(self, x, *args, **kwargs)

    monkeypatch.setattr(Imager, "__call__", _counting)
    return record
