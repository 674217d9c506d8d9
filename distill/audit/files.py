"""An audit on disk."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from distill.audit.contradictions import Contradicted
from distill.audit.report import Audit
from tsimage import atomic
from tsimage.errors import UserError


def check_folder(folder: str | Path) -> Path:
    """Return the folder if an audit can be written there.

    Raises
    ------
    UserError
        If it is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"'{folder}' is a file: choose a folder")
    return folder


def write(audit: Audit, folder: str | Path) -> list[Path]:
    """Write `audit.json` and `contradicted.csv`, a row for each contradicted window, into a folder; returns their paths.

    Raises
    ------
    UserError
        If the folder is a file.
    """
    folder = check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = audit.contradicted if isinstance(audit.contradicted, tuple) else ()
    frame = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(Contradicted)])
    atomic.write_json(folder / "audit.json", audit.to_json())
    atomic.write_bytes(folder / "contradicted.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    return [folder / "audit.json", folder / "contradicted.csv"]
