"""A file that carries its own checksum: among its metadata, over all of its bytes but the checksum itself."""

from __future__ import annotations

import hashlib

KEY = "sha256"
"""Under which the checksum stands in the metadata of an ONNX file."""
BLANK = "-" * 64
"""What stands in its place while it is computed."""


def sealed(content: bytes) -> bytes:
    """Put the checksum of a file in the place of `BLANK`, which it holds once.

    Examples
    --------
    >>> made = sealed(b"weights " + BLANK.encode() + b" more weights")
    >>> len(made), is_whole(made, made[8:72].decode()), is_whole(made.replace(b"more", b"mode"), made[8:72].decode())
    (85, True, False)
    """
    before, between, after = content.partition(BLANK.encode())
    assert between
    assert BLANK.encode() not in after
    return before + hashlib.sha256(content).hexdigest().encode() + after


def is_whole(content: bytes, checksum: str) -> bool:
    """Tell whether a file that carries a checksum is as it was when it was sealed.

    Parameters
    ----------
    content : bytes
        Of the file, which holds the checksum once.
    checksum : str
    """
    found = checksum.encode()
    if len(found) != len(BLANK) or content.count(found) != 1:
        return False
    return hashlib.sha256(content.replace(found, BLANK.encode())).hexdigest() == checksum
