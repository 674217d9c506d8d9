import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tsimage
from tsimage.clock import timeline
from tsimage.ledger import Ledger
from tsimage.readers.table_recordings import repeated_rows


def read(times, rate_hz=None, strict=False, **options):
    """Read a clock whose rows stand on lines 1, 2, ...; returns it and the ledger."""
    ledger = Ledger(strict=strict)
    times = np.asarray(times, dtype=np.float64)
    clock = timeline(times, np.arange(1, len(times) + 1), "f", ledger, rate_hz=rate_hz, **options)
    return clock, ledger


def faults(ledger):
    """Return {kind: lines} of a ledger."""
    return {f.kind: f.lines.tolist() for f in ledger.faults}


def test_a_clean_clock_keeps_every_row():
    clock, ledger = read(np.arange(100) / 50)
    assert clock.kept.tolist() == list(range(100))
    assert (clock.rate_hz, clock.measured_hz) == (50.0, 50.0)
    assert clock.breaks.tolist() == []
    assert clock.kept.dtype == clock.breaks.dtype == np.int64
    assert ledger.faults == []


@pytest.mark.parametrize("rate", [20, 30, 50, 64, 100, 128, 256, 400])
@pytest.mark.parametrize("origin", [0, 1_700_000_000], ids=["from 0", "since 1970"])
def test_times_rounded_to_milliseconds_tell_the_rate(rate, origin):
    times = origin + np.round(np.arange(5000) / rate * 1000) / 1000
    clock, ledger = read(times)
    assert clock.rate_hz == pytest.approx(rate, rel=1e-3)
    assert ledger.faults == []
    assert len(clock.breaks) == 0


def test_a_step_of_just_one_and_a_half_is_no_gap():
    times = np.floor(np.arange(5000) * 2.5) / 1000  # 400 Hz: steps of 2 and 3 ms, their median is 2
    for origin in (0, 1_700_000_000):
        clock, ledger = read(origin + times)
        assert (clock.rate_hz, ledger.faults) == (400, [])
    late = np.cumsum([0.1] * 20 + [0.15] + [0.1] * 20)
    for origin in range(1_700_000_000, 1_700_000_050):
        assert read(origin + late)[1].faults == []


def test_a_stated_rate_settles_times_that_are_rounded_too_coarsely():
    times = np.floor(np.arange(700) / 70 * 100) / 100  # steps of 1 and 2 ticks: their median is 1
    clock, ledger = read(times, rate_hz=70)
    assert (clock.rate_hz, clock.measured_hz) == (70, pytest.approx(70, rel=2e-3))
    assert ledger.faults == []
    times = np.round(np.arange(1280) / 128, 2)  # 22 % repeat
    clock, ledger = read(times, rate_hz=128)
    assert len(clock.kept) == 1280
    assert clock.measured_hz == pytest.approx(128, rel=2e-3)
    assert list(faults(ledger)) == ["coarse clock"]


def test_samples_that_come_late_and_are_caught_up_with_are_no_gaps():
    times = np.arange(1000) / 50
    times[10::10] += 0.8 / 50  # steps of 1.8 and 0.2 intervals
    clock, ledger = read(times)
    assert clock.rate_hz == pytest.approx(50, rel=1e-3)
    assert ledger.faults == []


def test_four_digits_of_a_jittered_clock():
    jitter = np.random.default_rng(0).uniform(-0.002, 0.002, 3001)
    clock, ledger = read(np.arange(3001) / 100 + jitter)
    assert clock.rate_hz == pytest.approx(100, rel=2e-4)
    assert clock.rate_hz == float(f"{clock.rate_hz:.4g}")
    assert ledger.faults == []


