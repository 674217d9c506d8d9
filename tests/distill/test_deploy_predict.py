import io
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.special import logsumexp, softmax

from distill.cli import main
from distill.deploy.figure import draw
from distill.deploy.labelling import HEADER, label, write_csv
from distill.deploy.model import open_model
from distill.deploy.people import hashes_of
from distill.deploy.reading import Reading
from distill.deploy.slicing import hop_samples, slice_recording
from distill.deploy.stream import Stream
from tests.distill.onnx_models import CLASSES, Weights, contract, write_model
from tsimage.cutting import Recording, Segment
from tsimage.units import STANDARD_GRAVITY

WANTED = ("acc-x", "acc-y", "acc-z")
TIMED = Reading(time="time", label="what")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(write_model(tmp_path_factory.mktemp("models") / "m.onnx"))


def samples(n=100, seed=0):
    """A sensor that lies and trembles, in g: shape (sample, channel)."""
    return (np.random.default_rng(seed).normal(size=(n, 3)) * 0.05 + [0.0, 0.6, 0.8]).astype(np.float32).round(4)


def table(path, values, columns=WANTED, rate_hz=50.0, labels=None):
    frame = pd.DataFrame(values, columns=list(columns))
    frame.insert(0, "time", np.arange(len(frame)) / rate_hz)
    if labels is not None:
        frame["what"] = labels
    frame.to_csv(path, index=False)
    return str(path)


def labelled(model, path, reading=TIMED, hop=None):
    said = []
    found = label(model, path, reading, hop, say=said.append)
    text = io.StringIO()
    write_csv(found, text)
    text.seek(0)
    return pd.read_csv(text, keep_default_na=False), found, said


@given(
    n=st.integers(0, 40),
    length=st.integers(1, 12),
    hop=st.integers(1, 15),
    gone=st.sets(st.integers(0, 39)),
    breaks=st.sets(st.integers(0, 40)),
)
def test_windows_lie_on_one_grid_and_know_what_is_missing(n, length, hop, gone, breaks):
    values = np.arange(n, dtype=np.float32)[None].repeat(2, axis=0)
    values[1, [i for i in gone if i < n]] = np.nan
    found = slice_recording(
        Recording(
            id="r", subject="", values=values, channels=("x", "y"), units=("g", "g"), rate_hz=1.0, segments=(),
            breaks=tuple(breaks),
        ),
        length,
        hop,
    )  # fmt: skip
    starts = [a for a in range(0, n, hop) if a + length <= n]
    assert found.start.tolist() == starts
    assert found.gaps.tolist() == [[False, any(a <= i < a + length for i in gone)] for a in starts]
    assert found.torn.tolist() == [any(a < b < a + length for b in breaks) for a in starts]
    for window, a in zip(found.values, starts, strict=True):
        np.testing.assert_array_equal(window, values[:, a : a + length])


def test_the_true_label_is_that_of_most_samples():
    walk = Recording(
        id="r", subject="", values=np.zeros((1, 12), np.float32), channels=("x",), units=("g",), rate_hz=1.0,
        segments=(Segment(start=0, stop=3, label="walk"), Segment(start=3, stop=7, label="sit")),
    )  # fmt: skip
    assert slice_recording(walk, 4, 2).truth == ("walk", "sit", "sit", "", "")


@pytest.mark.parametrize(
    ("hop", "said"),
    [
        ("0", "hop '0' is 0 samples long: a hop needs at least 1"),
        ("a", "hop 'a' is not understood: give samples as a whole number (128) or seconds with an s (2.56s)"),
    ],
)
def test_a_hop_that_is_none(says, hop, said):
    with says(said):
        hop_samples(hop, 16, 50.0)
    assert (hop_samples("3", 16, 50.0), hop_samples("0.1s", 16, 50.0), hop_samples(None, 1, 50.0)) == (3, 5, 1)


