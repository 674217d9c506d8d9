from pathlib import PurePosixPath

import pytest

from tsimage.readers.path_pattern import path_pattern


@pytest.mark.parametrize(
    ("pattern", "path", "fields"),
    [
        (
            "{subject}/{label}_{recording}.csv",
            "set/01/walk_2.csv",
            {"subject": "01", "label": "walk", "recording": "2"},
        ),
        (
            "{subject}/{label}_{recording}.csv",
            "01/walk_up_2.csv",
            {"subject": "01", "label": "walk", "recording": "up_2"},
        ),
        ("{subject}_*.csv", "deep/down/ann_b.csv", {"subject": "ann"}),
        ("{subject}_{*}.csv", "ann_.csv", {"subject": "ann"}),
        ("{label}/*/{subject}.txt", "walk/left hand/7.txt", {"label": "walk", "subject": "7"}),
        ("sub-{subject}.csv", "sub-7.csv", {"subject": "7"}),
        ("{subject}.csv", "a+b.csv", {"subject": "a+b"}),
        ("{subject}.csv", "acsv", None),
        ("{subject}/a.csv", "a.csv", None),
        ("{subject}_*.csv", "_1.csv", None),
        ("{subject}_*.csv", " _1.csv", None),
        ("{subject}_*.csv", "ann_1.csv.bak", None),
    ],
)
def test_the_end_of_a_path_is_matched(pattern, path, fields):
    assert path_pattern(pattern)(PurePosixPath(path)) == fields


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*.csv", "path-pattern '*.csv' names no field: allowed are {subject}, {label} and {recording}"),
        (
            "{subjct}.csv",
            "unknown field in path-pattern '{subjct}.csv' 'subjct': did you mean 'subject'? "
            "Valid: subject, label, recording, *",
        ),
        (
            "{subject}_{subject}.csv",
            "path-pattern '{subject}_{subject}.csv': {subject} stands there twice: name it once, and write * elsewhere",
        ),
        (
            "{subject.csv",
            "path-pattern '{subject.csv': a brace is not closed: write {subject}, {label}, {recording} or *",
        ),
        (
            "{subject}{label}.csv",
            "path-pattern '{subject}{label}.csv': two fields touch, so nobody can tell where one ends: put text between",
        ),
    ],
)
def test_a_pattern_that_says_nothing_clear_is_refused(pattern, text, says):
    with says(text):
        path_pattern(pattern)
