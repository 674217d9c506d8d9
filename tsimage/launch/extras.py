"""Engines that are installed beside the package."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from tsimage.errors import UserError


def extra(module: str, name: str) -> ModuleType:
    """Import a module that an extra of this package installs.

    Raises
    ------
    UserError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(f"launch {name} needs {module}: pip install 'tsimage[{name}]'") from error


def not_shared(folder: Path) -> UserError:
    """Say that a worker on another machine finds neither its folder nor a place for its output."""
    return UserError(
        f"a worker could not be started on its machine, where '{folder}' or the folder of this command is not as it is here: "
        "work on a file system that all machines share"
    )
