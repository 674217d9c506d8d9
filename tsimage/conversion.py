"""Windows to an image store: painted chunk by chunk into a memory map, there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tsimage
from tsimage import atomic
from tsimage.datasets import load
from tsimage.errors import UserError
from tsimage.imager import Imager
from tsimage.readers import ReadOptions
from tsimage.store import FORMAT, IMAGES, LABELS, MANIFEST, ImageStore, is_store, open_store
from tsimage.windows import Windows

CHUNK = 256


def convert(
    data: str | Path | Windows,
    output: str | Path,
    imager: Imager | None = None,
    options: ReadOptions | None = None,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImageStore:
    """Paint windows into an image store: one folder for a whole data set, whatever its number of subjects.

    Parameters
    ----------
    data : str, Path or Windows
        As for `tsimage.load`.
    output : str or Path
        Folder to make. It appears under its name when it is complete.
    imager : Imager, optional
        Recipe; by default GASF of 32 x 32 with a fixed range.
    options : ReadOptions, optional
        What to read and how to cut it.
    overwrite : bool
        Replace an image store that is there already; nothing else is ever replaced.
    on_progress : callable, optional
        Receives the number of windows painted and of all.

    Returns
    -------
    ImageStore

    Raises
    ------
    UserError
        For anything wrong in the data, an output that exists, or too little free disk; nothing is left behind.
    """
    imager = imager or Imager()
    output = Path(output)
    windows = load(data, options)
    imager.check(windows.length, windows.units)
    beside = output.with_name(f".{output.name}.{os.getpid()}.partial")
    replaced = beside.with_suffix(".replaced")
    _tidy(output, beside)
    if output.exists() and not (overwrite and is_store(output)):
        mend = "pass overwrite to replace it" if is_store(output) else "it is no image store"
        raise UserError(f"output '{output}' exists already: choose another name ({mend})")
    shape = (len(windows), len(imager.fields) * len(windows.channels), imager.size, imager.size)
    _check_disk(output, shape, imager.dtype)
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        beside.mkdir()
        _paint(windows, imager, beside / IMAGES, shape, on_progress)
        labels = _labels(windows).to_csv(index=False, lineterminator="\n").encode()
        atomic.write_bytes(beside / LABELS, labels)
        atomic.write_json(beside / MANIFEST, _manifest(windows, imager, beside, shape))
        if output.exists():
            output.rename(replaced)
        beside.rename(output)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    atomic.sync_folder(output.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return open_store(output)


def _tidy(output: Path, beside: Path) -> None:
    """Undo what a killed process left: its unfinished store goes, a store that it had moved aside comes back."""
    name = re.compile(rf"\.{re.escape(output.name)}\.(\d+)\.(partial|replaced)")
    for left_over in output.parent.iterdir() if output.parent.is_dir() else ():
        match = name.fullmatch(left_over.name)
        if match is None or (left_over != beside and atomic.alive(int(match[1]))):
            continue
        if match[2] == "replaced" and not output.exists():
            left_over.rename(output)
        else:
            shutil.rmtree(left_over)


def _paint(
    windows: Windows,
    imager: Imager,
    path: Path,
    shape: tuple[int, ...],
    on_progress: Callable[[int, int], None] | None,
) -> None:
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(imager.dtype), shape=shape)
    for start in range(0, len(windows), CHUNK):
        chunk = windows.values[start : start + CHUNK]
        imager(chunk, windows.units, out=images[start : start + CHUNK])
        if on_progress is not None:
            on_progress(start + len(chunk), len(windows))
    images.flush()


def _labels(windows: Windows) -> pd.DataFrame:
    names, channels = np.array(windows.class_names), np.array(windows.channels)
    return pd.DataFrame(
        {
            "window": windows.ids,
            "label": names[windows.labels],
            "subject": windows.subjects,
            "recording": windows.recordings,
            "start": windows.start,
            "stop": windows.stop,
            "split": "" if windows.split is None else windows.split,
            "constant_channels": ["|".join(channels[row]) for row in windows.constant_channels()],
        }
    )


def _manifest(windows: Windows, imager: Imager, folder: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "tsimage": tsimage.__version__,
        "recipe": imager.recipe(),
        "recipe_sha256": imager.hash(),
        "shape": list(shape),
        "dtype": imager.dtype,
        "channels": list(imager.channel_names(windows.channels)),
        "class_names": list(windows.class_names),
        "source": {
            "name": windows.name,
            "windows_sha256": windows.fingerprint(),
            "channels": list(windows.channels),
            "units": list(windows.units),
            "rate_hz": windows.rate_hz,
            "samples": windows.length,
            "cut": None if windows.cut_report is None else str(windows.cut_report),
        },
        "clipped_share": imager.clipped_share(windows),
        "sha256": {name: _sha256(folder / name) for name in (IMAGES, LABELS)},
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_disk(output: Path, shape: tuple[int, ...], dtype: str) -> None:
    needed = int(np.prod(shape)) * np.dtype(dtype).itemsize
    folder = next(p for p in (output.parent, *output.parent.absolute().parents) if p.exists())
    if not folder.is_dir():
        raise UserError(f"output '{output}' cannot be made: '{folder}' is a file; choose a folder")
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"output '{output}' needs {needed / 1e9:.2f} GB but '{folder}' has {free / 1e9:.2f} GB free: "
            "choose a smaller size or fewer images, or another disk"
        )
