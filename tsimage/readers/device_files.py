"""Sound copies of GENEActiv `.bin` and Axivity `.cwa` files, which a decoder that trusts its input can read.

A page of a `.bin` is ten lines with 300 samples in the last one; a block of a `.cwa` is 512 bytes whose 16-bit words sum to 0.
Pages and blocks that are not as their format wants them are rejected, the others are written in order and numbered anew.
Rows are samples, counted from 0 in the order of the file, those of rejected pages and blocks included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tsimage.errors import UserError
from tsimage.ledger import Ledger

MAX_BYTES = 2**31 - 1
"""Of a `.cwa`, as the decoder counts bytes in 32 bits."""
PAGE = 300
"""Samples of a page of a `.bin`."""
_HEADER_LINES = 1000
_LINE_BYTES = 4096
_END = rb"[ \t\r]*\n"
_REST = rb"[^\n]{0,200}\n"
_PAGE = re.compile(
    rb"(Recorded Data" + _END + _REST + rb")Sequence Number:\d+" + _END
    + rb"(Page Time:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d:\d{3})" + _END
    + rb"(" + _REST + rb"Temperature:-?\d{1,4}(?:\.\d{1,4})?" + _END + _REST * 2
    + rb"Measurement Frequency:(\d{1,4}(?:\.\d{1,4})?))" + _END + rb"([0-9A-Fa-f]{3600})\s*"
)  # fmt: skip
_CALIBRATION = re.compile(
    rb"^Calibration Data" + _END
    + b"".join(rb"%b gain:-?[1-9]\d{0,8}%b%b offset:-?\d{1,9}%b" % (axis, _END, axis, _END) for axis in (b"x", b"y", b"z"))
    + rb"Volts:[1-9]\d{0,8}" + _END + rb"Lux:\d{1,9}" + _END + _END
    + rb"Memory Status" + _END + rb"Number of Pages:(\d{1,9})" + _END + _END,
    re.MULTILINE,
)  # fmt: skip
_BLOCK = np.dtype(
    [
        ("kind", "S2"),
        ("length", "<u2"),
        ("device", "<u2"),
        ("session", "<u4"),
        ("sequence", "<u4"),
        ("time", "<u4"),
        ("scale", "<u2"),
        ("temperature", "<u2"),
        ("events", "u1"),
        ("battery", "u1"),
        ("rate", "u1"),
        ("layout", "u1"),
        ("offset", "<i2"),
        ("count", "<u2"),
        ("data", "V480"),
        ("checksum", "<u2"),
    ]
)
_SAMPLES = {(3, 0): 120, (3, 2): 80, (6, 2): 40, (9, 2): 26}
"""Of a full block, by the number of axes and the way they are packed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """What a checked file holds.

    Parameters
    ----------
    rows : ndarray of int64, shape (sample,)
        Number of each sample of the copy in the file.
    subject : str
        Who wore the device, where the file says so.
    """

    rows: np.ndarray
    subject: str = ""


def is_device_file(path: Path) -> bool:
    """Tell whether a file begins as a GENEActiv or an Axivity file does; never raises."""
    try:
        with path.open("rb") as file:
            start = file.read(15)
    except OSError:
        return False
    return {".bin": start == b"Device Identity", ".cwa": start[:2] == b"MD"}.get(path.suffix.lower(), False)


def copy_bin(file: Path, name: str, copy: Path, ledger: Ledger) -> Sound:
    """Write the sound pages of a GENEActiv file to `copy`.

    Raises
    ------
    UserError
        If the header is not sound, or no page is.
    """
    bad: dict[str, list[int]] = {}
    good: list[int] = []
    rate, read = b"", 0
    with file.open("rb") as source, copy.open("wb") as out:
        header, announced, subject = _header(file, source)
        out.write(header)
        for read, page in enumerate(_pages(source), start=1):
            match = _PAGE.fullmatch(page)
            rate = rate or (match[4] if match else b"")
            if match is None or match[4] != rate:
                bad.setdefault("malformed page" if match is None else "page of another rate", []).append(read - 1)
                continue
            before, time, after, _, data = (part.replace(b"\r", b"") for part in match.groups())
            out.write(b"%bSequence Number:%d\n%b\n%b\n%b\n" % (before, len(good), time, after, data))
            good.append(read - 1)
        out.seek(len(header) - len(b"000000000\n\n"))
        out.write(b"%09d" % len(good))
    ledger.rows_read += read * PAGE
    for kind, pages in bad.items():
        ledger.reject(name, kind, _rows(np.array(pages), PAGE), f"page {pages[0]}")
    if announced != read:
        ledger.say(f"{name}: the header announces {announced:,} pages, {read:,} are there")
    if not good:
        raise UserError(f"{file}: none of {read:,} pages is sound: get a fresh copy from the device")
    return Sound(rows=_rows(np.array(good), PAGE), subject=subject)


