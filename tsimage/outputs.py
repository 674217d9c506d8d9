"""Images in the layouts that other programs read: a folder of PNG, one `.npz`, a zarr group.

Each appears under its name when it is complete. Only the image store of `tsimage.convert` continues after a kill; these
begin anew.
"""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tsimage.chunks import Chunk, chunks_of, image_bytes, image_shape, paint
from tsimage.conversion import npy_header, ready
from tsimage.datasets import load
from tsimage.errors import UserError, unknown
from tsimage.imager import Imager
from tsimage.manifest import describe
from tsimage.png_folder import is_png_folder, png_folder_bytes, png_imager, write_png_folder
from tsimage.readers import ReadOptions
from tsimage.unfinished import MADE, clear, making, silent
from tsimage.windows import Windows

_ZARR_CHUNK_BYTES = 1 << 20
_PER_WINDOW = ("labels", "ids", "subjects", "recordings", "start", "stop", "split")


def export(
    data: str | Path | Windows,
    output: str | Path,
    imager: Imager | None = None,
    options: ReadOptions | None = None,
    *,
    kind: str,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = silent,
) -> Path:
    """Paint windows into files for other programs.

    Parameters
    ----------
    data, imager, options, on_progress, say
        As for `tsimage.convert`.
    output : str or Path
        File or folder to make.
    kind : {"png", "npz", "zarr"}
        - png: a folder `[FIELD/][train|test/]CLASS/WINDOW.png`, as `torchvision.datasets.ImageFolder` takes it, with
          `labels.csv` (which window is which file) and `images.json` (recipe, and how codes become values). Images are
          8 bits deep: grey for one channel, RGB for three in their order. A stack of several fields makes one tree
          for each. `ImageFolder` numbers classes by the alphabet; a class without windows has no folder.
        - npz: one file with `images`, `labels`, `class_names`, `channels`, `ids`, `subjects`, `recordings`, `start`,
          `stop`, `ranges` (see `Imager.ranges`), `split` if there is one, and `manifest` (JSON), uncompressed.
        - zarr: a zarr group (format 3) with the same arrays and the manifest as attributes; needs the extra `zarr`.
    overwrite : bool
        Replace an output of the same kind that is there already; nothing else is ever replaced.

    Returns
    -------
    Path
        The output.

    Raises
    ------
    UserError
        For anything wrong in the data, an output that exists, too little disk, or images that the format cannot hold.
    """
    if kind not in KINDS:
        raise unknown("kind of output", kind, KINDS)
    layout = KINDS[kind]
    output = Path(output)
    windows = load(data, options)
    imager = ready(windows, layout.prepare(output, windows, imager or Imager()))
    with making(
        output,
        n_bytes=layout.n_bytes(windows, imager),
        replaceable=layout.recognise,
        kind=layout.called,
        overwrite=overwrite,
        say=say,
    ) as work:
        if (work / MADE).exists():
            say(f"Discarded what an unfinished conversion left in '{work}'")
        clear(work)

        def on_written(chunk: Chunk) -> None:
            if on_progress is not None:
                on_progress(chunk.stop, len(windows))

        layout.write(work / MADE, windows, imager, on_written)
    return output


def _columns(windows: Windows, imager: Imager) -> dict[str, np.ndarray]:
    """Return what stands beside the images, row by row, and the names of classes and image channels."""
    columns = {name: getattr(windows, name) for name in _PER_WINDOW}
    return {name: column for name, column in columns.items() if column is not None} | {
        "class_names": np.array(windows.class_names),
        "channels": np.array(imager.channel_names(windows.channels)),
        "ranges": imager.ranges(windows),
    }


def _write_npz(made: Path, windows: Windows, imager: Imager, on_written: Callable[[Chunk], None]) -> None:
    with made.open("w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            with archive.open("images.npy", "w", force_zip64=True) as member:
                member.write(npy_header((len(windows), *image_shape(windows, imager)), imager.dtype))

                def write(_: Chunk, images: np.ndarray) -> None:
                    member.write(images.data.cast("B"))

                paint(windows, imager, chunks_of(len(windows), image_bytes(windows, imager)), write, on_written)
            columns = _columns(windows, imager) | {"manifest": np.array(json.dumps(describe(windows, imager)))}
            for name, column in columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, column, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _npz_imager(output: Path, windows: Windows, imager: Imager) -> Imager:
    if output.suffix != ".npz":
        raise UserError(f"output '{output}' is not allowed: the name must end in .npz")
    return imager


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"images.npy", "labels.npy", "manifest.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _array_bytes(windows: Windows, imager: Imager) -> int:
    columns = (getattr(windows, name) for name in _PER_WINDOW)
    beside = sum(column.nbytes for column in columns if column is not None)
    return len(windows) * (image_bytes(windows, imager) + 8 * len(windows.channels)) + beside


def _write_zarr(made: Path, windows: Windows, imager: Imager, on_written: Callable[[Chunk], None]) -> None:
    import zarr

    n_bytes = image_bytes(windows, imager)
    # a file for each chunk that is painted, within it pieces that are read one by one
    piece = max(1, _ZARR_CHUNK_BYTES // n_bytes)
    chunks = chunks_of(len(windows), n_bytes, multiple=piece)
    shape = image_shape(windows, imager)
    group = zarr.create_group(made, attributes=describe(windows, imager))
    images_of = group.create_array(
        "images",
        shape=(len(windows), *shape),
        chunks=(piece, *shape),
        shards=(-(-len(chunks[0]) // piece) * piece, *shape),
        dtype=imager.dtype,
    )

    def write(chunk: Chunk, images: np.ndarray) -> None:
        images_of[chunk.start : chunk.stop] = images

    paint(windows, imager, chunks, write, on_written)
    for name, column in _columns(windows, imager).items():
        text = column.dtype.kind == "U"
        group.create_array(name, data=column.astype(np.dtypes.StringDType()) if text else column)
    if hasattr(os, "sync"):
        os.sync()


def _zarr_imager(output: Path, windows: Windows, imager: Imager) -> Imager:
    if importlib.util.find_spec("zarr") is None:
        raise UserError("zarr is not installed, which the output format zarr needs: pip install 'tsimage[zarr]'")
    return imager


def _is_zarr(path: Path) -> bool:
    try:
        content = json.loads((path / "zarr.json").read_bytes())
        return {"tsimage", "recipe_sha256"} <= set(content["attributes"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A kind of output: what it is called, what it must know before, its size, how it is recognised and written."""

    called: str
    prepare: Callable[[Path, Windows, Imager], Imager]
    n_bytes: Callable[[Windows, Imager], int]
    recognise: Callable[[Path], bool]
    write: Callable[[Path, Windows, Imager, Callable[[Chunk], None]], None]


KINDS = {
    "png": Layout(
        called="folder of PNG that tsimage wrote",
        prepare=lambda _, windows, imager: png_imager(windows, imager),
        n_bytes=png_folder_bytes,
        recognise=is_png_folder,
        write=write_png_folder,
    ),
    "npz": Layout(
        called="npz of images that tsimage wrote",
        prepare=_npz_imager,
        n_bytes=_array_bytes,
        recognise=_is_npz,
        write=_write_npz,
    ),
    "zarr": Layout(
        called="zarr group that tsimage wrote",
        prepare=_zarr_imager,
        n_bytes=_array_bytes,
        recognise=_is_zarr,
        write=_write_zarr,
    ),
}