def test_every_window_of_a_table_is_labelled_as_numpy_does(model, tmp_path):
    values = samples(100)
    path = table(tmp_path / "walk.csv", values, labels=["walk"] * 60 + ["sit"] * 40)
    frame, (found,), said = labelled(model, path, hop="5")
    assert tuple(frame.columns) == HEADER
    starts = np.arange(0, 85, 5)
    windows = np.stack([values[a : a + 16].T for a in starts])
    logits = Weights().logits(windows)
    assert frame["recording"].unique().tolist() == ["walk"]
    assert frame["start"].tolist() == starts.tolist()
    assert frame["stop"].tolist() == (starts + 16).tolist()
    np.testing.assert_allclose(frame["seconds"], starts / 50)
    assert frame["label"].tolist() == [CLASSES[i] for i in logits.argmax(axis=1)]
    np.testing.assert_allclose(frame["probability"], softmax(logits, axis=1).max(axis=1), atol=1e-5)
    np.testing.assert_allclose(frame["energy"], logsumexp(logits, axis=1), atol=1e-5)
    assert frame["unknown"].unique().tolist() == [False]
    assert frame["true_label"].tolist() == ["walk" if a + 8 < 60 else "sit" for a in starts]
    assert "Read 100 rows: kept 100, rejected 0" in said[0]
    right = np.mean(frame["label"] == frame["true_label"])
    name, n = found.answers[0].label, len(starts)
    assert set(frame["label"]) == {name}
    minutes = f"{n * 0.1 / 60:.2f}"
    assert found.summary() == (
        f"walk: {minutes} minutes: {name} {minutes}; right in {100 * right:.1f} % of {n} windows whose label is known"
    )


def test_a_table_needs_no_labels_and_no_order(model, tmp_path):
    values = samples(64)
    expected, _, _ = labelled(model, table(tmp_path / "r.csv", values), Reading(time="time"))
    assert expected["true_label"].unique().tolist() == [""]
    swapped = table(tmp_path / "r.csv", values[:, [2, 0, 1]], ("Acc_Z", "Acc_X", "Acc_Y"))
    found, _, said = labelled(model, swapped, Reading(time="time"))
    pd.testing.assert_frame_equal(found, expected)
    assert said[0] == f"{swapped}: columns put into the order of the model, by name: Acc_X, Acc_Y, Acc_Z"
    named = table(tmp_path / "r.csv", values[:, [2, 0, 1]], ("c", "a", "b"))
    found, _, said = labelled(model, named, Reading(time="time", channels=("a,b, c",)))
    pd.testing.assert_frame_equal(found, expected)
    assert "Channels taken as: a for acc-x, b for acc-y, c for acc-z" in said


def test_columns_that_are_not_there(model, tmp_path, says):
    path = table(tmp_path / "r.csv", samples(64), ("a", "b", "c"))
    with says(
        f"{path}: the model wants the channels acc-x, acc-y, acc-z, and there is no acc-x, acc-y, acc-z among time, a, b, c: "
        "say which to take, in the order of the model (option channels)"
    ):
        labelled(model, path, Reading(time="time"))


def test_another_unit_is_converted_where_it_is_stated(model, tmp_path, says):
    values = samples(64)
    expected, _, _ = labelled(model, table(tmp_path / "r.csv", values), Reading(time="time"))
    path = table(tmp_path / "r.csv", values * STANDARD_GRAVITY)
    found, _, said = labelled(model, path, Reading(time="time", units=("m/s^2",)))
    assert found["label"].tolist() == expected["label"].tolist()
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-5)
    assert "acc-x: converted from m/s^2 to g, which the model wants" in said
    with says(
        "recording 'r': acc-x, acc-y, acc-z are stated in g, but gravity says m/s^2 (the median norm is 9.91): state the right "
        "unit (option units)"
    ):
        labelled(model, path, Reading(time="time", units=("g",)))


