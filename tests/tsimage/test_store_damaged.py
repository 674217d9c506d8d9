import json
import os

import numpy as np
import pytest

import tsimage
from tests.tsimage.test_conversion import SMALL


def test_a_folder_that_is_no_store_is_not_opened(tmp_path, says):
    for path in (tmp_path, tmp_path / "nowhere"):
        with says(f"'{path}' is no image store: there is no manifest.json; make one with tsimage convert"):
            tsimage.open_store(path)


def _drop_row(folder):
    path = folder / "labels.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def _change_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


DAMAGE = {
    "manifest cut short": lambda f: (f / "manifest.json").write_text('{"format": 2, "sha'),
    "manifest is a list": lambda f: (f / "manifest.json").write_text("[]"),
    "manifest without shape": lambda f: _change_manifest(f, lambda m: m.pop("shape")),
    "no images": lambda f: (f / "images.npy").unlink(),
    "images cut short": lambda f: os.truncate(f / "images.npy", 300),
    "images empty": lambda f: os.truncate(f / "images.npy", 0),
    "images are objects": lambda f: np.save(f / "images.npy", np.array([None, {}]), allow_pickle=True),
    "images of another shape": lambda f: np.save(f / "images.npy", np.zeros((6, 4, 8, 7), dtype=np.float32)),
    "a row of labels is gone": _drop_row,
    "no ranges": lambda f: (f / "ranges.npy").unlink(),
    "manifest changed": lambda f: _change_manifest(f, lambda m: m["source"].update(name="other")),
    "no labels": lambda f: (f / "labels.csv").unlink(),
    "labels empty": lambda f: os.truncate(f / "labels.csv", 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_store_is_called_so(make_windows, tmp_path, damage):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    DAMAGE[damage](tmp_path / "out")
    with pytest.raises(tsimage.UserError) as caught:
        tsimage.open_store(tmp_path / "out")
    assert str(caught.value).startswith(f"'{tmp_path / 'out'}' is damaged (")
    assert str(caught.value).endswith("): convert it anew")
    assert "\n" not in str(caught.value)


def test_a_store_of_another_format_is_refused(make_windows, tmp_path, says):
    tsimage.convert(make_windows(), tmp_path / "out", SMALL)
    _change_manifest(tmp_path / "out", lambda m: m.update(format=99))
    with says(f"'{tmp_path / 'out'}' has store format 99, this version reads 2: convert it anew"):
        tsimage.open_store(tmp_path / "out")
