import pytest

import tsimage
from tests.tsimage.test_readers_table import TIMED, seen


def test_a_gap_in_time_ends_a_window(csv):
    path = csv("t,x,y", "0,0,a", "0.5,1,a", "1,2,a", "2.5,3,a", "3,4,a", "3.5,5,a")
    windows = tsimage.load(path, **TIMED)
    assert windows.rate_hz == 2
    assert [i for i, _, _ in seen(windows)] == ["a:0-2", "a:3-5"]


def test_jitter_below_half_an_interval_is_no_gap(csv):
    path = csv("t,x,y", "0,0,a", "1.0,1,a", "2.4,2,a", "3.0,3,a", "4.0,4,a")
    assert tsimage.load(path, **TIMED | {"window": "5"}).ids.tolist() == ["a:0-5"]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6), ("ns", 10**9)])
def test_time_units_set_the_rate(csv, unit, factor):
    rows = [f"{round(k * 0.02 * factor, 6):g},{k},a" for k in range(5)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED, time_unit=unit)
    assert windows.rate_hz == 50


@pytest.mark.parametrize("zone", ["", "Z", "+02:00"])
def test_iso_dates_are_time(csv, zone):
    rows = [f"2024-02-28T23:59:{59.5 + k * 0.25:.2f}{zone},{k},a" for k in range(2)]
    rows += [f"2024-02-29T00:00:{k * 0.25:05.2f}{zone},{2 + k},a" for k in range(3)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED)
    assert windows.rate_hz == 4
    assert windows.values[:, 0].tolist() == [[0, 1], [2, 3]]


def test_interleaved_subjects_each_keep_their_own_clock(csv):
    path = csv("t,x,y,who", "0,0,a,1", "0,9,a,2", "1,1,a,1", "1,8,a,2")
    assert tsimage.load(path, **TIMED, subject="who").values[:, 0].tolist() == [[0, 1], [9, 8]]


def test_a_rate_that_contradicts_the_time_column_is_refused(csv, says):
    path = csv("t,x,y", *[f"{20 * k},{k},a" for k in range(6)])
    with says(
        f"{path}: the time column runs at 0.05 Hz but rate says 50 Hz: check the unit of the time (option time-unit) or "
        "the rate, resample the file, or leave it out"
    ):
        tsimage.load(path, **TIMED, rate=50)
    assert tsimage.load(path, **TIMED, rate=50, time_unit="ms").rate_hz == 50


def test_a_rate_given_beside_a_clock_that_agrees_is_the_rate(csv):
    path = csv("t,x,y", *[f"{k / 49.5:.6f},{k},a" for k in range(6)])
    assert tsimage.load(path, **TIMED, rate=50).rate_hz == 50


def test_milliseconds_that_were_not_stated_are_suspected(csv, says):
    path = csv("t,x,y", "0,1,a", "20,2,a", "40,3,a")
    with says(
        f"{path}: the time column would run at 0.05 Hz if it were in seconds: state its unit (option time-unit ms, us or ns; "
        "s if it is true)"
    ):
        tsimage.load(path, **TIMED)
    assert tsimage.load(path, **TIMED, time_unit="ms").rate_hz == 50
    assert tsimage.load(path, **TIMED, time_unit="s").rate_hz == 0.05


def test_measured_rates_are_stated_in_one_sentence(csv, tmp_path):
    def notes(**options):
        return [n for n in tsimage.load(tmp_path / "set", **TIMED, **options).read_report.notes if "Hz" in n]

    for name, hz in {"p": 50, "q": 50.5, "r": 49}.items():
        csv("t,x,y", *[f"{k / hz:.6f},{k},a" for k in range(100)], name=f"set/{name}.csv")
    assert notes(rate=50) == ["q and 1 more: the clocks run at 49 to 50.5 Hz, stated is 50 Hz"]
    for name in "qr":
        (tmp_path / "set" / f"{name}.csv").unlink()
    assert notes(rate=50) == []
    assert notes() == ["rate measured: 50 Hz"]
    assert notes(rate=49) == ["p: the clock runs at 50 Hz, stated is 49 Hz"]


def test_the_unit_of_dates_is_no_guess(csv):
    rows = [f"2024-05-01 12:{i:02}:00,{i},a" for i in range(4)]
    windows = tsimage.load(csv("t,x,y", *rows), **TIMED)
    assert windows.rate_hz == pytest.approx(1 / 60, rel=1e-3)
    assert len(windows) == 2
