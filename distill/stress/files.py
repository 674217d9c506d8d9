"""What a stress bench found, on disk: `stress.json` in the run directory, and its scores as `stress.csv` for others to read."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from distill.layout import is_sealed, sealed
from distill.stress.measuring import COLUMNS
from distill.stress.registry import CONDITIONS
from tsimage import atomic
from tsimage.errors import UserError
from tsimage.locks import locked

SCORES = "stress.csv"
ABOUT = "stress.json"
LOCK = ".stress.lock"
_KEYS = {"result_sha256", "seed", "conditions", "left_out", "most_frequent"}


def write(folder: Path, frame: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """Write scores, and what they are about, into a run directory; a kill at any moment leaves the old ones or the new.

    All is in one file, which is replaced at once; the CSV file beside it says the same and is never read back. Whoever
    calls it holds the `LOCK` of the folder.

    Parameters
    ----------
    folder : Path
    frame : DataFrame
        Columns `distill.stress.measuring.COLUMNS`.
    about : mapping
        JSON types.
    """
    for left_over in folder.glob(".stress.*.partial"):  # of a process that was killed while it wrote
        left_over.unlink()
    content = _csv(frame)
    atomic.write_json(folder / ABOUT, sealed({**about, "scores": content.split("\n")}))
    atomic.write_bytes(folder / SCORES, content.encode())


def read(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """Read what `write` wrote; None where there is nothing.

    Raises
    ------
    UserError
        If it is not as it was written, or another version wrote it.
    """
    path = folder / ABOUT
    if not path.exists():
        return None
    try:
        about = atomic.read_json(path)
    except UserError:
        about = None
    if not isinstance(about, dict) or not is_sealed(about):
        raise UserError(f"'{path}' is not as it was written (its sha256 differs): {mended(folder)}")
    del about["sha256"]
    lines = about.pop("scores", None)
    is_ours = about.keys() >= _KEYS and bool(lines) and lines[0] == ",".join(COLUMNS)
    if not is_ours or about["conditions"].keys() - CONDITIONS.keys():
        raise UserError(f"'{path}' is of another version of this program: {mended(folder)}")
    frame = pd.read_csv(io.StringIO("\n".join(lines)), dtype=str, keep_default_na=False)
    return frame.astype(
        {"seed": int, "accuracy": float, "macro_f1": float}
    ), about  # to the last bit, as read_csv may not


def tell(folder: Path, frame: pd.DataFrame) -> None:
    """Write the CSV file again if it is gone or says anything else than these scores."""
    path = folder / SCORES
    if path.exists() and path.read_bytes() == _csv(frame).encode():
        return
    with locked(folder / LOCK):
        found = read(folder)  # which another process may have added to
        if found is not None:
            atomic.write_bytes(path, _csv(found[0]).encode())


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def mended(folder: Path) -> str:
    """Say how to be rid of scores that are of no use."""
    return f"measure it anew with distill stress {shlex.quote(str(folder))} --again"


def check_writable(folder: Path) -> None:
    """See that scores can be kept, before they are measured.

    Raises
    ------
    UserError
        If not.
    """
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"'{folder}' may not be written, and scores are kept there: copy the run, or ask for the right to"
        )
