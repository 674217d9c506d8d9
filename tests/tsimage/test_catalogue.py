import re

import numpy as np
import pytest

from tsimage.catalogue import ENTRIES, Contents, Dataset
from tsimage.ledger import ReadReport
from tsimage.readers import RecordingSet, reader_named

WANG_AND_OATES = {
    "Adiac",
    "Beef",
    "CBF",
    "Coffee",
    "ECG200",
    "FaceAll",
    "FaceFour",
    "FiftyWords",
    "Fish",
    "GunPoint",
    "Lightning2",
    "Lightning7",
    "OSULeaf",
    "OliveOil",
    "SwedishLeaf",
    "SyntheticControl",
    "Trace",
    "TwoPatterns",
    "Wafer",
    "Yoga",
}


def made(**fields):
    """An entry with little in it."""
    texts = dict.fromkeys(("name", "summary", "place", "sensors", "licence", "citation"), "made")
    return Dataset(**({**texts, "formats": ("hapt",), "page": "https://example.org", "contents": Contents()} | fields))


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_complete(name):
    entry = ENTRIES[name]
    assert entry.name == name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert all((entry.summary, entry.sensors, entry.licence, entry.citation))
    assert entry.page.startswith("https://")
    assert entry.url is None or entry.url.startswith("https://")
    assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
    assert (entry.url is None) == (not entry.formats) == (not entry.places) == (not entry.proof)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_format_is_a_reader(name):
    assert [reader_named(format).name for format in ENTRIES[name].formats] == list(ENTRIES[name].formats)


def test_the_sets_that_were_asked_for_are_there():
    wearable = ["basic-motions", "hapt", "uci-har", "wisdm", "wisdm-2019", "pamap2", "mhealth"]
    wearable += ["epilepsy", "racket-sports", "natops"]
    assert list(ENTRIES)[: len(wearable)] == wearable
    ucr = list(ENTRIES)[len(wearable) :]
    assert all(name.startswith("ucr-") for name in ucr)
    problems = [re.search(r"([A-Za-z0-9]+)\.zip$", ENTRIES[name].url)[1] for name in ucr]
    assert len(problems) == 20
    assert set(problems) == WANG_AND_OATES


def test_the_ucr_sets_have_the_sizes_of_the_repack(data_dir):
    with np.load(data_dir / "ucr20" / "ucr20.npz", allow_pickle=False) as repack:
        index = repack["index"]
    by_problem = {entry.url.rpartition("/")[2].removesuffix(".zip"): entry for entry in ENTRIES.values() if entry.url}
    incomplete = {"TwoPatterns": 1, "Wafer": 1, "Yoga": 3000}  # rows that the repack lacks, says its readme
    for _, problem, n_train, n_test, length, n_classes, *_ in index.tolist():
        entry = by_problem[problem]
        assert entry.contents.windows == int(n_train) + int(n_test) + incomplete.get(problem, 0)
        assert entry.contents.classes == int(n_classes)
        assert f"series of {length} samples" in entry.summary


def test_hapt_is_as_the_catalogue_says(hapt):
    entry = ENTRIES["hapt"]
    assert len(hapt.class_names) == entry.contents.classes == 12
    assert hapt.read_report.rows_read == entry.contents.rows == 1_122_772
    assert len(set(hapt.subjects.tolist())) == entry.contents.people == 30
    assert hapt.rate_hz == entry.rate_hz


def test_a_complete_set_passes(basic_motions, make_windows, make_recording):
    ENTRIES["basic-motions"].check(basic_motions)
    made(contents=Contents(windows=6, people=2, classes=3)).check(make_windows(6))
    recordings = [make_recording(10, id="a"), make_recording(5, id="b", subject="bob")]
    made(contents=Contents(rows=15, people=2, classes=1)).check(RecordingSet(recordings=recordings, class_names=("x",)))


@pytest.mark.parametrize(("what", "got"), [("windows", 6), ("people", 2), ("classes", 3)])
def test_windows_that_are_missing_are_told(what, got, make_windows, says):
    with says(
        f"data set 'made' has {got} {what}, expected are 1,234: it is not complete, or not the published one; get a fresh copy "
        "from https://example.org"
    ):
        made(contents=Contents(**{what: 1234})).check(make_windows(6))


