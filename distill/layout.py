"""The files that say what a folder of distill is, and how far."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsimage import atomic
from tsimage.errors import UserError

LOCK = ".lock"
"""In a run, a grid and each training of a grid; held by the process that is at work there."""
SELECT = "select"
"""In a run, the folder of the candidates among which it chooses its values."""
GRID = "grid.json"
RESULT = "result.json"
"""In a run, written last of all."""
PREDICTIONS = "predictions.csv"
LOGITS = "logits.safetensors"
"""What every model of a run says of every window of the evaluation part, in the order of the predictions."""
FAILED = "failed.json"
"""In a training of a grid that failed, and in a run of one that could not be evaluated."""
_SUM = "sha256"
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


def has_candidates(folder: Path) -> bool:
    """Return whether a run began here to choose its values; `run.json` is written when it has chosen."""
    return any((folder / SELECT / first).is_dir() for first in ("1", "fold-1/1"))


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON file with its sha256."""
    return {**content, _SUM: digest(content)}


def is_sealed(content: Mapping[str, Any]) -> bool:
    """Return whether what was read of a JSON file is what was `sealed`."""
    return content.get(_SUM) == digest({name: value for name, value in content.items() if name != _SUM})


def write_result(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the result of a run with the sha256 of its content."""
    atomic.write_json(folder / RESULT, sealed(content))


def read_result(folder: Path) -> dict[str, Any]:
    """Return the result of a finished run, seen to be the one that was written.

    Raises
    ------
    UserError
        If it is damaged, was changed, or is one that this version did not write.
    """
    path = folder / RESULT
    mend = "remove it and do the same run again, which only evaluates what is trained"
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # the latter for what is nested a thousand deep
        raise UserError(f"'{path}' is damaged ({error}): {mend}") from error
    if not isinstance(content, dict) or _SUM not in content:
        raise UserError(f"'{path}' is no result of this version: remove the run directory and do the run anew")
    if not is_sealed(content):
        raise UserError(f"'{path}' is not as it was written (its sha256 differs): {mend}")
    del content[_SUM]
    return content


def digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of a content, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
