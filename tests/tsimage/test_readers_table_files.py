import os
from pathlib import Path

import pandas as pd
import pytest

import tsimage
from tests.tsimage.test_readers_table import READ, TIMED, rejected, seen


def test_hidden_tables_are_no_recordings(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/a.csv")
    csv("x,y", "0,a", "1,a", name="set/.ipynb_checkpoints/a-checkpoint.csv")
    csv("x,y", "0,a", "1,a", name="set/._a.csv")
    csv("x,y", "2,a", "3,a", name="set/B.CSV")
    assert sorted(tsimage.load(tmp_path / "set", **READ).recordings.tolist()) == ["B", "a"]


def test_a_folder_holds_a_recording_per_file(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/p2.csv")
    csv("x,y", "2,b", "3,b", name="set/deep/p1.csv")
    pd.DataFrame({"x": [4.0, 5.0], "y": ["a", "a"]}).to_parquet(tmp_path / "set" / "p3.parquet")
    (tmp_path / "set" / "notes.txt").write_text("not a table\n")
    windows = tsimage.load(tmp_path / "set", **READ)
    assert seen(windows) == [
        ("deep/p1:0-2", "b", [2, 3]),
        ("p2:0-2", "a", [0, 1]),
        ("p3:0-2", "a", [4, 5]),
    ]
    assert windows.name == "set"


def test_a_rate_that_differs_between_files_is_refused(csv, tmp_path, says):
    csv("t,x,y", "0,0,a", "1,1,a", name="set/p1.csv")
    csv("t,x,y", "0,0,a", "2,1,a", name="set/p2.csv")
    with says(
        "set: recording 'p2' has rate_hz 0.5 where 'p1' has 1.0: resample it or leave it out, or, where clocks only jitter, state one rate for all (option rate)"
    ):
        tsimage.load(tmp_path / "set", **TIMED)


def test_files_that_are_no_tables_are_refused(csv, tmp_path, says):
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with says(f"{empty}: not a readable table (No columns to parse from file): mend the file or leave it out"):
        tsimage.load(empty, **READ)
    header = csv("x,y", name="header.csv")
    with says(f"{header}: the table has no rows: leave the file out"):
        tsimage.load(header, **READ)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 not really")
    with pytest.raises(tsimage.UserError, match=r"broken\.parquet: not a readable table"):
        tsimage.load(broken, **READ)
    image = tmp_path / "image.csv"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with says(f"{image}: not a readable table (it is no text): mend the file or leave it out"):
        tsimage.load(image, **READ)
    with says(f"{tmp_path / 'none'}: there is no table in it (.csv, .tsv, .txt, .parquet): check the path"):
        (tmp_path / "none").mkdir()
        tsimage.load(tmp_path / "none", **READ, format="table")


def test_a_file_of_a_folder_that_cannot_be_used_is_named_and_the_others_are_read(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/good.csv")
    csv("x,y", "oops,a", "1,", name="set/bad.csv")
    csv("x,y", name="set/header.csv")
    (tmp_path / "set/broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "set/empty.csv").write_bytes(b"")
    (tmp_path / "set/readme.txt").write_text("Recorded in 2021.\nBy ann.\n")
    windows = tsimage.load(tmp_path / "set", **READ)
    assert windows.recordings.tolist() == ["good"]
    assert rejected(windows) == [
        ("bad.csv", 2, "no number"),
        ("bad.csv", 3, "no label"),
        ("broken.parquet", 1, "unreadable file"),
        ("empty.csv", 1, "unreadable file"),
    ]
    assert windows.read_report.rows_read == 6
    assert set(windows.read_report.notes) == {
        "bad.csv and 2 more: separated by commas, decimal '.', a header in line 1",
        "header.csv: the table has no rows",
        "readme.txt was left out: it is no table",
    }


def test_a_folder_of_which_nothing_is_left_says_why(csv, tmp_path, says):
    csv("x,y", "oops,a", name="set/a.csv")
    (tmp_path / "set/b.csv").write_bytes(b"")
    with says(
        f"{tmp_path / 'set'}: none of 2 rows can be used (1 x no number, 1 x unreadable file): check that this is the right "
        "format and that the columns are the right ones"
    ):
        tsimage.load(tmp_path / "set", **READ)


def test_files_may_have_their_columns_in_any_order_but_not_others(csv, tmp_path, says):
    a = csv("x,y,z", "0,a,5", "1,a,6", name="set/a.csv")
    csv("z,y,x", "7,a,2", "8,a,3", name="set/b.csv")
    windows = tsimage.load(tmp_path / "set", **READ | {"channels": ("x", "z")})
    assert windows.values.tolist() == [[[0, 1], [5, 6]], [[2, 3], [7, 8]]]
    c = csv("x,y,w", "7,a,2", "8,a,3", name="set/c.csv")
    with says(
        f"{c}: there is no channel column 'z', which {a} has (here are x, y, w): every file needs the same columns; name "
        "them alike, or leave the file out"
    ):
        tsimage.load(tmp_path / "set", **READ | {"channels": ("x", "z")})
    with says(
        f"{c}: column 'w' is one of the channels [w-z]* but {a} does not have it: every file needs the same channels; name "
        "those that all have"
    ):
        (tmp_path / "set/b.csv").unlink()
        csv("x,y,z,w", "7,a,2,1", "8,a,3,1", name="set/c.csv")
        tsimage.load(tmp_path / "set", **READ | {"channels": "[w-z]*", "label": "y"})


def test_two_files_of_one_name_are_two_recordings(csv, tmp_path):
    csv("x,y", "0,a", "1,a", name="set/p.csv")
    csv("x\ty", "2\ta", "3\ta", name="set/p.tsv")
    assert tsimage.load(tmp_path / "set", **READ).recordings.tolist() == ["p.csv", "p.tsv"]


def test_subject_and_label_are_read_from_the_path(csv, tmp_path, says):
    for name in ("01/walk_1", "01/walk_2", "01/sit_1", "02/walk_1"):
        csv("x", "0", "1", name=f"set/{name}.csv")
    csv("x", "0", "1", name="set/notes.csv")
    options = {"channels": "x", "rate": 1, "window": "2", "path_pattern": "{subject}/{label}_{recording}.csv"}
    windows = tsimage.load(tmp_path / "set", **options)
    assert windows.recordings.tolist() == ["01/sit/1", "01/walk/1", "01/walk/2", "02/walk/1"]
    assert windows.subjects.tolist() == ["01", "01", "01", "02"]
    assert [k for _, k, _ in seen(windows)] == ["sit", "walk", "walk", "walk"]
    (fault,) = windows.read_report.faults
    assert (fault.file, fault.kind, fault.example) == (
        "notes.csv",
        "path does not match the pattern",
        "{subject}/{label}_{recording}.csv",
    )
    with says(
        "notes.csv, line 1: path does not match the pattern ('{subject}/{label}_{recording}.csv'): mend it, or pass faults "
        "'reject' to leave out such rows and count them"
    ):
        tsimage.load(tmp_path / "set", **options, faults="raise")
    one = tsimage.load(tmp_path / "set/02/walk_1.csv", **options)
    assert (one.subjects.tolist(), one.class_names) == (["02"], ("walk",))


def test_what_the_path_tells_no_column_may_tell(csv, says):
    path = csv("x,y,who", "0,a,1", "1,a,1", name="ann_1.csv")
    assert tsimage.load(path, **READ, path_pattern="{subject}_*.csv").subjects.tolist() == ["ann"]
    with says(
        f"{path}: the subject is told twice, by path-pattern '{{subject}}_*.csv' and by column 'who': keep one of them"
    ):
        tsimage.load(path, **READ, path_pattern="{subject}_*.csv", subject="who")


def test_two_files_that_the_pattern_takes_for_one_recording_are_refused(csv, tmp_path, says):
    csv("x,y", "0,a", "1,a", name="set/1/r_1.csv")
    csv("x,y", "0,a", "1,a", name="set/2/r_1.csv")
    with says(
        f"{tmp_path / 'set'}: 1/r_1.csv and 2/r_1.csv are both the recording '1': tell them apart in the path-pattern, or "
        "rename one"
    ):
        tsimage.load(tmp_path / "set", **READ, path_pattern="r_{recording}.csv")


def test_a_pipe_and_an_unreadable_file_are_named(tmp_path, says, monkeypatch):
    os.mkfifo(tmp_path / "a.csv")
    with says(f"'{tmp_path / 'a.csv'}' is a pipe or a device: give a file or a folder"):
        tsimage.load(tmp_path / "a.csv", format="table")
    (tmp_path / "b.csv").write_text("x,y\n1,a\n2,a\n")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with says(f"{tmp_path / 'b.csv'}: cannot be read (Permission denied): check its permissions and the disk"):
        tsimage.load(tmp_path / "b.csv", channels="x", label="y", rate=50, window="2", format="table")
