"""Windows to an image store: painted chunk by chunk, continued after a kill, there whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from tsimage import atomic
from tsimage.blocks import blocks
from tsimage.chunks import Chunk, chunks_of, image_bytes, paint
from tsimage.claims import Claims
from tsimage.datasets import load
from tsimage.errors import UserError
from tsimage.gaps import fill_gaps
from tsimage.imager import Imager
from tsimage.journal import JournalledImages, read_lines, write_at
from tsimage.manifest import describe, labels_bytes, seal, write_labels, write_ranges
from tsimage.policies import constant_series, refuse_constant, refuse_masked
from tsimage.quantisation import LEVELS
from tsimage.readers import ReadOptions
from tsimage.sharing import sharing
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
from tsimage.unfinished import JOURNAL, MADE, PLAN, clear, making, silent, work_folder
from tsimage.windows import Windows


def convert(
    data: str | Path | Windows,
    output: str | Path,
    imager: Imager | None = None,
    options: ReadOptions | None = None,
    *,
    overwrite: bool = False,
    share: bool = False,
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
    share : bool
        Paint one store together with other processes that are called alike, on any machine that sees the folder: every
        chunk is painted by one of them, that of a killed one by another, the bytes are those that one would write, and
        each returns when all is done. A store of the same windows and recipe that is there is what was wanted, also with
        `overwrite`. Without it, an output that another process makes is refused.
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
    job = _Conversion(windows, imager)

    def tell(done: dict[int, str]) -> None:
        if on_progress is not None:
            on_progress(job.count(done), len(windows))

    common: dict[str, Any] = {
        "n_bytes": job.total_bytes,
        "replaceable": is_store,
        "kind": "image store",
        "overwrite": overwrite,
        "say": say,
    }
    if share:
        with sharing(
            output,
            is_made=lambda path: is_store(path) and _differences(_plan_of(ImageStore(path).manifest), job.plan) == "",
            begin=lambda work: job.begin(work, say),
            belongs=lambda work: _differences(_read_plan(work), job.plan),
            **common,
        ) as member:
            if member is not None and (opened := member.open(IMAGES)) is not None:
                with opened as file:
                    images = job.images(file, member.work, member.alone)
                    claims = Claims(job.chunks, images, member)
                    paint(windows, imager, claims, claims.write, lambda _: tell(images.done))
                    images.look()
                    member.publish(lambda work: job.finish(work, images.done))
    else:
        with making(output, **common) as work:
            done = job.begin(work, say, tell)
            with (work / MADE / IMAGES).open("r+b", buffering=0) as file:
                images = job.images(file, work)
                images.done = done
                missing = [chunk for chunk in job.chunks if chunk.number not in done]
                paint(windows, imager, missing, images.write, lambda _: tell(images.done))
            job.finish(work, images.done)
    return open_store(output)


def progress(output: Path) -> tuple[int, int] | None:
    """Return how many windows of an unfinished store are painted, and of how many; None if nobody has begun."""
    work = work_folder(output)
    try:
        plan = _read_plan(work)
        spans = read_lines((work / JOURNAL).read_bytes()).values()
        return sum(span["stop"] - span["start"] for span in spans), plan["shape"][0]
    except (OSError, LookupError, TypeError):
        return None


@dataclass(frozen=True)
class _Conversion:
    """What is painted where, and the steps that are the same whether one process paints or several."""

    windows: Windows
    imager: Imager

    @cached_property
    def chunks(self) -> list[Chunk]:
        return chunks_of(len(self.windows), self.n_bytes)

    @cached_property
    def n_bytes(self) -> int:
        return image_bytes(self.windows, self.imager)

    @property
    def total_bytes(self) -> int:
        each = self.n_bytes + 8 * len(self.windows.channels)
        return len(self.windows) * each + labels_bytes(self.windows) + 100 * len(self.chunks) + 4096

    @cached_property
    def content(self) -> dict[str, Any]:
        return {"format": FORMAT, **describe(self.windows, self.imager)}

    @cached_property
    def plan(self) -> dict[str, Any]:
        return _plan_of({**self.content, "chunk_windows": len(self.chunks[0])})

    @cached_property
    def header(self) -> bytes:
        return npy_header(tuple(self.content["shape"]), self.imager.dtype)

    def count(self, done: dict[int, str]) -> int:
        """Return how many windows are in the chunks that are done; all chunks but the last are of one length."""
        first, last = self.chunks[0], self.chunks[-1]
        return len(done) * len(first) - (len(first) - len(last)) * (last.number in done)

    def images(
        self, file: IO[bytes], work: Path, alone: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> JournalledImages:
        return JournalledImages(file, len(self.header), self.n_bytes, work / JOURNAL, alone)

    def begin(
        self,
        work: Path,
        say: Callable[[str], None],
        tell: Callable[[dict[int, str]], None] = lambda done: None,
    ) -> dict[int, str]:
        """Begin, or continue what was left; return the chunks that are done, with their checksums."""
        _continue_or_begin(work, self.plan, say)
        with (work / MADE / IMAGES).open("r+b", buffering=0) as file:
            write_at(file, 0, self.header)
            images = self.images(file, work)
            if images.journal.exists():
                damaged = images.recover(self.chunks, lambda _: tell(images.done))
                again = f", {damaged} are damaged and painted anew" if damaged else ""
                n = len(images.done)
                say(f"Continuing an unfinished conversion: {n} of {len(self.chunks)} chunks are done{again}")
        return images.done

    def finish(self, work: Path, checksums: dict[int, str]) -> None:
        """Write what stands beside the images, the manifest last."""
        windows, made = self.windows, work / MADE
        _leave_images(made)  # another process may have been killed while it did this
        write_ranges(made / RANGES, self.imager.ranges(windows))
        write_labels(made / LABELS, windows, windows.ranges())
        content = {**self.content, "chunk_windows": len(self.chunks[0])}
        content["files"] = {
            IMAGES: {
                "bytes": len(self.header) + len(windows) * self.n_bytes,
                "header_bytes": len(self.header),
                "header_sha256": hashlib.sha256(self.header).hexdigest(),
                "chunks_sha256": [checksums[chunk.number] for chunk in self.chunks],
            },
            LABELS: _file_entry(made / LABELS),
            RANGES: _file_entry(made / RANGES),
        }
        if windows.read_report is not None and windows.read_report.faults:
            windows.read_report.write(made / REPORT)
            content["files"][REPORT] = _file_entry(made / REPORT)
        atomic.write_bytes(made / MANIFEST, seal(content))


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


def _plan_of(content: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same for two processes to paint the same chunks."""
    source = content.get("source")
    return {
        "store format": content.get("format"),
        "version of tsimage": content.get("tsimage"),
        "recipe": content.get("recipe_sha256"),
        "windows": source.get("windows_sha256") if isinstance(source, dict) else None,
        "shape": content.get("shape"),
        "chunks": content.get("chunk_windows"),
    }


def _read_plan(work: Path) -> Any:
    try:
        return json.loads((work / PLAN).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _differences(before: Any, plan: dict[str, Any]) -> str:
    """Name what is not the same in two plans."""
    return ", ".join(key for key in plan if not isinstance(before, dict) or before.get(key) != plan[key])


def _continue_or_begin(work: Path, plan: dict[str, Any], say: Callable[[str], None]) -> None:
    """Leave the images of the same plan in the working folder, and nothing else."""
    before = _read_plan(work)
    made = work / MADE
    if before == plan and (made / IMAGES).is_file():
        _leave_images(made)
        return
    if isinstance(before, dict):
        other = _differences(before, plan) or "no images"
        say(f"Discarded an unfinished conversion in '{work}', which has other {other}")
    clear(work)
    made.mkdir()
    (made / IMAGES).touch()
    atomic.write_json(work / PLAN, plan)


def _leave_images(made: Path) -> None:
    for entry in made.iterdir():
        if entry.name != IMAGES:
            entry.unlink()


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Return what stands before the values in an `.npy` file."""
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def _file_entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
