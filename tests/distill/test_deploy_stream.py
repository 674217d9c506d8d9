import io
import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.cli import main
from distill.deploy.labelling import label
from distill.deploy.lines import LONGEST_LINE, Line, read_lines
from distill.deploy.model import open_model
from distill.deploy.reading import Reading
from distill.deploy.stream import Stream
from tests.distill.onnx_models import contract, write_model

WANTED = ("acc-x", "acc-y", "acc-z")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(write_model(tmp_path_factory.mktemp("models") / "m.onnx"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of windows of several lengths, odd and even."""
    folder = tmp_path_factory.mktemp("models")
    return {n: open_model(write_model(folder / f"{n}.onnx", contract(length=n))) for n in (5, 8, 17)}


def samples(n=100, seed=0):
    return (np.random.default_rng(seed).normal(size=(n, 3)) * 0.05 + [0.0, 0.6, 0.8]).astype(np.float32).round(4)


def answered(stream, rows):
    return [answer for row in rows if (answer := stream.push(row)) is not None]


@settings(max_examples=40)
@given(
    length=st.sampled_from([5, 8, 17]),
    hop=st.integers(1, 30),
    n=st.integers(17, 70),
    seed=st.integers(0, 9),
    missing=st.sets(st.integers(0, 69), max_size=3),
    gate=st.booleans(),
)
def test_a_stream_is_the_batch(models, tmp_path_factory, length, hop, n, seed, missing, gate):
    model, values = models[length], samples(n, seed)
    values[:: 1 + seed] *= 1 + seed
    values[n // 2 : n // 2 + 6, 1] = 2.0  # flat, and the end of a range
    frame = pd.DataFrame(values, columns=list(WANTED))
    frame.loc[[i for i in missing if i < n]] = np.nan
    path = tmp_path_factory.getbasetemp() / "stream.csv"
    frame.to_csv(path, index=True, index_label="number")
    (batch,) = label(model, str(path), Reading(rate=50.0), hop, gate=gate, say=lambda _: None)
    rows = [None if i in missing else row for i, row in enumerate(values)]
    found = answered(Stream(model, hop, gate=gate), rows)
    assert len(found) == len(batch.answers) == len(range(0, n - length + 1, hop))
    for one, other in zip(found, batch.answers, strict=True):
        assert (one.start, one.stop, one.seconds, one.label) == (other.start, other.stop, other.seconds, other.label)
        gone = any(one.start <= i < one.stop for i in missing)
        assert (one.label == "") == gone if not gate else (one.label == "") >= gone
        assert one.flags == other.flags or not gate
        if one.label:
            assert one.probability == pytest.approx(other.probability, abs=1e-6)
            assert one.energy == pytest.approx(other.energy, abs=1e-5)
            assert one.unknown == other.unknown


def test_an_answer_comes_with_the_last_sample_of_its_window(model):
    stream = Stream(model, 20)
    came = [i for i, row in enumerate(samples(80)) if stream.push(row) is not None]
    assert came == [15, 35, 55, 75]
    assert stream.n_samples == 80


def test_the_window_of_an_answer_is_never_older_than_it_says(model):
    values = samples(200, 3)
    stream = Stream(model, "0.1s")
    for answer in answered(stream, values):
        alone = model.predict(values[answer.start : answer.stop].T[None])
        assert answer.probability == pytest.approx(float(alone.probability[0]), abs=1e-6)


def test_torn_windows_have_no_label(model):
    stream = Stream(model, 4)
    found = []
    for i, row in enumerate(samples(60)):
        if i == 24:
            stream.tear()
        found.append(stream.push(row))
    found = [answer for answer in found if answer is not None]
    assert [a.flags for a in found] == ["break" if a.start < 24 < a.stop else "" for a in found]
    assert [a.label == "" for a in found] == [a.start < 24 < a.stop for a in found]


@pytest.mark.parametrize(
    ("spoil", "flags"),
    [
        (lambda v: v[:, 1].fill(0.6), "constant(acc-y)+stuck(acc-y)"),
        (lambda v: v[4:9, 0].fill(4.0), "saturated(acc-x)"),
        (lambda v: v[4:5, 2].fill(-4.9), "spike(acc-z)+out-of-range(acc-z)"),
    ],
)
def test_the_gate_keeps_labels_from_what_is_poor_unless_it_is_open(model, spoil, flags):
    values = samples(16)
    spoil(values)
    (kept,), (let,) = (answered(Stream(model, 16, gate=gate), values) for gate in (True, False))
    assert (kept.label, kept.probability, kept.energy, kept.unknown) == ("", None, None, None)
    assert kept.flags == let.flags == flags
    assert let.label == model.contract.classes[int(model.predict(values.T[None]).classes[0])]


def test_the_gate_is_closed_to_g_where_a_model_wants_another_unit(tmp_path):
    other = open_model(
        write_model(tmp_path / "m.onnx", contract(units=("m/s^2",) * 3, low=(-40.0,) * 3, high=(40.0,) * 3))
    )
    (found,) = answered(Stream(other, 16), samples(16))
    assert (found.label, found.flags) == ("", "wrong-unit(acc-x|acc-y|acc-z)")


def test_faults_that_the_gate_lets_pass_are_flagged_and_labelled(model):
    values = samples(16)
    values[7, 0] = 2.5
    (found,) = answered(Stream(model, 16), values)
    assert found.flags == "spike(acc-x)"
    assert found.label


def test_samples_that_are_none(model, says):
    stream = Stream(model)
    with says("sample 0 has shape (2,): give 3 values, of acc-x, acc-y, acc-z"):
        stream.push([1.0, 2.0])
    with says("sample 0, channel 'acc-y' is not finite: give None for a missing sample"):
        stream.push([1.0, 1e39, 2.0])
    assert stream.n_samples == 0


def lines(text, timed=False, channels=("x", "y"), rate_hz=50.0):
    said = []
    content = text if isinstance(text, bytes) else text.encode()
    return list(read_lines(io.BytesIO(content), channels, rate_hz, timed=timed, say=said.append)), said


def test_lines_are_samples_in_order():
    found, said = lines("1,2\n 3 , -4e-1\r\n5,6")
    assert found == [
        Line(number=1, seconds=None, values=(1.0, 2.0)),
        Line(number=2, seconds=None, values=(3.0, -0.4)),
        Line(number=3, seconds=None, values=(5.0, 6.0)),
    ]
    assert said == []


def test_a_header_names_the_channels():
    found, said = lines("\ufeffY, heart,X\n1,2,3\n")
    assert found == [Line(number=2, seconds=None, values=(3.0, 1.0))]
    assert said == ["Channels taken by name from Y, heart, X: X, Y"]
    assert lines("x,y\n1,2\n") == ([Line(number=2, seconds=None, values=(1.0, 2.0))], [])
    found, _ = lines("when,y,x\n0.5,2,3\n", timed=True)
    assert found == [Line(number=2, seconds=0.5, values=(3.0, 2.0))]


def test_a_header_without_the_channels_is_refused(says):
    with says(
        "the header: the model wants the channels x, y, and there is no y among x, z: name them so, or leave out the header "
        "and send them in this order"
    ):
        lines("x,z\n1,2\n")


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (b"", "empty line"),
        (b"1", "1 columns where 2 belong"),
        (b"1,2,3", "3 columns where 2 belong"),
        (b"1,", "'' is no number"),
        (b"1,two", "'two' is no number"),
        (b"1,nan", "'nan' is no number"),
        (b"1,1_0", "'1_0' is no number"),
        (b"1,\xff\xfe", "'\ufffd\ufffd' is no number"),
        (b"1,inf", "'inf' is infinite in float32"),
        (b"1e39,1", "'1e39' is infinite in float32"),
        (b"1,\x00", "'\x00' is no number"),
        (b"1," + b"9" * 3 * LONGEST_LINE, f"longer than {LONGEST_LINE:,} bytes"),
    ],
)
def test_a_malformed_line_is_a_missing_sample_and_the_next_is_read(bad, fault):
    found, _ = lines(b"1,2\n" + bad + b"\n3,4\n")
    assert [line.number for line in found] == [1, 2, 3]
    assert found[1] == Line(number=2, seconds=None, values=None, fault=fault)
    assert found[2].values == (3.0, 4.0)


@given(st.binary(max_size=200))
def test_whatever_comes_every_line_is_counted(content):
    content = b"1,2\n" + content
    found, _ = lines(content)
    assert len(found) == content.count(b"\n") + (not content.endswith(b"\n"))
    assert all((line.values is None) == bool(line.fault) for line in found)


def test_times_tell_what_was_lost_and_what_is_out_of_order():
    found, _ = lines("0.00,1,2\n0.02,1,2\n0.10,1,2\nx,1,2\n0.14,1,2\n0.13,1,2\n0.18,1,2\n", timed=True)
    assert [line.torn for line in found] == [False, False, True, False, False, False, False]
    assert [line.fault for line in found] == ["", "", "", "'x' is no number", "", "time 0.13 is not after 0.14", ""]
    assert [round(line.seconds, 3) for line in found] == [0.0, 0.02, 0.1, 0.12, 0.14, 0.16, 0.18]


@pytest.mark.parametrize("rate_hz", [25.0, 100.0, 5.0])
def test_times_of_another_rate_are_refused(says, rate_hz):
    with says(
        f"the times up to line 256 tell a rate of {rate_hz:g} Hz and the model wants 50 Hz: send samples at that rate, with "
        "times in seconds (distill predict resamples recordings)"
    ):
        lines("".join(f"{i / rate_hz:.4f},1,2\n" for i in range(300)), timed=True)


def test_the_rate_is_judged_before_the_first_window_is_full(run, model, tmp_path):
    longer = write_model(tmp_path / "long.onnx", contract(length=64))
    text = "".join(f"{i / 100:.2f},0.1,0.6,0.8\n" for i in range(200))
    out, err = run(text, "--time", model=longer, code=2)
    assert len(out) == 1
    assert err[0].startswith("distill: the times up to line 64 tell a rate of 100 Hz")


def test_a_clock_that_was_set_back_costs_one_sample_and_tears():
    times = ["9.96", "9.98", "0.00", "0.02", "0.04", "0.03", "0.06"]
    found, said = lines("".join(f"{t},1,2\n" for t in times), timed=True)
    assert [line.fault for line in found] == [
        *["", "", "time 0 is not after 9.98", "", "", "time 0.03 is not after 0.04", ""]
    ]
    assert [line.torn for line in found] == [False, False, False, True, False, False, False]
    assert said == ["line 4: the clock was set back from 9.98 to 0.02 s"]


def test_times_of_day_keep_their_digits(model):
    stream = Stream(model, 16)
    answer = [stream.push(row, 1700000000 + i / 50) for i, row in enumerate(samples(16))][-1]
    assert answer.cells()[2] == "1700000000"
    answer = [stream.push(row, 1700000000.32 + i / 50) for i, row in enumerate(samples(16))][-1]
    assert answer.cells()[2] == "1700000000.32"
    found, _ = lines("1700000000.02,1,2\n1700000000.01,1,2\n", timed=True)
    assert found[1].fault == "time 1700000000.01 is not after 1700000000.02"


def test_a_header_comes_before_the_first_sample_or_again():
    found, said = lines("boot v1.2\n\ny,x\n1,2\n3,4\nx,y\n5,6\nover,now\n")
    assert [(line.number, line.values, line.torn) for line in found] == [
        (1, None, False),
        (2, None, False),
        (4, (2.0, 1.0), False),
        (5, (4.0, 3.0), False),
        (7, (5.0, 6.0), True),
        (8, None, False),
    ]
    assert said == ["Channels taken by name from y, x: x, y"]


@pytest.mark.parametrize("text", ["0.5;1", "0,5;1", "0.5\t1", "1 2"])
def test_numbers_without_commas_are_refused_at_once(text, says):
    with says(f"line 1 has no commas between its numbers ('{text}'): put commas there, and points for decimals"):
        lines(text + "\n")


def test_times_that_jitter_are_of_the_right_rate():
    times = np.arange(600) / 50 + np.random.default_rng(0).uniform(0, 0.015, 600)
    found, _ = lines("".join(f"{t:.4f},1,2\n" for t in times), timed=True)
    assert not any(line.torn or line.fault for line in found)


class Endless(io.RawIOBase):
    """As many lines as asked for, none of which is kept."""

    def __init__(self, n):
        self.left = n

    def readline(self, limit=-1):
        self.left -= 1
        return b"0.1,0.6,0.8%d\n" % (self.left % 7) if self.left >= 0 else b""


def test_a_long_stream_needs_no_more_memory_than_a_short_one(model):
    def peak(n):
        stream = Stream(model, 64)
        tracemalloc.start()
        for line in read_lines(Endless(n), WANTED, 50.0, timed=False, say=str):
            stream.push(line.values, line.seconds)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert stream.n_samples == n
        return most

    peak(200)  # what is loaded and cached once
    assert peak(8000) < peak(500) + 10_000


@pytest.fixture
def run(model, monkeypatch, capsys):
    """Run the command on text; returns the lines of stdout and of stderr."""

    def _run(text, *options, model=model.path, code=None):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        arguments = ["stream", str(model), *options]
        if code is None:
            main(arguments)
        else:
            with pytest.raises(SystemExit) as left:
                main(arguments)
            assert left.value.code == code
        said = capsys.readouterr()
        return said.out.splitlines(), said.err.splitlines()

    return _run


def text_of(values):
    return "".join(",".join(map(str, row)) + "\n" for row in values.tolist())


def test_the_command_prints_a_line_per_hop_and_goes_on_after_a_malformed_line(run, model):
    values = samples(64)
    rows = text_of(values).splitlines(keepends=True)
    rows[40] = "1,2\n"
    out, err = run("".join(rows), "--hop", "16")
    assert out[0] == "start,stop,seconds,label,probability,energy,unknown,flags"
    found = answered(Stream(model, 16), [None if i == 40 else row for i, row in enumerate(values)])
    assert out[1:] == [",".join(answer.cells()) for answer in found]
    assert out[3] == "32,48,0.64,,,,,gap(acc-x|acc-y|acc-z)"
    name = found[0].label
    assert err == [
        "line 41: 2 columns where 3 belong: taken as a missing sample",
        f"64 samples (1.3 s), 1 malformed lines, 4 windows: {name} 3, no label 1",
    ]


def test_the_command_writes_json(run):
    rows = text_of(samples(32)).splitlines(keepends=True)
    rows[20] = "\n"
    out, _ = run("".join(rows), "--json", "--hop", "16")
    first, second = map(json.loads, out)
    assert list(first) == ["start", "stop", "seconds", "label", "probability", "energy", "unknown", "flags"]
    assert first["label"] in ("lie", "sit", "walk")
    assert second == {
        "start": 16,
        "stop": 32,
        "seconds": 0.32,
        "label": None,
        "probability": None,
        "energy": None,
        "unknown": None,
        "flags": "gap(acc-x|acc-y|acc-z)",
    }


def test_the_command_takes_times_and_a_header(run):
    text = "t,acc-z,acc-y,acc-x\n" + "".join(
        f"{100 + i / 50:.2f},{z},{y},{x}\n" for i, (x, y, z) in enumerate(samples(16).tolist())
    )
    (_, row), err = run(text, "--time")
    expected, _ = run(text_of(samples(16)))
    assert row.split(",")[2] == "100"
    assert row.split(",")[3:] == expected[1].split(",")[3:]
    assert err[0] == "Channels taken by name from acc-z, acc-y, acc-x: acc-x, acc-y, acc-z"


def test_the_command_has_a_gate(run):
    values = samples(16)
    values[:, 1] = 0.6
    (_, kept), err = run(text_of(values))
    (_, let), _ = run(text_of(values), "--no-gate")
    assert kept == "0,16,0,,,,,constant(acc-y)+stuck(acc-y)"
    assert let.split(",")[3] in ("lie", "sit", "walk")
    assert err == ["16 samples (0.3 s), 0 malformed lines, 1 windows: no label 1"]


def test_the_command_ends_well_without_input(run):
    out, err = run("")
    assert out == ["start,stop,seconds,label,probability,energy,unknown,flags"]
    assert err == ["0 samples (0.0 s), 0 malformed lines, 0 windows"]