def test_each_fault_by_hand():
    #        1    2    3    4    5    6    7    8    9       10    11   12
    times = [0.0, 1.0, 1.0, 2.0, 1.5, 3.0, 4.0, 8.0, np.nan, 10.0, 9.5, np.inf]
    clock, ledger = read([*times, *np.arange(11.0, 41.0)])
    assert faults(ledger) == {"no time": [9, 12], "repeated time": [3], "backward time": [5, 11], "gap": [8, 10]}
    assert clock.kept.tolist() == [0, 1, 3, 5, 6, 7, 9, *range(12, 42)]
    assert clock.breaks.tolist() == [5, 6]
    assert [str(f) for f in ledger.faults] == [
        "f: rejected 2 x no time, line 9, 12",
        "f: rejected 2 x backward time, line 5, 11 ('1.5 s')",
        "f: rejected 1 x repeated time, line 3 ('1 s')",
        "f: noted 2 x gap, line 8, 10 ('4 s to 8 s; of 2 in this file the longest 4 s')",
    ]


def test_a_time_that_returns_to_where_it_was_is_repeated():
    clock, ledger = read([*np.arange(20.0), 17.5, 19.0, *np.arange(20.0, 40.0)])
    assert faults(ledger) == {"backward time": [21], "repeated time": [22]}
    assert len(clock.breaks) == 0


def test_a_few_rows_ahead_of_the_clock_are_strays():
    times = np.arange(50.0)
    times[20:23] += 1000
    clock, ledger = read(times)
    assert faults(ledger) == {"forward time": [21, 22, 23], "gap": [24]}
    assert clock.breaks.tolist() == [20]


@pytest.mark.parametrize(
    ("where", "kind", "lines"), [(slice(0, 3), "forward time", [1, 2, 3]), (slice(47, 50), "forward time", [])]
)
def test_strays_at_an_end(where, kind, lines):
    times = np.arange(50.0)
    times[where] += 1000
    _, ledger = read(times)
    assert faults(ledger).get(kind, []) == lines
    if not lines:  # nothing tells a stray from a gap where the recording ends
        assert faults(ledger) == {"gap": [48]}


def test_the_last_rows_going_back_are_strays():
    times = np.arange(50.0)
    times[48:] = [3.5, 4.5]
    clock, ledger = read(times)
    assert faults(ledger) == {"backward time": [49, 50]}
    assert len(clock.kept) == 48


def test_a_clock_that_is_set_back_and_runs_on_is_a_break():
    times = np.concatenate([np.arange(100, 150), np.arange(0, 60), np.arange(30, 80)]) / 50
    clock, ledger = read(times)
    assert clock.kept.tolist() == list(range(160))
    assert clock.breaks.tolist() == [50, 110]
    assert faults(ledger) == {"clock jump": [51, 111]}
    assert clock.rate_hz == 50


def test_a_clock_set_ahead_by_more_than_a_day_is_a_jump_and_less_is_a_gap():
    times = np.arange(60.0)
    times[20:] += 86_401
    times[40:] += 3600
    clock, ledger = read(times)
    assert faults(ledger) == {"gap": [41], "clock jump": [21]}
    assert clock.breaks.tolist() == [20, 40]


def test_a_stray_beside_a_set_clock():
    times = np.concatenate([np.arange(100.0, 130.0), [5000.0], np.arange(0.0, 30.0)])
    clock, ledger = read(times)  # nothing tells a stray there from a gap
    assert faults(ledger) == {"gap": [31], "clock jump": [32]}
    times = np.concatenate([np.arange(100.0, 130.0), [5.5], np.arange(0.0, 30.0)])
    clock, ledger = read(times)
    assert faults(ledger) == {"clock jump": [32], "forward time": [31]}
    assert clock.breaks.tolist() == [30]


def assert_increasing(times, clock):
    steps = np.diff(np.asarray(times)[clock.kept])
    inside = np.ones(len(steps), dtype=bool)
    inside[clock.breaks - 1] = False
    assert (steps[inside] > 0).all()


