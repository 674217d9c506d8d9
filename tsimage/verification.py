"""Every byte of an image store against its checksums: what is damaged is named, file by file and chunk by chunk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tsimage.errors import UserError
from tsimage.manifest import is_sealed
from tsimage.store import FORMAT, IMAGES, LABELS, MANIFEST, RANGES, REPORT
from tsimage.unfinished import in_words


class DamageError(UserError):
    """An image store that is not as it was written."""

    exit_code = 1


def verify(path: str | Path, on_progress: Callable[[int, int], None] | None = None) -> str:
    """Compare an image store with its checksums; see `ImageStore.verify`.

    Raises
    ------
    DamageError
        That names all damage.
    UserError
        If the folder is no image store, or one of another format.
    """
    path = Path(path)
    damage = list(find_damage(path, on_progress))
    if damage:
        places = "1 place" if len(damage) == 1 else f"{len(damage)} places"
        raise DamageError(f"'{path}' is damaged in {places}: {'; '.join(damage)}: convert it anew")
    manifest = json.loads((path / MANIFEST).read_bytes())
    n_bytes = sum(entry["bytes"] for entry in manifest["files"].values())
    n_chunks = len(manifest["files"][IMAGES]["chunks_sha256"])
    return (
        f"verified: '{path}' is as it was written: {manifest['shape'][0]:,} images in {n_chunks:,} chunks, "
        f"{len(manifest['files']) + 1} files, {in_words(n_bytes)}"
    )


def find_damage(path: Path, on_progress: Callable[[int, int], None] | None = None) -> Iterator[str]:
    """Yield each damage of an image store in words; nothing if every byte is as it was written.

    Parameters
    ----------
    path : Path
    on_progress : callable, optional
        Receives the number of bytes of images compared and of all.

    Raises
    ------
    UserError
        If the folder is no image store, or one of another format.
    """
    if not (path / MANIFEST).is_file():
        raise UserError(f"'{path}' is no image store: there is no {MANIFEST}; make one with tsimage convert")
    text = (path / MANIFEST).read_bytes()
    try:
        manifest = json.loads(text)
        version, files = manifest["format"], manifest["files"]
        intact = is_sealed(text, manifest)
    except (ValueError, KeyError, TypeError, RecursionError):
        yield f"{MANIFEST} is not as it was written, so that nothing else can be judged"
        return
    if intact and version != FORMAT:
        raise UserError(f"'{path}' has store format {version}, this version reads {FORMAT}: convert it anew")
    if not intact:
        yield f"{MANIFEST} is not as it was written, and what follows is judged by it"
    expected = [(IMAGES, _images), (LABELS, _whole), (RANGES, _whole)]
    if isinstance(files, dict) and REPORT in files:
        expected.append((REPORT, _whole))
    for name, check in expected:
        if not (path / name).is_file():
            yield f"{name} is missing"
            continue
        try:
            yield from check(path / name, files[name], manifest, on_progress)
        except (ValueError, KeyError, TypeError, IndexError, ArithmeticError, MemoryError) as error:
            if intact:
                raise
            yield f"{name} cannot be judged by a manifest without {error}"
    for entry in sorted(path.iterdir()):
        if entry.name not in (MANIFEST, *(name for name, _ in expected)):
            yield f"{entry.name} does not belong there"


def _whole(path: Path, entry: dict[str, Any], *_: Any) -> Iterator[str]:
    size = path.stat().st_size
    if size != entry["bytes"]:
        yield f"{path.name} has {size:,} bytes instead of {entry['bytes']:,}"
        return
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
            yield f"{path.name} (bytes 0 to {size - 1:,}) is not as it was written"


def _images(
    path: Path, entry: dict[str, Any], manifest: dict[str, Any], on_progress: Callable[[int, int], None] | None
) -> Iterator[str]:
    """Compare the header, then chunk by chunk; neighbouring damaged chunks are named together."""
    size, header_bytes, length = entry["bytes"], entry["header_bytes"], manifest["chunk_windows"]
    n, chunks = manifest["shape"][0], entry["chunks_sha256"]
    n_bytes = (size - header_bytes) // n
    if path.stat().st_size != size:
        yield f"{path.name} has {path.stat().st_size:,} bytes instead of {size:,}"
    damaged: list[int] = []
    with path.open("rb") as file:
        if hashlib.sha256(file.read(header_bytes)).hexdigest() != entry["header_sha256"]:
            yield f"{path.name}, header (bytes 0 to {header_bytes - 1}) is not as it was written"
        for number, expected in enumerate(chunks):
            stop = min((number + 1) * length, n)
            if hashlib.sha256(file.read((stop - number * length) * n_bytes)).hexdigest() != expected:
                damaged.append(number)
            if on_progress is not None:
                on_progress(stop * n_bytes, n * n_bytes)
    for first, last in _runs(damaged):
        start, stop = first * length, min((last + 1) * length, n)
        which = f"chunk {first}" if first == last else f"chunks {first} to {last}"
        verb = "is" if first == last else "are"
        yield (
            f"{path.name}, {which} of {len(chunks)} (windows {start:,} to {stop - 1:,}, bytes "
            f"{header_bytes + start * n_bytes:,} to {header_bytes + stop * n_bytes - 1:,}) {verb} not as written"
        )


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each stretch of consecutive numbers.

    >>> list(_runs([0, 1, 2, 5, 7, 8]))
    [(0, 2), (5, 5), (7, 8)]
    """
    first = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield numbers[first], numbers[i - 1]
            first = i
