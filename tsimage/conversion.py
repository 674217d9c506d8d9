"""Windows to an image store: painted chunk by chunk, continued after a kill, there whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tsimage
from tsimage import atomic
from tsimage.blocks import blocks
from tsimage.chunks import Chunk, chunks_of, image_bytes, paint
from tsimage.datasets import load
from tsimage.errors import UserError
from tsimage.gaps import fill_gaps
from tsimage.imager import Imager
from tsimage.journal import JournalledImages, write_at
from tsimage.manifest import describe, labels_bytes, seal, write_labels, write_ranges
from tsimage.policies import constant_series, refuse_constant, refuse_masked
from tsimage.quantisation import LEVELS
from tsimage.readers import ReadOptions
from tsimage.store import (
    FORMAT,
    IMAGES,
    LABELS,
    MANIFEST,
    RANGES,
    REPORT,
    ImageStore,
    file_sha256,
    is_store,
    open_store,
)
from tsimage.unfinished import JOURNAL, MADE, PLAN, clear, making, silent
from tsimage.windows import Windows


def convert(
    data: str | Path | Windows,
    output: str | Path,
    imager: Imager | None = None,
    options: ReadOptions | None = None,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = silent,
) -> ImageStore:
    """Paint windows into an image store: one folder for a whole data set, whatever its number of subjects.

    Memory stays the same however many windows there are; with windows that are memory-mapped (an `.npy` or
    uncompressed `.npz` of float32), neither they nor the images need fit in it. A conversion that was killed or failed
    goes on where it stopped when it is called again with the same windows, recipe and output: finished chunks are
    checked and kept.

    Parameters
    ----------
    data : str, Path or Windows
        As for `tsimage.load`.
    output : str or Path
        Folder to make. It appears under its name when it is complete; until then, `.NAME.partial` lies beside.
    imager : Imager, optional
        Recipe; by default GASF of 32 x 32 with a fixed range.
    options : ReadOptions, optional
        What to read and how to cut it.
    overwrite : bool
        Replace an image store that is there already, at the very end; nothing else is ever replaced.
    on_progress : callable, optional
        Receives the number of windows painted and of all.
    say : callable, optional
        Receives sentences: the expected size and the free disk before anything is written, what was continued.

    Returns
    -------
    ImageStore

    Raises
    ------
    UserError
        For anything wrong in the data, an output that exists or that another process is making, or too little disk.
    """
    output = Path(output)
    windows = load(data, options)
    imager = ready(windows, imager or Imager())
    n_bytes = image_bytes(windows, imager)
    chunks = chunks_of(len(windows), n_bytes)
    with making(
        output,
        n_bytes=len(windows) * (n_bytes + 8 * len(windows.channels)) + labels_bytes(windows) + 100 * len(chunks) + 4096,
        replaceable=is_store,
        kind="image store",
        overwrite=overwrite,
        say=say,
    ) as work:
        content = {"format": FORMAT, **describe(windows, imager)}
        header = npy_header(tuple(content["shape"]), imager.dtype)
        _continue_or_begin(work, _plan(content, len(chunks[0])), say)
        with (work / MADE / IMAGES).open("r+b", buffering=0) as file:
            write_at(file, 0, header)
            images = JournalledImages(file, len(header), n_bytes, work / JOURNAL)
            _paint_missing(windows, imager, chunks, images, say, on_progress)
        write_ranges(work / MADE / RANGES, imager.ranges(windows))
        write_labels(work / MADE / LABELS, windows, windows.ranges())
        content["chunk_windows"] = len(chunks[0])
        content["files"] = {
            IMAGES: {
                "bytes": len(header) + len(windows) * n_bytes,
                "header_bytes": len(header),
                "header_sha256": hashlib.sha256(header).hexdigest(),
                "chunks_sha256": [images.done[chunk.number] for chunk in chunks],
            },
            LABELS: _file_entry(work / MADE / LABELS),
            RANGES: _file_entry(work / MADE / RANGES),
        }
        if windows.read_report is not None and windows.read_report.faults:
            windows.read_report.write(work / MADE / REPORT)
            content["files"][REPORT] = _file_entry(work / MADE / REPORT)
        atomic.write_bytes(work / MADE / MANIFEST, seal(content))
    return open_store(output)


def ready(windows: Windows, imager: Imager) -> Imager:
    """Return a recipe that will paint all the windows: what they are refused for is said here, what it must learn is learnt.

    Raises
    ------
    UserError
        If the recipe does not fit the windows, or learns from a training part that they do not have.
    """
    imager.check(windows.length, windows.units)
    if imager.constant_series == "raise":
        # of series as they are painted: a straight line through every gap, 0 where all samples are missing
        constant = [constant_series(fill_gaps(block, None)[0]) for _, block in blocks(windows.values)]
        refuse_constant(np.concatenate(constant), windows.channels, windows.ids.tolist())
    if imager.dtype in LEVELS and windows.has_missing():
        refuse_masked(imager.dtype)
    if not imager.needs_fit:
        return imager
    if windows.split is None or not (windows.split == "train").any():
        raise UserError(
            f"images {imager.stack} learn from training windows, but {windows.name} has no split with a part train: pass a "
            "recipe that has learnt already, imager.fit(training_windows)"
        )
    return imager.fit(windows.select(windows.split == "train"))


def _paint_missing(
    windows: Windows,
    imager: Imager,
    chunks: list[Chunk],
    images: JournalledImages,
    say: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None,
) -> None:
    painted = 0

    def on_done(chunk: Chunk) -> None:
        nonlocal painted
        painted += len(chunk)
        if on_progress is not None:
            on_progress(painted, len(windows))

    if images.journal.exists():
        damaged = images.recover(chunks, on_done)
        again = f", {damaged} are damaged and painted anew" if damaged else ""
        say(f"Continuing an unfinished conversion: {len(images.done)} of {len(chunks)} chunks are done{again}")
    missing = [chunk for chunk in chunks if chunk.number not in images.done]
    paint(windows, imager, missing, images.write, on_done)


def _plan(content: dict[str, Any], chunk_windows: int) -> dict[str, Any]:
    """Return what must be the same for two processes to paint the same chunks."""
    return {
        "store format": FORMAT,
        "version of tsimage": tsimage.__version__,
        "recipe": content["recipe_sha256"],
        "windows": content["source"]["windows_sha256"],
        "shape": content["shape"],
        "chunks": chunk_windows,
    }


def _continue_or_begin(work: Path, plan: dict[str, Any], say: Callable[[str], None]) -> None:
    """Leave the images of the same plan in the working folder, and nothing else."""
    try:
        before = json.loads((work / PLAN).read_bytes())
    except (OSError, ValueError, RecursionError):
        before = None
    made = work / MADE
    if before == plan and (made / IMAGES).is_file():
        for entry in made.iterdir():
            if entry.name != IMAGES:
                entry.unlink()
        return
    if isinstance(before, dict):
        other = ", ".join(key for key in plan if before.get(key) != plan[key]) or "no images"
        say(f"Discarded an unfinished conversion in '{work}', which has other {other}")
    clear(work)
    made.mkdir()
    (made / IMAGES).touch()
    atomic.write_json(work / PLAN, plan)


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Return what stands before the values in an `.npy` file."""
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def _file_entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
