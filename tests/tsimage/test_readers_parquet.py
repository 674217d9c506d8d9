import numpy as np
import pandas as pd
import pytest

import tsimage
from tests.tsimage.test_readers_table import READ, TIMED, rejected
from tsimage.readers import parquet


def test_parquet_equals_csv(csv, tmp_path):
    frame = pd.DataFrame(
        {"t": np.arange(8) / 4, "x": np.arange(8.0), "y": ["a"] * 4 + ["b"] * 4, "who": [1] * 4 + [2] * 4}
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    options = TIMED | {"subject": "who", "units": "g"}
    from_csv, from_parquet = (tsimage.load(tmp_path / f"a.{suffix}", **options) for suffix in ("csv", "parquet"))
    assert len(from_csv) == 4
    assert from_parquet.fingerprint() == from_csv.fingerprint()


def test_dates_in_parquet_are_time(tmp_path):
    stamps = pd.date_range("2024-01-01", periods=4, freq="20ms")
    pd.DataFrame({"t": stamps, "x": range(4), "y": ["a"] * 4}).to_parquet(tmp_path / "a.parquet")
    assert tsimage.load(tmp_path / "a.parquet", **TIMED).rate_hz == 50


def test_rows_of_parquet_are_counted_from_0(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"x": [0.0, 1.0, np.nan, np.inf, 4.0], "y": ["a", "a", "a", "a", None]}).to_parquet(path)
    windows = tsimage.load(path, **READ)
    assert rejected(windows) == [
        ("a.parquet", 2, "missing value"),
        ("a.parquet", 3, "infinite value"),
        ("a.parquet", 4, "no label"),
    ]


def test_parquet_that_holds_lists_or_claims_too_much_is_refused(tmp_path, says, monkeypatch):
    lists = tmp_path / "lists.parquet"
    pd.DataFrame({"x": [[1.0], [2.0]], "y": ["a", "a"]}).to_parquet(lists)
    with says(f"{lists}: column 'x' holds lists or records: write one value a cell"):
        tsimage.load(lists, **READ)
    bomb = tmp_path / "bomb.parquet"
    pd.DataFrame({"x": np.zeros(300_000), "y": np.zeros(300_000)}).to_parquet(bomb)
    monkeypatch.setattr(parquet, "_FREE_VALUES", 1_000)
    size = bomb.stat().st_size
    with says(
        f"{bomb}: claims 600,000 values in {size:,} bytes, allowed are 50 for each byte: save it anew without repetitions "
        "or leave it out"
    ):
        tsimage.load(bomb, **READ)


def test_labels_too_large_for_whole_numbers_are_names(tmp_path):
    pd.DataFrame({"x": [0.0, 1.0], "y": [1e19, 1e19]}).to_parquet(tmp_path / "a.parquet")
    assert tsimage.load(tmp_path / "a.parquet", **READ).class_names == ("1e+19",)


def test_the_index_that_pandas_stores_in_parquet_is_a_column(tmp_path):
    frame = pd.DataFrame({"x": [0.0, 1.0], "y": ["a", "a"]}, index=pd.Index([0.0, 0.5], name="t"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert tsimage.load(tmp_path / "a.parquet", **TIMED).rate_hz == 2


def test_text_of_parquet_that_is_no_utf8_makes_the_file_unreadable(tmp_path):
    pd.DataFrame({"x": range(4), "y": ["walk"] * 4}).to_parquet(
        tmp_path / "a.parquet", compression=None, use_dictionary=False
    )
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content.replace(b"\4\0\0\0walk", b"\4\0\0\0w\xffk!", 1))
    with pytest.raises(tsimage.UserError, match=r"not a readable table \(.*UTF8.*\): mend the file or leave it out"):
        tsimage.load(tmp_path / "a.parquet", channels="x", label="y", rate=50, window="2")