def test_another_rate_is_refused_and_resampled_on_request(model, tmp_path, says):
    values = np.repeat(samples(1), 400, axis=0)
    path = table(tmp_path / "r.csv", values, rate_hz=100.0)
    with says("recording 'r' runs at 100 Hz and the model wants 50 Hz: pass resample, or take another recording"):
        labelled(model, path, Reading(time="time"))
    frame, _, _ = labelled(model, path, Reading(time="time", resample=True))
    logits = Weights().logits(values[:16].T[None])
    np.testing.assert_allclose(frame["probability"], softmax(logits).max(), atol=1e-5)  # constants stay
    assert frame["start"].tolist() == list(range(0, 185, 8))
    assert frame["flags"].unique().tolist() == ["constant(acc-x|acc-y|acc-z)+dropout(acc-x|acc-y|acc-z)"]


def test_windows_with_gaps_are_listed_and_not_labelled(model, tmp_path):
    values = samples(80).astype(object)
    values[20, 1] = ""  # a missing value stays in its place
    values[50, 2] = "broken"  # a malformed row is rejected, and leaves a break
    frame, (found,), said = labelled(model, table(tmp_path / "r.csv", values), Reading(time="time"))
    assert "rejected 1" in said[0]
    assert said[-1].startswith("Breaks in time in 1 of 1 recordings: seconds count the samples that are there")
    why = {8: "gap(acc-y)", 16: "gap(acc-y)", 40: "break", 48: "break"}
    assert frame["start"].tolist() == list(range(0, 64, 8))
    assert frame["flags"].tolist() == [why.get(a, "") for a in range(0, 64, 8)]
    for column in ("label", "probability", "energy", "unknown"):
        assert (frame[column] == "").tolist() == [a in why for a in range(0, 64, 8)]
    whole = np.stack([np.delete(values, 50, axis=0)[a : a + 16].T.astype(float) for a in (0, 24, 32, 56)])
    logits = Weights().logits(whole)
    kept = frame[frame["label"] != ""]
    np.testing.assert_allclose(kept["probability"].astype(float), softmax(logits, axis=1).max(axis=1), atol=1e-5)
    assert found.summary().endswith("not labelled 0.01")


def test_what_leaves_the_range_of_training_is_flagged(model, tmp_path):
    values = samples(32)
    values[5, 0] = 4.7  # the training windows end at 4, and a tenth of the range more is allowed
    values[20, 1] = 4.9
    frame, _, _ = labelled(model, table(tmp_path / "r.csv", values), Reading(time="time"), hop="16")
    assert ["out-of-range" in flags for flags in frame["flags"]] == [False, True]
    assert frame["flags"][1].endswith("out-of-range(acc-y)")
    assert (frame["label"] != "").all()


def test_recordings_too_short_are_told_and_refused_if_all_are(model, tmp_path, says):
    folder = tmp_path / "many"
    folder.mkdir()
    table(folder / "long.csv", samples(32))
    table(folder / "short.csv", samples(15))
    frame, found, _ = labelled(model, str(folder), Reading(time="time"))
    assert frame["recording"].unique().tolist() == ["long"]
    assert found[1].summary() == "short: too short for one window of 16 samples: it has 15"
    with says(
        "no recording is long enough for one window of 16 samples (0.32 s): the longest has 15; record for longer"
    ):
        labelled(model, str(folder / "short.csv"), Reading(time="time"))


def test_a_table_without_rows(model, tmp_path, says):
    path = tmp_path / "none.csv"
    path.write_text("time,acc-x,acc-y,acc-z\n")
    with says(f"{path}: the table has no rows: leave the file out"):
        labelled(model, str(path), Reading(time="time"))


def test_people_and_recordings_stand_in_the_rows(model, tmp_path):
    frame = pd.DataFrame(samples(64), columns=list(WANTED))
    frame["who"] = ["ann"] * 32 + ["bob"] * 32
    frame.to_csv(tmp_path / "all.csv", index=False)
    found, both, _ = labelled(model, str(tmp_path / "all.csv"), Reading(rate=50.0, subject="who"))
    assert found["subject"].tolist() == ["ann"] * 3 + ["bob"] * 3
    assert [each.summary().partition(":")[0] for each in both] == ["all/ann (ann)", "all/bob (bob)"]


