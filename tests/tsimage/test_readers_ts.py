import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tsimage
from tsimage.archives import extract
from tsimage.readers import ReadOptions, arff, mat, ucr
from tsimage.readers.ts import READER

HEADER = """#free text
@problemName Tiny
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true walk run
@data
"""
GOOD = "1,2,3:4,5,6:walk\n"


def read(path, **options):
    return READER.read(path, ReadOptions(**options))


@pytest.fixture
def tiny(tmp_path):
    """Write a file of the given text below the header; return its path."""

    def _write(body, name="Tiny_TRAIN.ts", header=HEADER):
        (tmp_path / name).write_bytes((header + body).encode() if isinstance(body, str) else header.encode() + body)
        return tmp_path / name

    return _write


@pytest.fixture(scope="module")
def uea(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uea") / "unpacked"
    extract(data_dir / "uea" / "uea-original.tar.xz", folder)
    return folder


def test_one_file(tiny):
    path = tiny(GOOD + "-1,0.5,1e1:0,0,.25:run\n")
    windows = read(path, rate=10.0, units="g")
    assert windows.values.tolist() == [[[1, 2, 3], [4, 5, 6]], [[-1, 0.5, 10], [0, 0, 0.25]]]
    assert windows.values.dtype == np.float32
    assert (windows.class_names, windows.labels.tolist()) == (("run", "walk"), [1, 0])
    assert (windows.channels, windows.units, windows.rate_hz) == (("channel0", "channel1"), ("g", "g"), 10)
    assert windows.ids.tolist() == windows.recordings.tolist() == ["train-00", "train-01"]
    assert (windows.split, windows.gaps, windows.name) == (None, None, "Tiny_TRAIN")
    assert (windows.read_report.rows_read, windows.read_report.faults) == (2, ())


@pytest.mark.parametrize("given_as", ["folder", "stem"])
def test_a_pair_is_read_together(tiny, given_as):
    folder = tiny(GOOD).parent
    tiny("7,8,9:1,1,1:run\n" + GOOD, name="Tiny_TEST.ts")
    path = folder if given_as == "folder" else folder / "Tiny"
    assert READER.accepts(path)
    windows = read(path)
    assert windows.split.tolist() == ["train", "test", "test"]
    assert windows.ids.tolist() == ["train-00", "test-00", "test-01"]
    assert windows.labels.tolist() == [1, 0, 1]
    assert windows.name == "Tiny"
    assert read(folder / "Tiny_TEST.ts").ids.tolist() == ["test-00", "test-01"]


def test_one_of_several_sets_has_to_be_named(tiny, says):
    folder = tiny(GOOD).parent
    tiny(GOOD, name="Other_TEST.ts")
    with says(f"{folder}: which set? There are Other, Tiny with names like NAME_TRAIN.ts: give one as folder/NAME"):
        read(folder)
    assert read(folder / "Tiny").name == "Tiny_TRAIN"
    assert read(folder / "Other").split is None


def test_the_set_named_as_its_folder_is_read_and_the_others_are_said(tiny):
    folder = tiny(GOOD).parent
    (folder / "Set").mkdir()
    for name in ("Set_TRAIN.ts", "Set_TEST.ts", "SetDimension1_TRAIN.ts"):
        tiny(GOOD, name=f"Set/{name}")
    windows = read(folder / "Set")
    assert len(windows) == 2
    assert windows.read_report.notes == ("Set: read Set, left aside SetDimension1",)


FAULTS = {
    "empty line": "\n",
    "bytes that are no UTF-8": b"1,2,3:4,5\xff,6:walk\n",
    "no colon before the class": "walk\n",
    "wrong number of channels": "1,2,3:walk\n",
    "no class": "1,2,3:4,5,6:\n",
    "class that the header does not list": "1,2,3:4,5,6:swim\n",
    "channels of unequal length": "1,2,3:4,5:walk\n",
    "wrong number of samples": "1,2:4,5:walk\n",
    "word where a number belongs": "1,2,1_0:4,5,6:walk\n",
    "empty value": "1,,3:4,5,6:walk\n",
    "infinite value": "1,2,1e39:4,5,6:walk\n",
}


def test_every_fault_is_counted_with_its_lines(tiny):
    lines, at = [], {}
    for i, (kind, fault) in enumerate(FAULTS.items()):
        for _ in range(i + 1):
            lines += [GOOD.encode(), fault if isinstance(fault, bytes) else fault.encode()]
            at.setdefault(kind, []).append(10 + len(lines))
    windows = read(tiny(b"".join(lines)))
    report = windows.read_report
    assert report.counts("rejected") == {kind: i + 1 for i, kind in enumerate(FAULTS)}
    assert {fault.kind: fault.lines.tolist() for fault in report.faults} == at
    assert (report.rows_read, report.rows_kept, len(windows)) == (132, 66, 66)
    assert windows.ids[[0, 1, -1]].tolist() == ["train-00", "train-02", "train-130"]


def test_the_first_fault_stops_the_reading_if_wanted(tiny, says):
    path = tiny(GOOD + "1,x,3:4,5,6:walk\n" + "\n")
    with says(
        "Tiny_TRAIN.ts, line 12: word where a number belongs ('x'): mend it, or pass faults 'reject' to leave out such "
        "rows and count them"
    ):
        read(path, faults="raise")


def test_nothing_left(tiny, says):
    path = tiny("1,x,3:4,5,6:walk\n")
    with says(
        f"{path}: none of 1 rows can be used (1 x word where a number belongs): check that this is the right format and "
        "that the columns are the right ones"
    ):
        read(path)


def test_missing_samples_follow_the_option(tiny, says):
    path = tiny(GOOD + "1,?,3:4,NaN,6:run\n")
    with says(
        "Tiny_TRAIN: window 'train-01', channel 'channel0', sample 1 is nan (1 of 2 windows hold NaN or infinity): fill or "
        "remove these samples, or load with missing '0.2s' to fill gaps up to 0.2 s, or 'mask'"
    ):
        read(path)
    windows = read(path, missing="mask")
    assert windows.gaps.tolist() == [[False, False], [True, True]]
    assert np.isnan(windows.values).sum() == 2
    assert windows.read_report.counts("noted") == {"missing samples although the header says none": 1}
    assert windows.fill_gaps(1).values[1].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_unequal_lengths_are_refused_with_their_lines(tiny, says):
    header = HEADER.replace("@equalLength true", "@equalLength false").replace("@seriesLength 3\n", "")
    path = tiny(GOOD * 20 + "1,2:3,4:run\n", header=header)
    with says(
        f"{path}: the cases have 2 to 3 samples (1 of 21 have not 3, lines 30): nothing is cut or padded in silence, so make "
        "them equal and save them anew"
    ):
        read(path)
    assert len(read(tiny(GOOD * 3, header=header))) == 3


def test_few_cases_unlike_the_rest_are_rejected_where_nothing_is_declared(tiny):
    header = HEADER.replace("@seriesLength 3\n", "").replace("@dimensions 2\n", "")
    windows = read(tiny(GOOD * 18 + "1,2:3,4:run\n1,2,3:walk\n", header=header))
    assert windows.values.shape == (18, 2, 3)
    assert windows.read_report.counts("rejected") == {"channels x samples unlike the rest": 2}
    with pytest.raises(
        tsimage.UserError, match=r"the cases have 1 to 2 channels \(3 of 11 have not 2, lines 17, 18, 19\)"
    ):
        read(tiny(GOOD * 8 + "1,2,3:walk\n" * 3, header=header))


def test_parts_of_unequal_shape_are_refused(tiny, says):
    folder = tiny(GOOD).parent
    tiny("1,2:3,4:run\n", name="Tiny_TEST.ts", header=HEADER.replace("Length 3", "Length 2"))
    with says(
        f"{folder}: Tiny has train cases of 2 x 3 and test cases of 2 x 2 (channels x samples): both parts need the same, "
        "get a fresh copy"
    ):
        read(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@data\n", "", "line 10: '1,2,3:4,5,6:walk' stands where a line of the header belongs"),
        ("@data\n" + GOOD, "", "there is no line @data"),
        ("@timeStamps false", "@timeStamps true", r"time stamps \(@timestamps true\) are not read"),
        ("@equalLength true", "@equalLength maybe", "the header says @equallength 'maybe': allowed are true and false"),
        ("@dimensions 2", "@dimensions -2", "the header says @dimensions '-2': give a whole number above 0"),
        ("@classLabel true walk run", "@classLabel false", r"no classes \(@classLabel true is missing\)"),
        ("@classLabel true walk run", "@targetLabel true", "targets that are numbers"),
    ],
)
def test_a_wrong_header_is_refused(tiny, old, new, message):
    path = tiny("", header=(HEADER + GOOD).replace(old, new))
    with pytest.raises(tsimage.UserError, match=message):
        read(path)


