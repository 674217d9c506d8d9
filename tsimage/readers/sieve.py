"""The rows of one file while they are checked: each is dropped once, for the first reason found."""

from __future__ import annotations

import numpy as np

from tsimage.ledger import Ledger


class Sieve:
    """Which rows of one file are still good, and why the others are not.

    Reasons are gathered and handed to the ledger at the end in the order of lines, so that a strict ledger stops at the
    first bad line of the file, whatever was checked first.

    Parameters
    ----------
    file : str
        Name in the ledger.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[str, list[np.ndarray]] = {}
        self._examples: dict[str, tuple[int, str]] = {}

    def drop(self, kind: str, lines: np.ndarray, example: str = "") -> None:
        """Take down rows that are bad; `example` is what the first of them holds."""
        if len(lines):
            self._found.setdefault(kind, []).append(lines)
            first = int(lines.min())
            if kind not in self._examples or first < self._examples[kind][0]:
                self._examples[kind] = (first, example)

    def count(self, kind: str) -> int:
        """Return how many rows were dropped for this reason."""
        return sum(map(len, self._found.get(kind, [])))

    def lines(self, *, but: tuple[str, ...] = ()) -> np.ndarray:
        """Return the lines of all rows dropped so far, increasing, without those dropped for the reasons `but`."""
        found = [lines for kind, each in self._found.items() if kind not in but for lines in each]
        return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *found]))

    def settle(self, ledger: Ledger) -> None:
        """Hand everything to the ledger.

        Raises
        ------
        UserError
            If the ledger is strict and a row was dropped.
        """
        for kind, (_, example) in sorted(self._examples.items(), key=lambda item: item[1][0]):
            ledger.reject(self.file, kind, np.concatenate(self._found[kind]), example)
