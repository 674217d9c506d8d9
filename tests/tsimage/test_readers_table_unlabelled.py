"""Tables of which nobody knows the classes: label ''."""

import numpy as np
import pytest

import tsimage
from tsimage.datasets import read
from tsimage.readers import ReadOptions
from tsimage.readers.table import columns_of

OPTIONS = {"channels": ("x",), "rate": 10.0}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "walk.csv"
    path.write_text("x,what\n" + "".join(f"{i},{'' if i < 3 else 'walk'}\n" for i in range(12)))
    return path


def test_all_samples_are_read_and_none_has_a_label(table):
    content = read(table, ReadOptions(**OPTIONS, label="")).content
    (recording,) = content.recordings
    np.testing.assert_array_equal(recording.values, np.arange(12, dtype=np.float32)[None])
    assert (recording.segments, recording.breaks, content.class_names) == ((), (), ())
    assert content.report.rows_kept == 12


def test_windows_need_labels(table, says):
    with says("walk: no sample of the 1 recordings has a label: label them"):
        tsimage.load(table, **OPTIONS, label="", window="4")


def test_without_the_option_the_label_is_asked_for(table, says):
    with says(f"{table}: name the columns of the label (options channels and label): the columns are x, what"):
        tsimage.load(table, **OPTIONS, window="4")


def test_the_label_is_told_once(table, says):
    with says(f"{table}: the label is told twice, by path-pattern '{{label}}.csv' and by column '': keep one of them"):
        read(table, ReadOptions(**OPTIONS, label="", path_pattern="{label}.csv"))


def test_columns_of_a_table_a_folder_and_nothing(table, tmp_path):
    assert columns_of(table) == columns_of(tmp_path) == ("x", "what")
    (tmp_path / "empty").mkdir()
    assert columns_of(tmp_path / "empty") == ()
