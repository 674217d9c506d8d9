"""What `tsimage info` tells, in numbers, words and a picture."""

import json

import numpy as np
import pytest

import tsimage
from tsimage.cli import main
from tsimage.overview import overview
from tsimage.overview_figure import draw_overview
from tsimage.readers import ReadOptions


@pytest.fixture
def folder(tmp_path):
    """Two people, two recordings each at 50 Hz; a row that is none, a break, and an axis that stands still for 2 s."""
    rng = np.random.default_rng(0)
    for person in ("ann", "bob"):
        for activity in ("walk", "sit"):
            x = rng.normal([0, 0, 1], 0.1, (500, 3)).round(4)
            if (person, activity) == ("bob", "sit"):
                x[100:200, 0] = 0.25
            rows = [f"{i / 50},{a},{b},{c},{activity},{person}" for i, (a, b, c) in enumerate(x)]
            if (person, activity) == ("ann", "walk"):
                rows[250] = "5.0,oops,0,0,walk,ann"
            path = tmp_path / "in" / f"{person}-{activity}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text("t,ax,ay,az,what,who\n" + "\n".join(rows) + "\n")
    return tmp_path / "in"


OPTIONS = {"time": "t", "channels": ("ax", "ay", "az"), "label": "what", "subject": "who"}


def test_what_is_told(folder):
    found = overview(folder, ReadOptions(**OPTIONS, window="2s"))
    assert (found.report.rows_read, found.report.rows_kept) == (2000, 1999)
    assert found.people() == ["ann", "bob"]
    assert found.classes() == {"sit": 10, "walk": 9}
    assert found.seconds() == pytest.approx({"sit": 20.0, "walk": 19.98})
    assert found.flags()["constant"] == 1
    known = found.as_dict()
    assert (known["recordings"], known["breaks"], known["rate_hz"], known["windows"]) == (4, 1, 50.0, 19)
    assert known["units"] == ["g", "g", "g"]
    lines = found.lines()
    assert "Recordings: 4, 39.98 s in all, 1 breaks in time" in lines
    assert "  sit: 10 windows, 20 s" in lines
    assert "Windows: 19 of 100 samples (2 s)" in lines
    assert any(
        line.startswith("  rejected 1 x no number, first in ann-walk.csv, line 252: 'ax = oops'") for line in lines
    )


def test_the_windows_that_are_told_are_those_that_convert_would_write(folder):
    for constant, n in (("raise", 19), ("flag", 19), ("drop", 18)):
        assert len(overview(folder, ReadOptions(**OPTIONS, window="2s", constant=constant)).windows) == n
    assert len(tsimage.load(folder, **OPTIONS, window="2s", constant="drop")) == 18


def test_recordings_are_told_of_before_a_window_is_chosen(folder):
    found = overview(folder, ReadOptions(**OPTIONS))
    assert found.windows is None
    assert found.lines()[-1] == (
        "Windows: none yet: in: say how long a window is, in samples (window 128) or seconds (window 2.56s): the recordings "
        "run at 50 Hz and fix none"
    )
    assert found.seconds() == pytest.approx({"sit": 20.0, "walk": 19.98})


def test_a_wrong_option_is_an_error_and_no_finding(folder):
    with pytest.raises(tsimage.UserError, match="unknown class 'run'"):
        overview(folder, ReadOptions(**OPTIONS, window="2s", classes=("run",)))


def test_json_and_the_list_of_faults(folder, tmp_path, capsys):
    flags = "--time t --channels ax ay az --label what --subject who --window 2s"
    main(["info", str(folder), *flags.split(), "--json", "--faults-to", str(tmp_path / "faults.csv")])
    told = json.loads(capsys.readouterr().out)
    assert told["rows"]["rejected"] == 1
    assert told["class_windows"] == {"sit": 10, "walk": 9}
    assert (tmp_path / "faults.csv").read_text().splitlines() == [
        "file,line,treatment,reason",
        "ann-walk.csv,252,rejected,no number",
        "ann-walk.csv,253,noted,gap",
    ]


@pytest.mark.parametrize("window", ["2s", None])
def test_the_picture_shows_recordings_classes_faults_and_windows(folder, window):
    figure = draw_overview(overview(folder, ReadOptions(**OPTIONS, window=window)))
    above, below = figure.subfigs
    timeline, classes, faults = above.axes
    assert [label.get_text() for label in timeline.get_yticklabels()] == [
        "ann-sit/ann",
        "ann-walk/ann",
        "bob-sit/bob",
        "bob-walk/bob",
    ]
    assert [bar.get_width() for bar in classes.patches] == ([10, 9] if window else pytest.approx([20.0, 19.98]))
    assert [label.get_text() for label in faults.get_yticklabels()].count("no number (rows)") == 1
    assert len(below.axes) == (2 if window else 4)


def test_the_picture_of_a_set_of_windows_shows_people_by_class(basic_motions):
    figure = draw_overview(overview("basic-motions", ReadOptions()))
    table = figure.subfigs[0].axes[0]
    assert [text.get_text() for text in table.texts] == ["20"] * 4
