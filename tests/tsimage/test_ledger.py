"""Rows read = kept + rejected, and where each of the rejected is."""

import pandas as pd

from tsimage.ledger import Ledger


def ledger(strict=False):
    taken = Ledger(strict=strict, rows_read=10)
    taken.reject("b.csv", "missing z", [7, 3], "33,Jogging,1,\n2")
    taken.reject("a.csv", "missing z", [5])
    taken.mend("a.csv", "trailing comma", [2, 4])
    taken.note("a.csv", "gap", [9])
    taken.reject("a.csv", "nothing of this kind", [])
    taken.say("Units: g")
    taken.say("Units: g")
    return taken.report()


def test_rows_read_are_kept_or_rejected():
    report = ledger()
    assert (report.rows_read, report.rows_kept, report.rows_rejected) == (10, 7, 3)
    assert report.counts() == {"missing z": 3, "trailing comma": 2, "gap": 1}
    assert report.counts("rejected") == {"missing z": 3}
    assert report.as_dict()["rejected"] == 3


def test_every_faulty_row_is_written_with_file_line_and_reason(tmp_path):
    ledger().write(tmp_path / "report.csv")
    rows = pd.read_csv(tmp_path / "report.csv")
    assert rows.columns.tolist() == ["file", "line", "treatment", "reason"]
    assert rows.to_numpy().tolist() == [
        ["a.csv", 2, "mended", "trailing comma"],
        ["a.csv", 4, "mended", "trailing comma"],
        ["a.csv", 5, "rejected", "missing z"],
        ["a.csv", 9, "noted", "gap"],
        ["b.csv", 3, "rejected", "missing z"],
        ["b.csv", 7, "rejected", "missing z"],
    ]


def test_the_report_in_words():
    assert str(ledger()) == (
        "Read 10 rows: kept 7, rejected 3\n"
        "  rejected 3 x missing z in 2 files, first in b.csv, line 3: '33,Jogging,1, 2'\n"
        "  mended 2 x trailing comma, first in a.csv, line 2\n"
        "  noted 1 x gap, first in a.csv, line 9\n"
        "Units: g"
    )


def test_a_strict_ledger_stops_at_the_first_rejected_row(says):
    with says(
        "b.csv, line 3: missing z ('33,Jogging,1, 2'): mend it, or pass faults 'reject' to leave out such rows and count them"
    ):
        ledger(strict=True)


def test_nothing_left_names_the_reasons():
    taken = Ledger(rows_read=3)
    taken.reject("a.csv", "missing z", [1, 2])
    taken.reject("a.csv", "empty line", [3])
    assert str(taken.nothing_left("a.csv")) == (
        "a.csv: none of 3 rows can be used (2 x missing z, 1 x empty line): check that this is the right format and that "
        "the columns are the right ones"
    )