def copy_cwa(file: Path, name: str, copy: Path, ledger: Ledger) -> Sound:
    """Write the sound blocks of an Axivity file to `copy`.

    Raises
    ------
    UserError
        If the header is not sound, or no block is.
    """
    if file.stat().st_size > MAX_BYTES:
        raise UserError(f"{file}: longer than {MAX_BYTES:,} bytes, which the decoder cannot read: cut it in parts")
    content = np.fromfile(file, np.uint8)
    if len(content) < 1024 or bytes(content[:2]) != b"MD":
        raise UserError(f"{file}: not an Axivity file: it must begin with a header 'MD' of 1,024 bytes")
    config = int(content[35])
    axes = 3 if config in (0, 255) else 9 if config >> 4 else 6
    n_blocks, tail = divmod(len(content) - 1024, _BLOCK.itemsize)
    blocks = content[1024 : 1024 + n_blocks * _BLOCK.itemsize].view(_BLOCK)
    sums = (
        content[1024 : 1024 + n_blocks * _BLOCK.itemsize]
        .view("<u2")
        .reshape(n_blocks, 256)
        .sum(axis=1, dtype=np.uint16)
    )
    faults = {
        "no data block": (blocks["kind"] != b"AX") | (blocks["length"] != 508),
        "wrong checksum": sums != 0,
        "other layout": ~np.isin(blocks["layout"], [axes << 4 | packed for n, packed in _SAMPLES if n == axes]),
        "no time": blocks["time"] == 0,
    }
    fault = np.select(list(faults.values()), list(range(1, len(faults) + 1)), 0)
    layouts = blocks["layout"][fault == 0]
    layout = int(layouts[0]) if len(layouts) else axes << 4 | 2
    samples = _SAMPLES[layout >> 4, layout & 15]
    faults["other layout than the first"] = blocks["layout"] != layout
    faults["incomplete block"] = blocks["count"] != samples
    fault = np.select(list(faults.values()), list(range(1, len(faults) + 1)), 0)
    ledger.rows_read += (n_blocks + bool(tail)) * samples
    for number, kind in enumerate(faults, start=1):
        where = np.flatnonzero(fault == number)
        ledger.reject(name, kind, _rows(where, samples), f"block {where[0]}" if len(where) else "")
    if tail:
        ledger.reject(name, "cut off at the end of the file", _rows(np.array([n_blocks]), samples), f"{tail} bytes")
    good = np.flatnonzero(fault == 0)
    if not len(good):
        raise UserError(f"{file}: none of {n_blocks:,} blocks is sound: get a fresh copy from the device")
    # The decoder writes one sample beyond each block: a block more keeps that inside its arrays. It comes first, in the place
    # of the next one and long before it, so that nothing of it is left but room for one block at the end.
    sound = blocks[np.concatenate([good[:1], good])]
    sound["sequence"] = np.maximum(np.arange(len(sound)) - 1, 0)
    sound["events"], sound["rate"] = 0, sound["rate"] & 15  # its sum takes these bytes to be signed
    sound["time"][0], sound["offset"][0], sound["rate"][0] = 1 << 22 | 1 << 17, 32767, 0  # 3.9 days before 2000
    words = sound.view("<u2").reshape(len(sound), 256)
    if axes == 9:
        words[:, 15 + samples * axes : 255] = 0  # its sum ends with the samples
    words[:, 255] = -words[:, :255].sum(axis=1, dtype=np.uint16)
    with copy.open("wb") as out:
        out.write(content[:1024].tobytes())
        out.write(sound.tobytes())
    return Sound(rows=_rows(good, samples))


def _rows(numbers: np.ndarray, samples: int) -> np.ndarray:
    return (numbers[:, None] * samples + np.arange(samples)).ravel()


def _header(file: Path, source: BinaryIO) -> tuple[bytes, int, str]:
    """Return the header of a `.bin` with its number of pages as nine zeros, that number, and the subject code."""
    lines = []
    for line in iter(lambda: source.readline(_LINE_BYTES), b""):
        lines.append(line)
        if line.startswith(b"Number of Pages:") or len(lines) == _HEADER_LINES:
            lines.append(source.readline(_LINE_BYTES))
            break
    text = b"".join(lines).replace(b"\0", b" ")  # notes are padded with zeros
    first = re.search(rb"^Calibration Data", text, re.MULTILINE)
    calibration = _CALIBRATION.search(text)
    if (
        not text.startswith(b"Device Identity")
        or len(lines) < 59
        or max(map(len, lines)) > 250
        or not re.match(rb"Measurement Frequency:\d", lines[19])
        or calibration is None
        or first is None
        or (first.start(), len(text)) != calibration.span()
    ):
        raise UserError(
            f"{file}: not a GENEActiv file: its header needs 'Device Identity', the frequency in line 20, the calibration "
            "and the number of pages: get a fresh copy from the device"
        )
    subject = re.search(rb"^Subject Code:([^\n]*)", text, re.MULTILINE)
    header = text[: calibration.start(1)].replace(b"\r", b"") + b"000000000\n\n"
    return header, int(calibration[1]), subject[1].decode("ascii", "replace").strip() if subject else ""


def _pages(source: BinaryIO) -> Iterator[bytes]:
    page: list[bytes] = []
    for line in iter(lambda: source.readline(_LINE_BYTES), b""):
        if line.startswith(b"Recorded Data") and page:
            yield b"".join(page)
            page = []
        if (page or line.strip()) and len(page) < 20:
            page.append(line)
    if page:
        yield b"".join(page)
