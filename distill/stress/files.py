"""What a stress bench found, on disk: `stress.csv` in the run directory, and `stress.json`, which vouches for it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from distill.layout import digest
from distill.stress.measuring import COLUMNS
from tsimage import atomic
from tsimage.errors import UserError

SCORES = "stress.csv"
ABOUT = "stress.json"


def write(folder: Path, frame: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """Write scores, and what vouches for them, into a run directory; a kill at any moment leaves none or both.

    Parameters
    ----------
    folder : Path
    frame : DataFrame
        Columns `distill.stress.measuring.COLUMNS`.
    about : mapping
        JSON types.
    """
    content = frame.to_csv(index=False, lineterminator="\n").encode()
    (folder / ABOUT).unlink(missing_ok=True)
    atomic.write_bytes(folder / SCORES, content)
    made = {**about, "files": {SCORES: hashlib.sha256(content).hexdigest()}}
    atomic.write_json(folder / ABOUT, {**made, "sha256": digest(made)})


def read(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """Read what `write` wrote; None where there is nothing.

    Raises
    ------
    UserError
        If a file is not as it was written.
    """
    path = folder / ABOUT
    if not path.exists():
        return None
    try:
        about = atomic.read_json(path)
        whole = isinstance(about, dict) and about.pop("sha256") == digest(about)
    except (UserError, KeyError):
        whole = False
    if not whole:
        raise _changed(path)
    scores = folder / SCORES
    content = scores.read_bytes() if scores.exists() else b""
    if hashlib.sha256(content).hexdigest() != about["files"][SCORES]:
        raise _changed(scores)
    frame = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    frame = frame.astype({"seed": int, "accuracy": float, "macro_f1": float})  # to the last bit, as read_csv may not
    return frame[list(COLUMNS)], about


def _changed(path: Path) -> UserError:
    return UserError(
        f"'{path}' is missing or not as it was written (its sha256 differs): give --again to measure it anew"
    )
