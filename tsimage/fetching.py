"""Downloads of data sets: measured while they come, compared with their checksums, unpacked, read and counted."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tsimage import unfinished
from tsimage.archives import extract
from tsimage.catalogue import Dataset
from tsimage.disk import FULL
from tsimage.errors import UserError
from tsimage.locating import REPLACED, cache_folder, entry_named, locate, opened_at, set_at, where
from tsimage.readers import ReadOptions

_CHUNK = 2**16
_AS_IT_IS = {"Accept-Encoding": "identity"}


def fetch(
    name: str,
    folder: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """Download a data set of the catalogue, check it, and unpack it.

    It appears under its name when everything is right; a failed or interrupted download leaves nothing. A set that is
    here already and complete is not downloaded again. An incomplete one stays where it is, and what is fetched into the
    cache takes its place.

    Parameters
    ----------
    name : str
        A name of the catalogue.
    folder : Path, optional
        Where the folder of the set is made; the user's cache unless given.
    on_progress : callable, optional
        Receives the bytes that are here and the bytes in all (0 if unknown).
    check : callable, optional
        Receives where the set lies and raises `UserError` if it is not the set; unless given, the set is read, and
        its rows, windows, people and classes are compared with the catalogue.

    Returns
    -------
    Path
        Where the set lies.

    Raises
    ------
    UserError
        If the name is unknown, the set cannot be downloaded, or what comes is not the published set.
    """
    entry = entry_named(name)
    if not entry.formats:
        raise UserError(f"{where(entry)}: there is nothing to fetch")
    check = check or _check(entry)
    output = (cache_folder() if folder is None else folder) / name
    here = locate(entry) if folder is None else set_at(output, entry)
    if here is not None:
        try:
            check(here)
            return here
        except UserError as error:
            if here.is_relative_to(output):
                raise UserError(f"{error}: remove '{output}', then fetch it again") from error
            if entry.url is None:
                raise
    if entry.url is None:
        raise UserError(where(entry))
    with unfinished.making(output, n_bytes=0, replaceable=lambda _: False, kind="data set") as work:
        unfinished.clear(work)
        archive, made = work / f".{entry.url.rpartition('/')[2]}", work / unfinished.MADE
        try:
            download(entry.url, archive, entry.size_bytes, entry.sha256, on_progress)
            extract(archive, made)
        except UserError as error:
            raise UserError(
                f"data set '{name}' could not be fetched ({error}): try again, or get it from {entry.page} and put the archive "
                f"into '{output}'"
            ) from error
        archive.unlink()
        check(made)
        if here is not None:
            (made / REPLACED).write_text(str(here), encoding="utf-8")
    return output


def download(
    url: str,
    path: Path,
    size_bytes: int | None = None,
    sha256: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Download a file, measured while it comes, and compare it with its published size and checksum.

    Parameters
    ----------
    url : str
        An address that begins with https is not followed to one that does not.
    path : Path
        The file to write; it is gone if anything fails.
    size_bytes : int, optional
    sha256 : str, optional
    on_progress : callable, optional
        Receives the bytes that are here and the bytes in all (0 if unknown).

    Raises
    ------
    UserError
        If the file cannot be had, does not fit on the disk, or is another one.
    """
    try:
        import pooch
        import requests
    except ImportError as error:
        raise UserError(f"downloads need pooch ({error}): pip install pooch") from error
    logging.getLogger("pooch").setLevel(logging.WARNING)
    progress = _Progress(url, path, size_bytes, on_progress)
    responses: list[Any] = []

    def take(response: Any, **_: Any) -> None:
        responses.append(response)
        _stay_secure(response)

    try:
        get = pooch.HTTPDownloader(
            progressbar=progress, chunk_size=_CHUNK, timeout=30, hooks={"response": take}, headers=_AS_IT_IS
        )
        get(url, str(path), None)
        progress.compare(path, sha256)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, requests.RequestException):
            raise UserError(f"{url}: {_reason(error)}") from error
        if isinstance(error, OSError) and error.errno in FULL:
            raise UserError(f"{url}: the disk of '{path.parent}' is full: make room there") from error
        raise
    finally:
        for response in responses:  # pooch closes none that broke off
            response.close()


class _Progress:
    """Counts the bytes of a download for pooch, and stops it when there are too many."""

    def __init__(self, url: str, path: Path, size: int | None, tell: Callable[[int, int], None] | None) -> None:
        self._url, self._path, self._size, self._tell = url, path, size, tell
        self._total = 0

    @property
    def total(self) -> int:
        """Bytes that the server announces, 0 if it announces none; pooch sets it before the first comes."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        free = shutil.disk_usage(self._path.parent).free
        if self._size is not None and total not in (0, self._size):
            raise self._wrong_size(total)
        if max(total, self._size or 0) > free:
            needed, left = (unfinished.in_words(n) for n in (max(total, self._size or 0), free))
            raise UserError(f"{self._url}: it has {needed}, but '{self._path.parent}' has {left} free: make room there")

    def update(self, _: int) -> None:
        """Take notice of a piece that was written."""
        here = self._path.stat().st_size
        if self._size is not None and here > self._size:
            raise self._wrong_size(here)
        if self._tell is not None:
            self._tell(here, self._size or self._total)

    def reset(self) -> None:
        """Begin anew, which pooch does at the end."""

    def close(self) -> None:
        """End, which needs nothing."""

    def compare(self, path: Path, sha256: str | None) -> None:
        """Refuse a file of another size or content."""
        size = path.stat().st_size
        if self._size is not None and size != self._size:
            raise self._wrong_size(size)
        if sha256 is None:
            return
        with path.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
        if got != sha256:
            raise UserError(f"{self._url}: the file has the sha256 {got}, expected is {sha256}")

    def _wrong_size(self, size: int) -> UserError:
        return UserError(f"{self._url}: the file has {size:,} bytes, expected are {self._size:,}")


def _stay_secure(response: Any) -> None:
    target = response.headers.get("location", "")
    if response.is_redirect and response.url.startswith("https:") and target.startswith("http:"):
        raise UserError(f"{response.url}: the server leads to '{target}', which is not secured by https")


def _reason(error: Exception) -> str:
    """Say in few words why a request failed; the address is told elsewhere."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the file was complete"
    if isinstance(error, requests.ConnectionError):
        return "there is no connection to the server"
    return " ".join(str(error).split())


def _check(entry: Dataset) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        path, reader = opened_at(entry, set_at(folder, entry) or folder)
        entry.check(reader.read(path, ReadOptions()))

    return check
