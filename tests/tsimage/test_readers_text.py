import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsimage.ledger import Ledger
from tsimage.readers import text
from tsimage.readers.text import numeric_rows, rows_side_by_side


def parsed(content, n_columns=2, **options):
    ledger = Ledger()
    rows, lines = numeric_rows(content, n_columns, "a.txt", ledger, **options)
    report = ledger.report()
    assert report.rows_kept == len(rows) == len(lines)
    assert rows.shape[1] == n_columns
    return rows.tolist(), lines.tolist(), list(report.rows())


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        (b"1 2\n3 4\n", None),
        (b"1 2\n3 4", None),
        (b"  1.0000000e+000   2.0\t\n\t3 \t +4.\n", None),
        (b"1 2\r\n3 4\r\n", None),
        (b"1 2\r3 4\r", None),
        (b"\xef\xbb\xbf1,2\n3,4\n", ","),
        (b"1, 2\n 3 ,4 \n", ","),
        (b"1;2\n3;.4e1\n", ";"),
    ],
)
def test_well_formed_rows(content, separator):
    assert parsed(content, separator=separator) == ([[1, 2], [3, 4]], [1, 2], [])


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf"])
def test_nothing_gives_no_rows(content):
    rows, lines, _ = parsed(content, 3)
    assert (rows, lines) == ([], [])


