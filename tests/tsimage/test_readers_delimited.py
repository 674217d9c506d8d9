import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tsimage
from tsimage.ledger import Ledger
from tsimage.readers import ReadOptions
from tsimage.readers.delimited import delimited_rows
from tsimage.readers.dialect import dialect_of, is_table, single_blanks, utf8_lines
from tsimage.readers.sieve import Sieve
from tsimage.readers.table import READER, read_table


def parsed(content, columns=None, text=None, wanted=()):
    """Columns, lines and faults of a text."""
    content, _ = utf8_lines(content, "a.csv")
    dialect = dialect_of(content, "a.csv", wanted)
    columns = dialect.columns if columns is None else columns
    sieve, ledger = Sieve("a.csv"), Ledger()
    rows = delimited_rows(content, dialect, columns, dialect.columns if text is None else text, sieve)
    sieve.settle(ledger)
    faults = {
        kind: [line for _, line, _, k in ledger.report().rows() if k == kind] for kind in ledger.report().counts()
    }
    assert rows.n_read == len(rows.lines) + sum(map(len, faults.values()))
    return rows.columns, rows.lines.tolist(), faults


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from('\n",; '), max_size=8)


@given(st.lists(st.tuples(st.integers(-9, 9), words), min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_what_the_csv_module_writes_is_read_back(rows, separator):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(["x", "word"])
    lines = []
    for row in rows:
        lines.append(out.getvalue().count("\n") + 1)
        writer.writerow(row)
    frame, where, faults = parsed(out.getvalue().encode(), wanted=("x", "word"))
    assert faults == {}
    assert where == lines
    assert frame["x"].astype(int).tolist() == [x for x, _ in rows]
    assert frame["word"].tolist() == [word for _, word in rows]


@given(
    st.binary(max_size=40),
    st.integers(0, 80),
    st.integers(0, 80),
    st.sampled_from([",", ";", "\t", " "]),
    st.sampled_from(["utf-8", "utf-16", "latin-1"]),
)
def test_damaged_text_gives_rows_and_reasons_or_one_sentence(tmp_path_factory, junk, start, stop, separator, codec):
    rows = [f"{k / 4}{separator}{-k}{separator}wälk" for k in range(6)]
    content = "\n".join([separator.join("txy"), *rows]).encode(codec)
    content = content[:start] + junk + content[max(start, stop) :]
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(content)
    assert READER.accepts(path)
    try:
        read = read_table(path, ReadOptions(channels=("x",), label="y", time="t"))
    except tsimage.UserError:
        return
    kept = sum(recording.values.shape[1] for recording in read.recordings)
    assert read.report.rows_read == kept + read.report.rows_rejected
    assert all(np.isfinite(recording.values).all() for recording in read.recordings)


@pytest.mark.parametrize(
    ("row", "cell"),
    [
        ('1,"a, b"', "a, b"),
        ('1,"a ""b"""', 'a "b"'),
        ('1, "a, b"', "a, b"),
        ('"1","a"', "a"),
        ("1,it's", "it's"),
        ('1,5" pipe', '5" pipe'),
        ("1,a,", "a"),
        ('1,"a",', "a"),
    ],
)
def test_quotes_and_a_separator_at_the_end(row, cell):
    frame, lines, faults = parsed(f"x,y\n0,first\n{row}\n2,last\n".encode())
    assert frame["y"].tolist() == ["first", cell, "last"]
    assert frame["x"].tolist() == ["0", "1", "2"]
    assert (lines, faults) == ([2, 3, 4], {})


@pytest.mark.parametrize(
    ("rows", "lines", "faults"),
    [
        (['1,"a', "2,b"], [2, 4], {"unbalanced quote": [3]}),
        (['1,"a"b', "2,b"], [2, 4], {"unbalanced quote": [3]}),
        (['1,"a', '2,"b', "3,c"], [2, 5], {"unbalanced quote": [3, 4]}),
        (['1,"a', "more", 'end"', "2,b"], [2, 3, 6], {}),
        (['1,"a', *["2,b"] * 200, '3,"c"'], [2, *range(4, 205)], {"unbalanced quote": [3]}),
        (["1,a,b", "", " ", "1", ",,,", "2,b"], [2, 8], {"wrong number of columns": [3, 6, 7], "empty line": [4, 5]}),
        (["1,a\0", "2,b", "\0"], [2, 4], {"NUL byte": [3, 5]}),
    ],
)
def test_malformed_lines_are_told_apart(rows, lines, faults):
    assert parsed("\n".join(["x,y", "0,z", *rows]).encode(), wanted=("x", "y"))[1:] == (lines, faults)


def test_only_the_wanted_columns_are_parsed_and_text_stays_text():
    frame, _, _ = parsed(b"x,who,y\n1,01,2.5\n2,NA,\n", columns=["y", "who"], text=["who"])
    assert set(frame.columns) == {"y", "who"}
    assert frame["who"].tolist() == ["01", "NA"]
    assert np.array_equal(frame["y"], [2.5, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("text", "separator", "decimal", "columns", "n_before"),
    [
        ("t,x\n0,1\n", ",", ".", ("t", "x"), 1),
        ("t;x\n0,5;1,5\n", ";", ",", ("t", "x"), 1),
        ("1,5;2,5\n3,5;4,5\n", ";", ",", ("column0", "column1"), 0),
        ("1,5;walk\n3,5;walk\n", ";", ",", ("column0", "column1"), 0),
        ("1.5;2\n3;4\n", ";", ".", ("column0", "column1"), 0),
        ("1,2\n3,4\n", ",", ".", ("column0", "column1"), 0),
        ("  1.5   2\n 3  4\n", " ", ".", ("column0", "column1"), 0),
        ("1\t\t3\n4\t5\t6\n", "\t", ".", ("column0", "column1", "column2"), 0),
        (
            "33,Jogging,4910,-0.69,12.68,0.5;\n33,Jogging,4911,5,6,7;\n",
            ",",
            ".",
            tuple(f"column{i}" for i in range(6)),
            0,
        ),
        ("2024-05-01 12:00:00.5,1\n2024-05-01 12:00:00.6,2\n", ",", ".", ("column0", "column1"), 0),
        ("# made by ann\n0 1 2\n1 2 3\n", " ", ".", ("column0", "column1", "column2"), 1),
        (",0,1\n0,1.5,2.5\n", ",", ".", ("column0", "0", "1"), 1),
        ("0.5\n1.5\n", ",", ".", ("column0",), 0),
        ("x\n0.5\n1.5\n", ",", ".", ("x",), 1),
        ("time of day,x,\n1,2,\n", ",", ".", ("time of day", "x", "column2"), 1),
        ("Device\nSerial number: 7\nt x\n0 1\n1 2\n2 3\n", " ", ".", ("t", "x"), 3),
    ],
)
def test_the_dialect_is_found(text, separator, decimal, columns, n_before):
    wanted = ("0", "1") if text.startswith(",") else ()
    dialect = dialect_of(text.encode(), "a.csv", wanted)
    assert (dialect.separator, dialect.decimal, dialect.columns, dialect.n_before) == (
        separator,
        decimal,
        columns,
        n_before,
    )


def test_a_comment_that_holds_all_wanted_names_is_the_header():
    dialect = dialect_of(b"# made by ann\n# t x y\n0 1 2\n1 2 3\n", "a.csv", ("x", "t"))
    assert (dialect.columns, dialect.header, dialect.skipped, dialect.n_before) == (("t", "x", "y"), 2, (1,), 2)


def test_the_decimal_comma_may_show_late():
    text = "x;y\n" + "1;2\n" * 30_000 + "1,5;2\n" * 30_000
    assert dialect_of(text.encode(), "a.csv").decimal == ","


def test_a_long_preamble_of_two_words_a_line_is_no_table():
    text = "".join(f"Setting {i},on\n" for i in range(100)) + "".join(f"{i},1,2,3\n" for i in range(20))
    dialect = dialect_of(text.encode(), "a.csv")
    assert (dialect.columns, dialect.n_before) == (("column0", "column1", "column2", "column3"), 100)
    assert dialect.skipped == tuple(range(1, 101))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# only\n# comments\n"])
def test_nothing_is_no_table(content, says):
    with says("a.csv: not a readable table (No columns to parse from file): mend the file or leave it out"):
        dialect_of(content, "a.csv")


def test_half_a_character_of_utf_16_is_refused(says):
    with says("a.csv: not a readable table (it begins like UTF-16-LE and is not): save it as UTF-8 or leave it out"):
        utf8_lines(b"\xff\xfex\0,\0y\0\n", "a.csv")


def test_bytes_that_windows_1252_does_not_have_are_latin_1():
    assert utf8_lines(b"\xe4\x81", "a.csv") == ("ä\x81".encode(), "Latin-1")


@given(st.text(" \t\nab1", max_size=40))
def test_single_blanks_joins_what_split_parts(text):
    assert single_blanks(text.encode()).decode() == "\n".join(" ".join(line.split()) for line in text.split("\n"))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("1 2 3\n4 5 6\n", True),
        ("t,x,y\n0,1,walk\n", True),
        ("The data of 2021 were recorded by ann.\nPlease cite us.\n", False),
        ("", False),
        ("\x89PNG\x1a\x01\x02", False),
    ],
)
def test_prose_is_no_table(text, is_one):
    assert is_table(text.encode("latin-1")) == is_one


def test_overlong_lines_are_rejected_and_the_rest_is_read():
    content = b"x,y\n1,a\n" + b'3,"' * 400_000 + b"\n2,b\n" + b"," * (1 << 21)
    sieve = Sieve("a.csv")
    rows = delimited_rows(content, dialect_of(content, "a.csv"), ["x", "y"], ["y"], sieve)
    assert rows.columns["x"].tolist() == [1, 2]
    assert rows.lines.tolist() == [2, 4]
    assert (rows.n_read, sieve.count("overlong line")) == (4, 2)
