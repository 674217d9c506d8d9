"""The windows of a run loaded again, and seen to be those that it was done on."""

from __future__ import annotations

from contextlib import chdir, nullcontext
from pathlib import Path

from distill.grid import home_of
from distill.layout import GRID
from distill.records import Record
from tsimage.datasets import load
from tsimage.errors import UserError
from tsimage.windows import Windows


class OtherWindowsError(UserError):
    """The data of a run now give other windows than those that it was done on."""


def windows_again(record: Record, windows: Windows | None = None) -> Windows:
    """Load the windows of a run.

    Parameters
    ----------
    record : Record
        Of a run that has begun.
    windows : Windows, optional
        In place of the data that the run names.

    Raises
    ------
    UserError
        If the data cannot be read.
    OtherWindowsError
        If they are not the same to the bit.
    """
    try:
        with at_home(record):
            found = load(record.run.data if windows is None else windows, record.run.read)
    except (UserError, OSError) as error:
        raise UserError(f"the data of run '{record.folder}' cannot be read here: {error}") from error
    if found.fingerprint() != record.about["data"]["windows_sha256"]:
        raise OtherWindowsError(
            f"the data '{record.run.data}' now give other windows than those of run '{record.folder}': bring back the data "
            "that it was done on, or do the run anew"
        )
    return found


def at_home(record: Record) -> chdir[Path] | nullcontext[None]:
    """Go where the paths of a run start from, if it is one of a grid."""
    grid = record.folder.parent.parent
    return chdir(home_of(grid)) if (grid / GRID).exists() else nullcontext()
