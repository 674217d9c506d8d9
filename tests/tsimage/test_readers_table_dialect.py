import numpy as np
import pytest

import tsimage
from tests.tsimage.test_readers_table import READ, TIMED, rejected


@pytest.mark.parametrize(
    ("separator", "decimal"),
    [(",", "."), *((separator, decimal) for separator in (";", "\t", " ", "   ") for decimal in ".,")],
)
@pytest.mark.parametrize("header", [True, False])
def test_every_way_to_write_the_same_table_gives_the_same_windows(tmp_path, separator, decimal, header):
    rows = [(k / 4, -1.5 * k, "walk" if k < 4 else "sit") for k in range(8)]
    lines = [separator.join([f"{t}".replace(".", decimal), f"{x}".replace(".", decimal), y]) for t, x, y in rows]
    path = tmp_path / "a.txt"
    path.write_text("\n".join([separator.join("txy")] * header + lines))
    names = {"time": "t", "channels": "x", "label": "y"}
    if not header:
        names = {"time": "column0", "channels": "column1", "label": "column2"}
    windows = tsimage.load(path, **names, window="2")
    assert windows.values[:, 0].tolist() == [[0, -1.5], [-3, -4.5], [-6, -7.5], [-9, -10.5]]
    assert windows.rate_hz == 4
    assert windows.labels.tolist() == [1, 1, 0, 0]
    assert windows.read_report.rows_read == windows.read_report.rows_kept == 8


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf-8-sig", None),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("latin-1", "Windows-1252"),
    ],
)
def test_text_is_decoded(tmp_path, codec, name):
    path = tmp_path / "a.csv"
    path.write_bytes("x,y\r\n0,käse\r\n1,käse\r\n".encode(codec))
    windows = tsimage.load(path, **READ)
    assert windows.class_names == ("käse",)
    read_as = f", read as {name}" if name else ""
    assert windows.read_report.notes == (f"a.csv: separated by commas, decimal '.', a header in line 1{read_as}",)


def test_the_csv_of_a_device_with_a_preamble_and_no_header_is_read(tmp_path):
    preamble = [
        "------------ Data File Created By ActiGraph GT3X+ ActiLife v6.13.3 date format M/d/yyyy at 30 Hz -----------",
        "Serial Number: NEO1B41100255",
        "Start Time 15:30:00",
        "Start Date 8/6/2012",
        "Epoch Period (hh:mm:ss) 00:00:00",
        "Download Time 14:50:45",
        "Download Date 8/16/2012",
        "Current Memory Address: 0",
        "Current Battery Voltage: 4.21     Mode = 12",
        "--------------------------------------------------",
    ]
    rows = ["-0.182,-0.182,0.962", "-0.176,-0.185,0.965", "0.1,0.2,", "-0.179,-0.182,0.959", "0,0,1"]
    path = tmp_path / "ann_walk.csv"
    path.write_text("\n".join(preamble + rows) + "\n")
    options = {"rate": 30, "window": "2", "path_pattern": "{subject}_{label}.csv", "units": "g"}
    windows = tsimage.load(path, channels=("column2", "column0"), **options)
    assert windows.values[0].round(3).tolist() == [pytest.approx([0.962, 0.965]), pytest.approx([-0.182, -0.176])]
    assert rejected(windows) == [("ann_walk.csv", 13, "missing value")]
    path.write_text("\n".join([*preamble, "Accelerometer X,Accelerometer Y,Accelerometer Z", *rows]) + "\n")
    named = tsimage.load(path, channels=("Accelerometer Z", "Accelerometer X"), **options)
    assert rejected(named) == [("ann_walk.csv", 14, "missing value")]
    assert np.array_equal(named.values, windows.values)


def test_the_real_excerpt_of_mhealth_is_a_table_without_header(data_dir, tmp_path):
    path = tmp_path / "mhealth.txt"
    path.symlink_to(data_dir / "format-samples" / "mhealth" / "mHealth_subject1.excerpt.log")
    windows = tsimage.load(path, channels=("column0", "column2"), label="column23", rate=50, window="10")
    first = np.array([[-9.8184, -9.8489], [0.29563, 0.37348]], dtype=np.float32)
    assert np.array_equal(windows.values[0, :, :2], first)
    assert windows.read_report.rows_read == windows.read_report.rows_kept == 12
    assert windows.read_report.notes[0] == (
        "mhealth.txt: separated by tabs, decimal '.', no header (columns named column0 to column23)"
    )


def test_a_header_with_too_few_names_is_refused(csv, says):
    path = csv("x,y", "0,1,a", "1,2,a", "2,3,a")
    with says(f"{path}, line 1: the header names 2 columns but the rows have 3 fields: name every column"):
        tsimage.load(path, **READ)


def test_a_name_that_stands_in_the_header_twice_is_refused(csv, says):
    path = csv("x,y,x", "0,a,1", "1,a,2")
    with says(f"{path}, line 1: the column name 'x' stands there more than once: give every column a name of its own"):
        tsimage.load(path, **READ)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("Version;1.2\nt;x;y", ["0;0;a", "1;0,5;a", "2;0,5;a", "3;0;a"]),
        ("t;x;y", ["0;0,5;1.1", "1;1,5;1.1", "2;3,5;1.1", "3;0,5;1.1"]),
        ("t;x;y;fw", ["0;3,5;a;1.2", "1;4,5;a;1.2", "2;3,5;a;1.2", "3;4,5;a;1.2"]),
    ],
)
def test_the_decimal_sign_is_that_of_the_columns_asked_for(csv, header, rows):
    windows = tsimage.load(csv(header, *rows), **TIMED)
    expected = [float(row.split(";")[1].replace(",", ".")) for row in rows]
    assert windows.values.ravel().tolist() == expected