@pytest.mark.parametrize(
    ("line", "kind", "example"),
    [
        (b"", "empty line", ""),
        (b" \t ", "empty line", ""),
        (b"1", "wrong number of columns", "1"),
        (b"1 2 3", "wrong number of columns", "1 2 3"),
        (b"1 two", "no number", "two"),
        (b"1 1_000", "no number", "1_000"),
        (b"1 0x10", "no number", "0x10"),
        (b"1 1e", "no number", "1e"),
        (b"1 .", "no number", "."),
        (b"1 2\x00", "no number", "2\x00"),
        (b'1 "2"', "no number", '"2"'),
        (b"1 nan", "missing value", "1 nan"),
        (b"1 -NaN", "missing value", "1 -NaN"),
        (b"-inf 2", "infinite value", "-inf"),
        (b"1 Infinity", "infinite value", "inf"),
        (b"1 1e999", "infinite value", "inf"),
        (b"1 -1e39", "infinite value", "-1e+39"),  # beyond float32, in which samples are kept
        (b"1 2\xff", "undecodable bytes", "1 2\\xff"),
        (b"1 \xc3\xa4", "no number", "\u00e4"),
        (b"1" * 600, "overlong line", "1" * 57 + "..."),
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_bad_line_is_rejected_with_its_reason_wherever_it_stands(line, kind, example, position):
    lines = [b"1 2", b"3 4"]
    lines.insert(position, line)
    ledger = Ledger()
    rows, where = numeric_rows(b"\n".join(lines) + b"\n", 2, "a.txt", ledger)
    assert rows.tolist() == [[1, 2], [3, 4]]
    assert where.tolist() == [n for n in (1, 2, 3) if n != position + 1]
    (fault,) = ledger.faults
    assert (fault.kind, fault.treatment, fault.lines.tolist(), fault.example) == (
        kind,
        "rejected",
        [position + 1],
        example,
    )


def test_an_empty_cell_is_a_missing_value():
    assert parsed(b"1,2\n1,\n,2\n1,2,\n", separator=",")[2] == [
        ("a.txt", 2, "rejected", "missing value"),
        ("a.txt", 3, "rejected", "missing value"),
        ("a.txt", 4, "rejected", "wrong number of columns"),
    ]


def test_nan_is_kept_on_request_but_an_empty_cell_is_not():
    rows, lines = numeric_rows(b"1,NaN\nnan,2\n3,\n+nan,4\n", 2, "a.txt", Ledger(), separator=",", allow_nan=True)
    np.testing.assert_array_equal(rows, [[1, np.nan], [np.nan, 2], [np.nan, 4]])
    assert lines.tolist() == [1, 2, 4]


def test_planted_faults_have_exact_counts_over_many_blocks():
    lines = [b"%d %d.25" % (i, i) for i in range(200_000)]
    assert sum(map(len, lines)) > 2 * text._BLOCK_BYTES
    planted = {b"": range(0, 200_000, 9_999), b"1 x": range(5, 200_000, 50_000), b"1 2 3": range(7, 60_000, 7_000)}
    for line, where in planted.items():
        for i in where:
            lines[i] = line
    ledger = Ledger()
    rows, where = numeric_rows(b"\n".join(lines), 2, "a.txt", ledger)
    assert ledger.report().counts() == {"empty line": 21, "wrong number of columns": 9, "no number": 4}
    left = np.setdiff1d(np.arange(200_000), np.concatenate([list(w) for w in planted.values()]))
    np.testing.assert_array_equal(where, left + 1)
    np.testing.assert_array_equal(rows, np.stack([left, left + 0.25], axis=1))
    found = {fault.kind: fault.lines.tolist() for fault in ledger.faults}
    for kind, line in (("empty line", b""), ("no number", b"1 x"), ("wrong number of columns", b"1 2 3")):
        assert found[kind] == [i + 1 for i in planted[line]]


def test_a_strict_ledger_stops_at_the_first_bad_line(says):
    with says("a.txt, line 2: no number ('x'): mend it, or pass faults 'reject' to leave out such rows and count them"):
        numeric_rows(b"1 2\n1 x\n1\n", 2, "a.txt", Ledger(strict=True))


@given(st.lists(st.lists(st.floats(-1e30, 1e30), min_size=3, max_size=3), max_size=8), st.sampled_from(["%r", "%.7e"]))
def test_numbers_come_back_as_they_were_written(table, form):
    content = "".join(",".join(form % value for value in row) + "\n" for row in table)
    rows, lines, faults = parsed(content.encode(), 3, separator=",")
    assert rows == [[float(form % value) for value in row] for row in table]
    assert lines == list(range(1, len(table) + 1))
    assert not faults


@given(
    st.lists(st.text(alphabet="0123456789.+-eEnaif_x,; \t\x00\"'#\u00e9\x0b\u0660", max_size=12), max_size=8),
    st.booleans(),
)
def test_the_quick_way_and_line_by_line_agree(lines, allow_nan):
    """Each line for itself, beside a line that is bad for sure, takes the slow way; where no line is bad, the quick one."""
    for separator in (None, ","):
        whole = parsed("".join(f"{line}\n" for line in lines).encode(), 2, separator=separator, allow_nan=allow_nan)
        alone = []
        for line in lines:
            rows, _, _ = parsed(f"?\n{line}\n".encode(), 2, separator=separator, allow_nan=allow_nan)
            alone += rows
        np.testing.assert_array_equal(np.reshape(whole[0], (-1, 2)), np.reshape(alone, (-1, 2)))
        number = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
        for row, line in zip(whole[0], whole[1], strict=True):
            tokens = re.split(r"[ \t]+" if separator is None else ",", lines[line - 1].strip(" \t"))
            assert len(tokens) == len(row) == 2
            for token, value in zip(tokens, row, strict=True):
                if not np.isnan(value):
                    assert re.fullmatch(number, token.strip(" \t"), re.ASCII)
                    assert value == float(token)


@given(st.binary(max_size=200), st.integers(1, 3), st.booleans())
def test_no_bytes_raise_anything(content, n_columns, allow_nan):
    parsed(content, n_columns, allow_nan=allow_nan)
    parsed(content, n_columns, separator=",", allow_nan=allow_nan)


def test_files_side_by_side_lose_a_row_together_and_count_it_once():
    ledger = Ledger()
    contents = {"x.txt": (b"1 1\n2 ?\n3 3\n4 4\n5 5\n", 2), "y.txt": (b"6\n\n8\n?\n10\n", 1)}
    (x, y), lines = rows_side_by_side(contents, "set", ledger)
    assert (x.tolist(), y.tolist(), lines.tolist()) == ([[1, 1], [3, 3], [5, 5]], [[6], [8], [10]], [1, 3, 5])
    report = ledger.report()
    assert (report.rows_read, report.rows_kept) == (5, 3)
    assert list(report.rows()) == [("x.txt", 2, "rejected", "no number"), ("y.txt", 4, "rejected", "no number")]


def test_files_of_unequal_length_do_not_belong_together(says):
    with says("set: x.txt has 2 lines but y.txt has 1: they belong together line by line: get a fresh copy"):
        rows_side_by_side({"x.txt": (b"1\n2\n", 1), "y.txt": (b"1\n", 1)}, "set", Ledger())