def test_a_giant_header_claims_nothing(tiny):
    with pytest.raises(tsimage.UserError, match="1 x wrong number of channels"):
        read(tiny(GOOD, header=HEADER.replace("@dimensions 2", "@dimensions 999999999")))


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=4),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_what_is_written_is_read_bit_for_bit(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("written") / "any.ts"
    rows = (":".join(",".join(map(repr, channel)) for channel in case) + ":a" for case in values.tolist())
    path.write_text("@classLabel true a b\r\n@data\r\n" + "\r\n".join(rows))
    windows = read(path)
    np.testing.assert_array_equal(windows.values, values)
    assert windows.class_names == ("a", "b")


@pytest.mark.parametrize("name", ["BasicMotions", "Epilepsy", "RacketSports", "NATOPS"])
def test_the_sets_of_the_archive_equal_their_copies(uea, data_dir, name):
    windows = read(uea / ("aeon" if name == "BasicMotions" else "uea") / name)
    copy = np.load(data_dir / "uea" / "uea.npz")
    for part in ("train", "test"):
        chosen = windows.select(windows.split == part)
        np.testing.assert_array_equal(chosen.values, copy[f"{name}/X_{part}"])
        assert [chosen.class_names[i] for i in chosen.labels] == copy[f"{name}/y_{part}"].tolist()
    assert windows.read_report.rows_rejected == 0


@pytest.mark.parametrize("reader", [arff.READER, mat.READER, READER, ucr.READER], ids=lambda reader: reader.name)
def test_a_path_that_cannot_be_looked_at_is_not_accepted(reader, monkeypatch, tmp_path):
    assert not reader.accepts(tmp_path / "nowhere" / "any")
    assert not reader.accepts(Path("\0/any"))

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", denied)
    assert not reader.accepts(tmp_path)


def test_japanese_vowels_are_of_unequal_length(data_dir):
    with pytest.raises(
        tsimage.UserError, match=r"the cases have 7 to 26 samples \(229 of 270 have not 15, lines 16, 17"
    ):
        read(data_dir / "uea" / "original-sample" / "JapaneseVowels_TRAIN.ts")


def test_mutated_files_give_windows_or_one_sentence(tmp_path):
    rng, path, outcomes = random.Random(4), tmp_path / "any.ts", set()
    for _ in range(150):
        content = bytearray((HEADER + GOOD * 30).encode())
        for _ in range(rng.choice([1, 2, 20])):
            content[rng.randrange(len(content))] = rng.choice(b"@:,?\n\x00\xff9e_#")
        path.write_bytes(content)
        try:
            windows = read(path, missing="mask")
            assert windows.read_report.rows_kept == len(windows)
            outcomes.add("read")
        except tsimage.UserError as error:
            outcomes.add(f"refused in {len(str(error).splitlines())} line")
    assert outcomes == {"read", "refused in 1 line"}