def test_windows_that_were_cut_before_are_labelled_as_they_are(model, tmp_path, says):
    values = np.stack([samples(16, seed).T for seed in range(6)])
    path = str(tmp_path / "cut.npz")
    stored = {
        "values": values,
        "labels": np.array([0, 0, 1, 1, 0, 1]),
        "class_names": np.array(["sit", "dance"]),
        "channels": np.array(WANTED),
        "units": np.array(["g"] * 3),
        "rate_hz": np.float64(50),
    }
    np.savez(path, **stored)
    frame, (found,), _ = labelled(model, path, Reading())
    np.testing.assert_allclose(frame["probability"], softmax(Weights().logits(values), axis=1).max(axis=1), atol=1e-5)
    assert frame["true_label"].tolist() == ["sit", "sit", "dance", "dance", "sit", "dance"]
    assert found.summary().startswith("cut: 6 windows: ")
    with says("cut holds windows that were cut before: leave out hop"):
        labelled(model, path, Reading(), hop="4")
    np.savez(path, **stored | {"values": values[:, :, :12]})
    with says("cut holds windows of 12 samples and the model wants 16: give the recordings that they were cut from"):
        labelled(model, path, Reading())
    np.savez(path, **stored | {"rate_hz": np.float64(100)})
    with says(
        "cut runs at 100 Hz and the model wants 50 Hz: windows cannot be resampled, give the recordings that they were cut from"
    ):
        labelled(model, path, Reading())


def test_the_picture_has_the_bands_that_were_answered(model, tmp_path):
    path = table(tmp_path / "r.csv", samples(4000), labels=["walk"] * 2000 + ["dance"] * 2000)
    _, found, _ = labelled(model, path, hop="100")
    figure = draw(found)
    signals, bands = figure.subfigs[0].axes
    assert len(signals.lines) == 3
    assert max(len(line.get_xdata()) for line in signals.lines) <= 3000
    assert [tick.get_text() for tick in bands.get_yticklabels()] == ["model", "truth"]
    said, walk, dance = bands.collections
    assert [len(each.get_paths()) for each in (said, walk, dance)] == [40, 20, 20]
    assert dance.get_paths()[0].get_extents().bounds == pytest.approx((40.0, 0.6, 16 / 50, 0.8))
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {found[0].answers[0].label, "walk", "dance", "no label"}
    assert walk.get_facecolor().tolist() != dance.get_facecolor().tolist()


def test_the_command_writes_csv_and_picture(model, tmp_path, capsys):
    path = table(tmp_path / "r.csv", samples(64))
    out, plot = tmp_path / "new" / "r.labels.csv", tmp_path / "pictures" / "r.png"
    main(["predict", str(model.path), path, "--time", "time", "--hop", "0.32s", "--out", str(out), "--plot", str(plot)])
    said = capsys.readouterr()
    assert said.out == ""
    assert pd.read_csv(out)["start"].tolist() == [0, 16, 32, 48]
    with Image.open(plot) as image:
        assert image.size[0] == 1320
    assert re.search(r"^r: 0\.02 minutes: \w+ 0\.02$", said.err, re.MULTILINE)
    assert said.err.endswith("0.02\n")


def test_the_command_answers_as_a_stream_does(model, tmp_path, capsys):
    values = samples(64)
    values[32:48, 1] = 0.6
    path = table(tmp_path / "r.csv", values)
    main(["predict", str(model.path), path, "--time", "time", "--hop", "16", "--gate"])
    rows = [row.split(",") for row in capsys.readouterr().out.splitlines()[1:]]
    stream = Stream(model, 16)
    found = [answer for value in values if (answer := stream.push(value)) is not None]
    assert [row[2:-1] for row in rows] == [answer.cells() for answer in found]
    assert [row[5] != "" for row in rows] == [True, True, False, True]
    assert rows[2][-2] == "constant(acc-y)+stuck(acc-y)"


