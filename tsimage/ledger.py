"""Where every row of a file went: read = kept + rejected, each rejection with file, line and reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tsimage import atomic
from tsimage.errors import UserError

Treatment = Literal["rejected", "mended", "noted"]
_EXAMPLE_LENGTH = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class Fault:
    """One kind of fault in one file.

    Parameters
    ----------
    file : str
        Relative to what was read, with the member of an archive.
    kind : str
        A few words, the same in every file: "missing z".
    treatment : {"rejected", "mended", "noted"}
        `rejected` rows are gone; `mended` ones were kept after a documented mend; `noted` ones were kept as they are.
    lines : ndarray of int64, shape (row,)
        Where: lines of text, counted from 1, or rows of a binary file, counted from 0.
    example : str
        What the first of them holds.
    """

    file: str
    kind: str
    treatment: Treatment
    lines: np.ndarray
    example: str = ""

    def __str__(self) -> str:
        some = ", ".join(str(line) for line in self.lines[:3]) + (", ..." if len(self.lines) > 3 else "")
        example = f" ({self.example!r})" if self.example else ""
        return f"{self.file}: {self.treatment} {len(self.lines):,} x {self.kind}, line {some}{example}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadReport:
    """What became of the rows of one or more files: `rows_read = rows_kept + rows_rejected`.

    A row is a sample (of all channels), or a whole window where a file holds windows. A line that holds two records
    counts as two rows. Headers and comments are no rows; empty lines are, and are rejected.
    """

    rows_read: int = 0
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    """Statements about the whole: units and rates that were found, columns that were taken."""

    @property
    def rows_rejected(self) -> int:
        """Rows that are gone."""
        return sum(len(fault.lines) for fault in self.faults if fault.treatment == "rejected")

    @property
    def rows_kept(self) -> int:
        """Rows that were handed on."""
        return self.rows_read - self.rows_rejected

    def counts(self, treatment: Treatment | None = None) -> dict[str, int]:
        """Return how many rows each kind of fault touched, most frequent first."""
        totals: dict[str, int] = {}
        for fault in self.faults:
            if treatment in (None, fault.treatment):
                totals[fault.kind] = totals.get(fault.kind, 0) + len(fault.lines)
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and the statements, ready for JSON."""
        faults = [
            {
                "file": f.file,
                "kind": f.kind,
                "treatment": f.treatment,
                "rows": len(f.lines),
                "first_line": int(f.lines[0]),
            }
            for f in self.faults
        ]
        rows = {"read": self.rows_read, "kept": self.rows_kept, "rejected": self.rows_rejected}
        return rows | {"faults": faults, "notes": list(self.notes)}

    def rows(self) -> Iterator[tuple[str, int, str, str]]:
        """Yield (file, line, treatment, kind) of every fault, in the order of files and lines."""
        flat = ((f.file, int(line), f.treatment, f.kind) for f in self.faults for line in f.lines)
        return iter(sorted(flat))

    def write(self, path: Path) -> None:
        """Write every fault as a row of a csv file: file, line, treatment, reason."""
        text = io.StringIO(newline="")
        out = csv.writer(text, lineterminator="\n")
        out.writerow(("file", "line", "treatment", "reason"))
        out.writerows(self.rows())
        atomic.write_bytes(path, text.getvalue().encode())

    def __str__(self) -> str:
        head = f"Read {self.rows_read:,} rows: kept {self.rows_kept:,}, rejected {self.rows_rejected:,}"
        return "\n".join([head, *self._summary(), *self.notes])

    def _summary(self) -> list[str]:
        by_kind: dict[tuple[str, str], list[Fault]] = {}
        for fault in self.faults:
            by_kind.setdefault((fault.treatment, fault.kind), []).append(fault)
        said = []
        for (treatment, kind), faults in sorted(by_kind.items(), key=lambda item: -sum(len(f.lines) for f in item[1])):
            total, first = sum(len(f.lines) for f in faults), faults[0]
            files = "" if len(faults) == 1 else f" in {len(faults)} files"
            example = f": {first.example!r}" if first.example else ""
            said.append(
                f"  {treatment} {total:,} x {kind}{files}, first in {first.file}, line {first.lines[0]}{example}"
            )
        return said


@dataclass(kw_only=True, eq=False)
class Ledger:
    """Collects a `ReadReport` while files are read.

    Parameters
    ----------
    strict : bool
        Raise at the first rejected row instead of going on.
    """

    strict: bool = False
    rows_read: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def reject(self, file: str, kind: str, lines: Iterable[int] | np.ndarray, example: str = "") -> None:
        """Take down rows that are left out.

        Raises
        ------
        UserError
            If the ledger is strict and there is such a row.
        """
        self._add(file, kind, "rejected", lines, example)

    def mend(self, file: str, kind: str, lines: Iterable[int] | np.ndarray, example: str = "") -> None:
        """Take down rows that are kept after a mend that the reader documents."""
        self._add(file, kind, "mended", lines, example)

    def note(self, file: str, kind: str, lines: Iterable[int] | np.ndarray, example: str = "") -> None:
        """Take down rows that are kept as they are."""
        self._add(file, kind, "noted", lines, example)

    def say(self, statement: str) -> None:
        """Take down a statement about the whole, once."""
        if statement not in self.notes:
            self.notes.append(statement)

    def report(self) -> ReadReport:
        """Return what was taken down."""
        return ReadReport(rows_read=self.rows_read, faults=tuple(self.faults), notes=tuple(self.notes))

    def nothing_left(self, path: object) -> UserError:
        """Return the error of a reader whose rows are all gone: it names the most frequent reasons."""
        counts = self.report().counts("rejected")
        reasons = ", ".join(f"{n:,} x {kind}" for kind, n in list(counts.items())[:3]) or "there are none"
        return UserError(
            f"{path}: none of {self.rows_read:,} rows can be used ({reasons}): check that this is the right format and "
            "that the columns are the right ones"
        )

    def _add(self, file: str, kind: str, treatment: Treatment, lines: Iterable[int] | np.ndarray, example: str) -> None:
        where = np.sort(np.asarray(lines if isinstance(lines, np.ndarray) else list(lines), dtype=np.int64))
        if not len(where):
            return
        example = " ".join(example.split())
        if len(example) > _EXAMPLE_LENGTH:
            example = example[: _EXAMPLE_LENGTH - 3] + "..."
        if self.strict and treatment == "rejected":
            said = f" ({example!r})" if example else ""
            raise UserError(
                f"{file}, line {where[0]}: {kind}{said}: mend it, or pass faults 'reject' to leave out such rows and count them"
            )
        self.faults.append(Fault(file=file, kind=kind, treatment=treatment, lines=where, example=example))