@st.composite
def planted(draw):
    """A clock of 50 Hz with faults far from one another and from the ends; returns it and the lines of each."""
    kinds = draw(st.lists(st.sampled_from(["no", "twice", "back", "ahead", "gap", "reset"]), max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    times, expected = list(np.arange(40) / 50), {}

    def run(start, n):
        times.extend(start + np.arange(1, n + 1) / 50)

    def expect(kind, n=1):
        expected.setdefault(kind, []).extend(range(len(times) + 1, len(times) + 1 + n))

    for kind in kinds:
        last, few = times[-1], int(rng.integers(1, 9))
        if kind == "no":
            expect("no time", few)
            times.extend([np.nan] * few)
        elif kind == "twice":
            expect("repeated time", few)
            times.extend([last] * few)
        elif kind == "back":
            expect("backward time", few)
            times.extend(last - rng.uniform(0.021, 0.5) + np.arange(few) / 5000)
        elif kind == "ahead":
            expect("forward time", few)
            times.extend(last + rng.uniform(1, 1e6) + np.arange(few) / 50)
        elif kind == "gap":
            expect("gap")
            last += rng.uniform(0.011, 1000)
        elif kind == "reset":
            expect("clock jump")
            last -= rng.uniform(1.5, 1e4)
        run(last, int(rng.integers(40, 80)))
    return np.array(times), expected


@given(planted())
def test_planted_faults_are_found_line_by_line(drawn):
    times, expected = drawn
    clock, ledger = read(times)
    assert faults(ledger) == expected
    rejected = {line for kind, lines in expected.items() if kind not in ("gap", "clock jump") for line in lines}
    assert (clock.kept + 1).tolist() == [line for line in range(1, len(times) + 1) if line not in rejected]
    assert (clock.kept[clock.breaks] + 1).tolist() == sorted(expected.get("gap", []) + expected.get("clock jump", []))
    assert clock.rate_hz == pytest.approx(50, rel=1e-3)
    assert_increasing(times, clock)


@given(
    st.lists(
        st.one_of(st.integers(-5, 30).map(float), st.floats(allow_nan=True, allow_infinity=True)),
        min_size=0,
        max_size=60,
    ),
    st.sampled_from([None, 1.0, 50.0]),
)
def test_any_times_are_read_or_refused(times, rate_hz):
    ledger = Ledger()
    try:
        clock = timeline(np.array(times, dtype=float), np.arange(len(times)), "f", ledger, rate_hz=rate_hz)
    except tsimage.UserError:
        return
    assert len(clock.kept) + ledger.report().rows_rejected == len(times)
    assert 0 < clock.rate_hz < np.inf
    assert (np.diff(clock.kept) > 0).all()
    assert ((clock.breaks > 0) & (clock.breaks < len(clock.kept))).all()
    assert len(clock.breaks) == sum(len(f.lines) for f in ledger.faults if f.kind in ("gap", "clock jump"))
    if "coarse clock" not in faults(ledger):
        assert_increasing(times, clock)


def test_batches_with_one_time_are_kept_and_spread():
    batches = np.repeat(np.arange(40) * 0.2, 10)  # 10 samples every 0.2 s
    batches[200:] += 5  # between batches 19 and 20
    clock, ledger = read(batches)
    assert clock.kept.tolist() == list(range(400))
    assert clock.rate_hz == 50
    assert clock.breaks.tolist() == [200]
    assert {kind: len(lines) for kind, lines in faults(ledger).items()} == {"coarse clock": 360, "gap": 1}
    assert faults(ledger)["coarse clock"][:3] == [2, 3, 4]
    assert faults(ledger)["gap"] == [201]


def test_whole_seconds_of_an_uneven_number_of_samples():
    times = np.floor(np.arange(0, 60, 1 / 31.25))
    clock, _ = read(times)
    assert clock.rate_hz == pytest.approx(31.25, rel=0.01)
    assert len(clock.breaks) == 0


@pytest.mark.parametrize(("repeats", "coarse"), [(33, False), (34, True)])
def test_a_quarter_of_repeated_times_is_the_limit(repeats, coarse):
    times = np.sort(np.concatenate([np.arange(100.0), np.arange(repeats)]))
    clock, ledger = read(times)
    assert list(faults(ledger)) == (["coarse clock"] if coarse else ["repeated time"])
    assert len(clock.kept) == (100 + repeats if coarse else 100)
    assert coarse or clock.rate_hz == 1


def test_one_time_for_all_rows_needs_a_rate(says):
    clock, ledger = read([7.0] * 5, rate_hz=50)
    assert (len(clock.kept), clock.rate_hz, clock.measured_hz) == (5, 50, None)
    assert faults(ledger) == {"coarse clock": [2, 3, 4, 5]}
    with says("f: a recording of 5 rows tells no rate: give the rate in Hz"):
        read([7.0] * 5)


def test_one_row_or_none_tells_no_rate(says):
    with says("f: a recording of 1 row tells no rate: give the rate in Hz"):
        read([3.0])
    with says("f: a recording of 0 rows tells no rate: give the rate in Hz"):
        read([np.nan, np.nan])
    assert read([3.0], rate_hz=5)[0].kept.tolist() == [0]
    assert read([np.nan], rate_hz=5)[0].kept.tolist() == []


def test_a_rate_that_the_clock_contradicts_is_refused(says):
    with says(
        "f: the time column runs at 100 Hz but rate says 50 Hz: check the unit of the time (option time-unit) or the rate, "
        "resample the file, or leave it out"
    ):
        read(np.arange(50) / 100, rate_hz=50)
    assert read(np.arange(50) / 51, rate_hz=50)[0].rate_hz == 50
    assert read(np.arange(50) / 51, rate_hz=50)[0].measured_hz == 51


def test_a_clock_that_differs_from_the_rate_stated_is_stated():
    assert read(np.arange(50) / 51, rate_hz=50)[1].notes == ["f: the clock runs at 51 Hz, stated is 50 Hz"]
    assert read(np.arange(50) / 50.2, rate_hz=50)[1].notes == []  # 0.4 %
    assert read(np.arange(50) / 51)[1].notes == []


def test_rows_with_one_missing_value_can_be_written_twice():
    values = np.array([[1, 1, 2, 2, 3], [np.nan, np.nan, 5, 5, 6]])
    times = np.array([0.0, 0, 1, 1, 2])
    assert repeated_rows(times, values).tolist() == [False, True, False, True, False]
    values[1, 3] = 7
    assert repeated_rows(times, values).tolist() == [False] * 5  # half of the repeated times are other samples
    assert repeated_rows(times, np.zeros((2, 5))).tolist() == [False] * 5
    assert repeated_rows(np.zeros(0), np.zeros((2, 0))).tolist() == []


def test_a_slow_clock_is_believed_only_in_a_stated_unit(says):
    assert read(np.arange(50) * 20)[0].rate_hz == 0.05
    with says(
        "f: the time column would run at 0.05 Hz if it were in seconds: state its unit (option time-unit ms, us or ns; s if it is true)"
    ):
        read(np.arange(50) * 20, unit_is_guessed=True)


def test_rows_out_of_order_are_refused(says):
    with says(
        "f, line 3: time goes from 10 s to 1 s, and back 29 times in 60 rows: rows of one recording must be in the order of "
        "time: sort them, or name the subject and recording columns"
    ):
        read(np.stack([np.arange(30.0), np.arange(10.0, 40.0)], axis=1).ravel())


def test_a_strict_ledger_stops_at_the_first_fault(says):
    with says(
        "f, line 3: repeated time ('1 s'): mend it, or pass faults 'reject' to leave out such rows and count them"
    ):
        read([0.0, 1.0, 1.0, 2.0], strict=True)


def test_the_real_clock_of_an_uneven_phone(data_dir):
    rows = (data_dir / "format-samples" / "wisdm-v1.1" / "head5.txt").read_text().splitlines()
    clock, ledger = read([float(row.split(",")[2]) * 1e-9 for row in rows])
    # steps of 99.9, 49.9, 110.1 and 110.0 ms
    assert clock.rate_hz == 10.81
    assert (clock.kept.tolist(), clock.breaks.tolist(), ledger.faults) == ([0, 1, 2, 3, 4], [], [])


@pytest.mark.parametrize("phase", [0.0, 0.5, 0.9])
def test_a_batch_that_the_recording_begins_within_does_not_count_for_the_rate(phase):
    times = np.floor(phase + np.arange(400) / 50)
    for stated in (None, 50.0):
        clock, _ = read(times, stated)
        assert clock.measured_hz == 50.0
        assert len(clock.kept) == 400


def test_a_batch_after_a_break_does_not_count_for_the_rate():
    clock, _ = read([0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 90, 91, 91, 91, 91, 92])
    assert clock.measured_hz == 4.0
    assert clock.breaks.tolist() == [10]