def test_a_person_whom_the_model_knows_is_told(tmp_path):
    frame = pd.DataFrame(samples(64), columns=list(WANTED)).assign(who=["ann"] * 32 + ["bob"] * 32, what="walk")
    frame.to_csv(tmp_path / "all.csv", index=False)
    about = {"data": {"people": hashes_of(["bob"])}}
    model = open_model(write_model(tmp_path / "m.onnx", contract(about=about)))
    _, found, _ = labelled(model, str(tmp_path / "all.csv"), Reading(rate=50.0, subject="who", label="what"))
    told = [each.summary().endswith(", of a person whom the model was trained or chosen on") for each in found]
    assert told == [False, True]


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_a_folder_is_no_file_to_write(model, tmp_path, capsys, option):
    folder = tmp_path / "folder.png"
    folder.mkdir()
    with pytest.raises(SystemExit):
        main(["predict", str(model.path), "r.csv", option, str(folder)])
    assert capsys.readouterr().err == f"distill: cannot write to '{folder}': it is a folder, name a file in it\n"


def test_the_command_refuses_other_pictures(model, capsys):
    with pytest.raises(SystemExit) as left:
        main(["predict", str(model.path), "r.csv", "--plot", "r.jpg"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "distill: plot 'r.jpg' is not allowed: the name of the picture must end in .png\n"


def test_real_recordings_are_labelled_from_their_raw_files(data_dir, tmp_path):
    sample = data_dir / "hapt" / "original-sample"
    folder = tmp_path / "HAPT" / "RawData"
    folder.mkdir(parents=True)
    for file in sample.glob("*_exp0*.head4000.txt"):
        (folder / file.name.replace(".head4000", "")).write_bytes(file.read_bytes())
    rows = [list(map(int, line.split())) for line in (sample / "labels.txt").read_text().splitlines()]
    kept = [row for row in rows if row[0] in (1, 3) and row[4] <= 4000]
    (folder / "labels.txt").write_text("".join(" ".join(map(str, row)) + "\n" for row in kept))
    (folder.parent / "activity_labels.txt").write_bytes((sample / "activity_labels.txt").read_bytes())
    for part, user in (("train", 1), ("test", 2)):
        (folder.parent / f"subject_id_{part}.txt").write_text(f"{user}\n")
    channels = ("gyro-x", "gyro-y", "gyro-z", "acc-x", "acc-y", "acc-z")  # in another order than the files
    made = contract(
        channels=channels, units=("deg/s",) * 3 + ("g",) * 3, length=128, low=(-2000.0,) * 6, high=(2000.0,) * 6
    )
    model = open_model(write_model(tmp_path / "m.onnx", made))
    frame, _, said = labelled(model, str(tmp_path / "HAPT"), Reading())
    assert frame.groupby("recording").size().to_dict() == {"exp01_user01": 61, "exp03_user02": 61}
    assert frame["subject"].unique().tolist() == ["user01", "user02"]
    acc, gyro = (np.loadtxt(sample / f"{s}_exp03_user02.head4000.txt") for s in ("acc", "gyro"))
    stream = np.concatenate([np.rad2deg(gyro), acc], axis=1).astype(np.float32)
    windows = np.stack([stream[a : a + 128].T for a in range(0, 4000 - 127, 64)])
    expected = softmax(Weights(6).logits(windows), axis=1)
    second = frame[frame["recording"] == "exp03_user02"]
    assert second["label"].tolist() == [CLASSES[i] for i in expected.argmax(axis=1)]
    np.testing.assert_allclose(second["probability"], expected.max(axis=1), atol=1e-3)
    names = dict(line.split() for line in (sample / "activity_labels.txt").read_text().splitlines())
    truth = np.full(4000, "", dtype=object)
    for experiment, _, activity, first, last in kept:
        if experiment == 3:
            truth[first - 1 : last] = names[str(activity)]
    pure = [a for a in range(0, 4000 - 127, 64) if len(set(truth[a : a + 128])) == 1]
    assert len(pure) > 20
    by_start = dict(zip(second["start"], second["true_label"], strict=True))
    assert all(by_start[a] == truth[a] for a in pure)
    assert any("converted from rad/s to deg/s" in line for line in said)
