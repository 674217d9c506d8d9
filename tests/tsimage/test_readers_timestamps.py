import numpy as np
import pandas as pd
import pytest

from tsimage.readers.timestamps import seconds


def read(cells, unit=None, decimal="."):
    return seconds(pd.Series(cells, name="t"), np.arange(2, 2 + len(cells)), "a.csv", unit, decimal).tolist()


@pytest.mark.parametrize(
    "cells",
    [
        ["2024-05-01 12:00:00.5", "2024-05-01 12:00:01.75"],
        ["2024-05-01T12:00:00,5", "2024-05-01T12:00:01,75"],
        ["2024-05-01 12:00:00:500", "2024-05-01 12:00:01:750"],
        ["2024/05/01 12:00:00.5", "2024/05/01 12:00:01.75"],
        ["20240501T120000.5", "20240501T120001.75"],
        ["2024-05-01T12:00:00.5Z", "2024-05-01T14:00:01.75+02:00"],
        pd.to_datetime(["2024-05-01 12:00:00.5", "2024-05-01 12:00:01.75"]),
    ],
)
def test_dates_are_seconds_since_the_first(cells):
    assert read(cells) == [0, 1.25]


def test_the_time_of_day_is_seconds_since_midnight():
    assert read(["0:00:01.5", "23:59:59", "25:61:00"])[:2] == [1.5, 86399]
    assert read(["12:00:00,5", "12:00:01,0"]) == [43200.5, 43201]


@pytest.mark.parametrize(("unit", "factor"), [(None, 1), ("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)])
def test_numbers_have_a_unit(unit, factor):
    assert read(["5", "x", "7.5", ""], unit)[::2] == [5 * factor, 7.5 * factor]
    assert np.isnan(read(["5", "x", "7.5", ""], unit)[1::2]).all()


def test_a_decimal_comma_and_durations():
    assert read(["0,5", "1,25", "1.5"], decimal=",")[:2] == [0.5, 1.25]
    assert read(pd.to_timedelta([1, 3], unit="s")) == [1, 3]


def test_a_first_cell_that_is_faulty_does_not_decide():
    assert read(["2024-05-01", "1", "2", "3"])[1:] == [1, 2, 3]
    assert np.isnan(read(["2024-05-01", "1", "2", "3"])[0])
    times = read(["1", "2024-05-01T00:00:01", "2024-05-01T00:00:03"])
    assert np.isnan(times[0])
    assert times[1:] == [0, 2]


def test_a_date_that_may_be_two_is_refused(says):
    with says(
        "a.csv, line 3: day and month of the time '01/05/2024 12:00' cannot be told apart: write dates as 2024-12-31 "
        "23:59:59.999, or seconds as numbers"
    ):
        read(["", "01/05/2024 12:00", "01/05/2024 12:01"])


def test_a_unit_is_for_numbers(says):
    with says("a.csv: time-unit ms is for numbers, but column 't' holds dates: leave it out"):
        read(["2024-05-01T12:00:00", "2024-05-01T12:00:01"], "ms")
