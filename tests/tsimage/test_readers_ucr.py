import numpy as np
import pytest

import tsimage
from tsimage.archives import extract
from tsimage.readers import ReadOptions
from tsimage.readers.ucr import READER

OTHER_NAMES = {
    "50words": "FiftyWords",
    "Gun_Point": "GunPoint",
    "Lighting2": "Lightning2",
    "Lighting7": "Lightning7",
    "Synthetic_Control": "SyntheticControl",
    "Two_Patterns": "TwoPatterns",
    "fish": "Fish",
    "wafer": "Wafer",
    "yoga": "Yoga",
}


def read(path, **options):
    return READER.read(path, ReadOptions(**options))


@pytest.fixture
def tiny(tmp_path):
    """Write a file of the given text; return its path."""

    def _write(text, name="Tiny_TRAIN.tsv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return _write


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Tiny_TRAIN.tsv", "1\t0.5\t-2\n-1\t3\t4\n"),
        ("Tiny_TRAIN", "1,0.5,-2\r\n-1,3,4\r\n"),
        ("Tiny_TRAIN.txt", "   1.0000000e+00   5.0e-01  -2.0\n  -1.0000000e+00   3.0  4.0e+00\n"),
    ],
)
def test_tabs_commas_and_blanks(tiny, name, text):
    path = tiny(text, name)
    assert READER.accepts(path)
    windows = read(path)
    assert windows.values.tolist() == [[[0.5, -2]], [[3, 4]]]
    assert (windows.class_names, windows.labels.tolist()) == (("-1", "1"), [1, 0])
    assert windows.ids.tolist() == ["train-00", "train-01"]


def test_a_pair_without_suffix_beside_other_files(tiny):
    folder = tiny("1,2,3\n2,3,4\n", "Tiny_TRAIN").parent
    tiny("2,5,6\n", "Tiny_TEST")
    tiny("words about it\n", "README")
    assert READER.accepts(folder)
    assert READER.accepts(folder / "Tiny")
    assert not READER.accepts(folder / "README")
    windows = read(folder / "Tiny")
    assert windows.split.tolist() == ["train", "train", "test"]
    assert windows.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("subject_id_train.txt", "1\n1\n"),
        ("X_train.txt", " 2.5e-001 1.0\n"),
        ("a_TRAIN.tsv", "time\tx\n1\t2\n"),
        ("a.tsv", "1\t2\t3\n"),
    ],
)
def test_other_tables_are_not_taken_for_it(tiny, name, text):
    path = tiny(text, name)
    assert not READER.accepts(path)
    assert not READER.accepts(path.parent)


def test_faults_are_counted(tiny):
    good = "1\t1\t2\n"
    text = good * 30 + "x\t1\t2\n1.5\t1\t2\n\n3\n1\t1\t?x\n1\t1\t\n1\t1\tinf\n1\t1\n1\t1\t2\t3\n" + good
    windows = read(tiny(text))
    assert windows.read_report.counts("rejected") == {
        "channels x samples unlike the rest": 2,
        "class that is no whole number": 2,
        "a class without samples": 1,
        "empty line": 1,
        "empty value": 1,
        "infinite value": 1,
        "word where a number belongs": 1,
    }
    assert (windows.read_report.rows_read, len(windows)) == (40, 31)
    assert windows.ids[-1] == "train-39"


def test_unequal_lengths_are_refused(tiny, says):
    path = tiny("1\t1\t2\n1\t1\n1\t1\t2\n")
    with says(
        f"{path}: the cases have 1 to 2 samples (1 of 3 have not 2, lines 2): nothing is cut or padded in silence, so make "
        "them equal and save them anew"
    ):
        read(path)


def test_padding_with_nan_is_missing(tiny):
    path = tiny("1\t1\t2\n1\t1\tNaN\n")
    with pytest.raises(tsimage.UserError, match="window 'train-01', channel 'channel0', sample 1 is nan"):
        read(path)
    assert read(path, missing="mask").gaps.tolist() == [[False], [True]]


def test_an_empty_file(tiny):
    with pytest.raises(tsimage.UserError, match=r"none of 0 rows can be used \(there are none\)"):
        read(tiny(""))


def test_the_forms_of_one_set_hold_the_same(data_dir):
    samples = data_dir / "ucr20" / "original-sample"
    new, text = read(samples / "Coffee_TRAIN.tsv"), read(samples / "Coffee_TRAIN.timeseriesclassification.txt")
    np.testing.assert_allclose(text.values, new.values, atol=5e-7)
    assert (text.class_names, text.labels.tolist()) == (new.class_names, new.labels.tolist())
    old = read(samples / "Coffee_ALL.2012-unnormalised")
    copy = np.load(data_dir / "ucr20" / "ucr20.npz")
    both = [copy[f"Coffee_unnormalised_2012/X_{part}"] for part in ("train", "test")]
    np.testing.assert_array_equal(np.sort(old.values[:, 0], axis=0), np.sort(np.concatenate(both), axis=0))
    assert read(samples / "Adiac_TRAIN.2015-comma.head20").values.shape == (20, 1, 176)


def test_all_sets_equal_their_copies(data_dir, tmp_path):
    extract(data_dir / "ucr20" / "ucr20-tsv-original.tar.xz", tmp_path / "unpacked")
    copy, compared = np.load(data_dir / "ucr20" / "ucr20.npz"), 0
    names = {key.split("/")[0] for key in copy.files if key.endswith("X_train")} - {"Coffee_unnormalised_2012"}
    for name in sorted(names):
        folder = tmp_path / "unpacked" / "ucr" / OTHER_NAMES.get(name, name)
        assert READER.accepts(folder)
        windows = read(folder)
        assert windows.read_report.rows_rejected == 0
        for part in ("train",) if windows.split is None else ("train", "test"):
            chosen = windows if windows.split is None else windows.select(windows.split == part)
            np.testing.assert_array_equal(chosen.values[:, 0], copy[f"{name}/X_{part}"])
            assert [int(chosen.class_names[i]) for i in chosen.labels] == copy[f"{name}/y_{part}"].tolist()
            compared += 1
    assert compared == 37
