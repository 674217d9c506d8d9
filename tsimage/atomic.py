"""Files that are there whole or not at all: write beside, flush, fsync, rename, fsync the folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tsimage.disk import room_for
from tsimage.errors import UserError


@contextmanager
def writing(path: Path, n_bytes: int | None = None) -> Iterator[IO[bytes]]:
    """Open a file that replaces `path` when the block ends well; a kill at any moment leaves the old or the new one.

    Raises
    ------
    DiskFullError
        If there is no room, for the `n_bytes` that it will have where they are known.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with room_for(path, n_bytes):
            with beside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`; a kill at any moment leaves the old file or the new one."""
    with writing(path, len(content)) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Replace `path` by `content` as indented JSON."""
    write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file that `write_json` wrote.

    Raises
    ------
    UserError
        If it is not readable as JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # the latter for what is nested a thousand deep
        raise UserError(f"'{path}' is damaged ({error}): remove its folder and make it anew") from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    if os.name == "nt":
        return  # Windows has no fsync for folders
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
