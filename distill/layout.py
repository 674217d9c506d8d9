"""The files that say what a folder of distill is, and how far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsimage import atomic
from tsimage.errors import UserError

LOCK = ".lock"
"""In a run, a grid and each training of a grid; held by the process that is at work there."""
SELECT = "select"
"""In a run, the folder of the candidates among which it chooses its values."""
GRID = "grid.json"
FAILED = "failed.json"
"""In a training of a grid that failed, and in a run of one that could not be evaluated."""
_KEYS = {"runs", "trainings", "environment", "working_directory"}


def described(folder: Path) -> dict[str, Any]:
    """Return what the `grid.json` of a folder says.

    Raises
    ------
    UserError
        If there is none, or one that this version did not write.
    """
    path = folder / GRID
    if not path.exists():
        raise UserError(f"'{folder}' holds no grid: give the folder of one, or begin one with distill grid FILE")
    content = atomic.read_json(path)
    if not isinstance(content, dict) or _KEYS - content.keys():
        raise UserError(f"'{path}' describes no grid of this version: choose another folder")
    return content