@pytest.mark.parametrize(("what", "got"), [("rows", 10), ("people", 1), ("classes", 2)])
def test_recordings_that_are_missing_are_told(what, got, make_recording, says):
    content = RecordingSet(recordings=[make_recording(10)], class_names=("x", "y"))
    with says(
        f"data set 'made' has {got} {what}, expected are 3: it is not complete, or not the published one; get a fresh copy "
        "from https://example.org"
    ):
        made(contents=Contents(**{what: 3})).check(content)


def test_people_who_are_not_named_are_not_counted(make_windows):
    made(contents=Contents(people=6)).check(make_windows(6, subjects=np.full(6, "")))


def test_what_is_missing_is_said(make_windows, make_recording):
    windows = make_windows(6)
    assert made(contents=Contents(windows=6, people=2, classes=3)).missing(windows) == ""
    assert made(contents=Contents()).missing(windows) == ""
    assert made(contents=Contents(windows=3300, people=2, classes=3)).missing(windows) == (
        "not complete: 6 of 3,300 windows"
    )
    assert made(contents=Contents(windows=3300, people=4, classes=2)).missing(windows) == (
        "not complete: 6 of 3,300 windows, 2 of 4 people; not as published: 3 classes instead of 2"
    )
    recordings = RecordingSet(recordings=[make_recording(10)], class_names=("x",))
    assert made(contents=Contents(rows=9)).missing(recordings) == "not as published: 10 rows instead of 9"


def test_rejected_rows_are_rows_of_the_set(make_recording):
    read = RecordingSet(recordings=[make_recording(10)], class_names=("x",), report=ReadReport(rows_read=15))
    assert made(contents=Contents(rows=15)).missing(read) == ""
    assert made(contents=Contents(rows=20)).missing(read) == "not complete: 15 of 20 rows"


def test_rows_may_differ_by_the_tolerance(make_recording):
    read = RecordingSet(recordings=[make_recording(99)], class_names=("x",))
    assert made(contents=Contents(rows=100, tolerance=0.01)).missing(read) == ""
    assert made(contents=Contents(rows=101, tolerance=0.01)).missing(read) == "not complete: 99 of 101 rows"
    made(contents=Contents(rows=100, tolerance=0.01)).check(read)


def test_rows_are_those_of_the_sensors_that_were_read(make_recording):
    entry = made(contents=Contents(rows=100, rows_of=(("watch-acc", 10), ("phone-acc", 20), ("watch-gyro", 70))))

    def missing(*channels):
        recording = make_recording(10, channels=channels, units=("",) * len(channels))
        return entry.missing(RecordingSet(recordings=[recording], class_names=("x",)))

    assert missing("watch-acc-x", "watch-acc-y") == ""
    assert missing("phone-acc-x") == "not complete: 10 of 20 rows"
    assert missing("watch-acc-x", "watch-gyro-x") == "not complete: 10 of 80 rows"


def test_what_is_published_is_compared():
    counts = {n: (c.rows, c.people, c.classes) for n, c in ((n, ENTRIES[n].contents) for n in ENTRIES) if c.rows}
    assert counts == {
        "hapt": (1_122_772, 30, 12),
        "wisdm": (1_098_207, 36, 6),
        "wisdm-2019": (15_630_426, 51, 18),
        "pamap2": (2_872_533, 9, 12),
        "mhealth": (1_215_745, 10, 12),
    }
    contents = ENTRIES["wisdm-2019"].contents
    assert sum(rows for _, rows in contents.rows_of) == contents.rows


def test_the_lines_tell_the_size_or_that_it_is_unknown():
    assert ENTRIES["hapt"].lines()[1].endswith("; 1,122,772 rows, 30 people, 12 classes; download 80 MB")
    assert ENTRIES["wisdm"].lines()[1].endswith("; 1,098,207 rows, 36 people, 6 classes; download, size unknown")
    assert "download" not in ENTRIES["basic-motions"].lines()[1]
