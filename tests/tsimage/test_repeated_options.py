"""Options of several values are given once; of others the last counts."""

import pytest

import distill.cli
import tsimage
import tsimage.cli
from tsimage.repeated_options import check_repeated


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (distill.cli.main, ["run", "--teacher", "wrn16-1:gasf", "--teacher=wrn16-1:signal"], "distill: option --teacher is given twice"),
        (distill.cli.main, ["run", "--seeds=1", "--seeds=2", "--seeds", "3"], "distill: option --seeds is given 3 times"),
        (distill.cli.main, ["run", "--channels", "acc*", "--channels", "gyro*"], "distill: option --channels is given twice"),
        (tsimage.cli.main, ["show", "basic-motions", "x.png", "--units=g", "--units=g"], "tsimage: option --units is given twice"),
    ],
)  # fmt: skip
def test_values_are_not_lost_without_a_word(capsys, main, arguments, said):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"{said}, and the first values would be lost: give all after one\n"


def test_of_one_value_the_last_counts():
    check_repeated(distill.cli.run, ["run", "--epochs", "1", "--epochs", "2", "--seeds", "0", "1"])


def test_an_empty_name_is_not_the_working_folder(says, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("ax\n1\n")
    monkeypatch.chdir(tmp_path)
    with says("the name of the data is empty: give that of a data set (tsimage datasets lists them) or a path"):
        tsimage.load("")
    with says(
        "unknown data set or path 'zzz': give the name of a data set (tsimage datasets lists them) or the path of a file or folder "
        "that exists"
    ):
        tsimage.load("zzz")
