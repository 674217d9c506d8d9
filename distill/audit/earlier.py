"""What became of the data and the split of a run since it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.certificate import certificate
from distill.config import Run
from distill.options import run_from
from distill.splits import cross_validation, split_windows, with_stopping
from tsimage import atomic
from tsimage.errors import UserError
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A run directory, finished or not: what was run, and what it recorded of its windows and split."""

    folder: Path
    run: Run
    windows_sha256: str
    split: dict[str, Any]
    is_finished: bool


@dataclass(frozen=True, kw_only=True)
class Since:
    """How windows and split compare with those that a run recorded.

    Parameters
    ----------
    folder : str
    is_finished : bool
    same_windows : bool
        Whether everything that training can see is the same to the bit.
    same_split : bool
        Whether the certificate, made anew, says the same.
    differences : tuple of str
        Where it does not: the names of its entries, or why it cannot be made any more.
    """

    folder: str
    is_finished: bool
    same_windows: bool
    same_split: bool
    differences: tuple[str, ...]

    def sentences(self) -> list[str]:
        """Say it in plain words."""
        return [
            f"'{self.folder}' holds a run that is {'finished' if self.is_finished else 'not finished'}.",
            "The windows are those that it was made on, to the last bit."
            if self.same_windows
            else "The windows are NOT those that it was made on: its numbers are of other data.",
            "Its split certificate, made anew, says the same."
            if self.same_split
            else f"Its split certificate, made anew, differs: {', '.join(self.differences)}.",
        ]


def is_run(folder: str | Path) -> bool:
    """Tell whether a path is a run directory."""
    return (Path(folder) / "run.json").is_file()


def read_earlier(folder: str | Path) -> Earlier:
    """Read what a run directory says of its run.

    Raises
    ------
    UserError
        If its `run.json` is damaged or describes no run of this version.
    """
    path = Path(folder) / "run.json"
    content = atomic.read_json(path)
    try:
        options = dict(content["run"])
        read = options.pop("read")
        return Earlier(
            folder=Path(folder),
            run=run_from({**options, **read, "select": None}),  # with the values that were chosen
            windows_sha256=content["data"]["windows_sha256"],
            split=dict(content["split"]),
            is_finished=(Path(folder) / "result.json").exists(),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"'{path}' describes no run of this version: give the data itself") from error
    except UserError as error:
        raise UserError(f"'{path}' describes no run of this version ({error}): give the data itself") from error


def since(earlier: Earlier, windows: Windows) -> Since:
    """Compare windows, and the certificate that their split gets now, with what a run recorded."""
    try:
        now = _split_record(earlier.run, windows)
        differences = tuple(
            sorted(
                name.replace("_", " ")
                for name in now.keys() | earlier.split.keys()
                if now.get(name) != earlier.split.get(name)
            )
        )
    except UserError as error:
        differences = (str(error),)
    return Since(
        folder=str(earlier.folder),
        is_finished=earlier.is_finished,
        same_windows=windows.fingerprint() == earlier.windows_sha256,
        same_split=not differences,
        differences=differences,
    )


def _split_record(run: Run, windows: Windows) -> dict[str, Any]:
    """Return the certificate as a run records it; see `distill.plan.Plan.split_record`."""
    if run.folds:
        splits = cross_validation(windows, run.folds, run.evaluate)
    else:
        splits = (split_windows(windows, run.evaluate),)
    if run.patience:
        splits = tuple(with_stopping(windows, split) for split in splits)
    made = [certificate(windows, split) for split in splits]
    if not run.folds:
        return made[0]
    return made[0] | {"parts": {split.fold: one["parts"] for split, one in zip(splits, made, strict=True)}}
