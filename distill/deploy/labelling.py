"""Recordings labelled by a model: every window of them, and why some have no label."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import IO

import numpy as np

from distill.deploy.answers import COLUMNS, Answer, answers
from distill.deploy.contract import Contract
from distill.deploy.fitting import check_rate, fit, in_units, match_channels, match_units
from distill.deploy.gate import Inspection
from distill.deploy.inputs import read_for
from distill.deploy.model import Model
from distill.deploy.people import is_familiar
from distill.deploy.reading import Reading
from distill.deploy.slicing import Sliced, check_any, hop_samples, slice_recording, slice_windows
from tsimage.datasets import Source
from tsimage.errors import UserError
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """What a model said about one recording.

    Parameters
    ----------
    sliced : Sliced
        Its windows.
    answers : tuple of Answer
        One for each.
    each_s : float or None
        Seconds that each window stands for, which is the hop; None where windows had been cut before.
    contract : Contract
    is_familiar : bool
        Whether the model says that it was trained or chosen on this person.
    """

    sliced: Sliced
    answers: tuple[Answer, ...]
    each_s: float | None
    contract: Contract
    is_familiar: bool

    def rows(self) -> Iterable[list[str]]:
        """Return the rows of a csv file, in the order of `HEADER`."""
        for answer, truth in zip(self.answers, self.sliced.truth, strict=True):
            yield [self.sliced.id, self.sliced.subject, *answer.cells(), truth]

    def summary(self) -> str:
        """Say in one line how long each activity lasted."""
        name = f"{self.sliced.id} ({self.sliced.subject})" if self.sliced.subject else self.sliced.id
        if not self.answers:
            return f"{name}: too short for one window of {self.contract.length} samples: it has {self.sliced.n_samples}"
        counts = Counter(a.label for a in self.answers if a.label)
        parts = [f"{label} {self._amount(n)}" for label, n in counts.most_common()]
        unlike = sum(bool(a.unknown) for a in self.answers)
        if unlike:
            parts.append(f"unknown among these {self._amount(unlike)}")
        poor = sum(bool(a.label and a.flags) for a in self.answers)
        if poor:
            parts.append(f"flagged among these {self._amount(poor)}")
        lost = len(self.answers) - counts.total()
        if lost:
            parts.append(f"not labelled {self._amount(lost)}")
        total = (
            f"{len(self.answers):,} windows" if self.each_s is None else f"{self._amount(len(self.answers))} minutes"
        )
        known = [t == a.label for a, t in zip(self.answers, self.sliced.truth, strict=True) if t and a.label]
        told = ""
        if known:
            told = f"; right in {100 * sum(known) / len(known):.1f} % of {len(known):,} windows whose label is known"
            told += ", of a person whom the model was trained or chosen on" if self.is_familiar else ""
        return f"{name}: {total}: {', '.join(parts)}{told}"

    def _amount(self, n: int) -> str:
        return f"{n:,}" if self.each_s is None else f"{n * self.each_s / 60:.2f}"


HEADER = ("recording", "subject", *COLUMNS, "true_label")
"""Of the csv file that `write_csv` writes."""


def label(
    model: Model,
    data: str,
    reading: Reading | None = None,
    hop: str | int | None = None,
    *,
    gate: bool = False,
    say: Callable[[str], None],
) -> list[Labelled]:
    """Label every window of a recording, file, folder or data set.

    Windows begin at every hop from the first sample of each recording, as in a stream; one with a gap in it has no label. Other
    faults are flagged, but do not keep a window from being labelled unless `gate` is set. Then every answer is that of a
    `distill.deploy.stream.Stream` that was given the same samples.

    Parameters
    ----------
    model : Model
    data : str
        Anything that tsimage reads: recordings, or windows of the length that the model wants.
    reading : Reading, optional
    hop : int or str, optional
        Samples (64) or seconds ("1.28s") from one window to the next; half a window unless given.
    gate : bool
        Whether windows of poor quality stay without a label. Each is then looked at alone, as in a stream, so that
        flags are left out that need the whole recording (see `distill.deploy.gate.Inspection`).
    say : callable
        Takes statements on what was read and how it was brought to what the model wants.

    Returns
    -------
    list of Labelled
        One for each recording.

    Raises
    ------
    UserError
        If nothing can be read, or it does not fit the model.
    """
    reading = reading or Reading()
    contract = model.contract
    step = hop_samples(hop, contract.length, contract.rate_hz)
    sliced, each_s = sliced_for(contract, read_for(data, reading, contract.channels, say=say), reading, hop, say=say)
    check_any(sliced, contract.length, contract.rate_hz)
    assert each_s is None or each_s == step / contract.rate_hz
    return [_labelled(model, each, each_s, gate) for each in sliced]


def sliced_for(
    contract: Contract, source: Source, reading: Reading, hop: str | int | None, *, say: Callable[[str], None]
) -> tuple[list[Sliced], float | None]:
    """Bring what was read to what a contract wants, and slice it.

    Returns
    -------
    sliced : list of Sliced
    each_s : float or None
        Seconds from one window to the next; None where the format holds windows.

    Raises
    ------
    UserError
        If it does not fit.
    """
    content = source.content
    report = content.read_report if isinstance(content, Windows) else content.report
    if report is not None:
        say(str(report))
    if isinstance(content, Windows):
        if hop is not None:
            raise UserError(f"{source.name} holds windows that were cut before: leave out hop")
        return slice_windows(fit_windows(content, contract, reading, say=say)), None
    step = hop_samples(hop, contract.length, contract.rate_hz)
    recordings = fit(content.recordings, contract, named=reading.channels, resample=reading.resample, say=say)
    broken = sum(bool(recording.breaks) for recording in recordings)
    if broken:
        say(
            f"Breaks in time in {broken:,} of {len(recordings):,} recordings: seconds count the samples that are there, so after a "
            "break they are behind the clock"
        )
    return [slice_recording(r, contract.length, step) for r in recordings], step / contract.rate_hz


def fit_windows(windows: Windows, contract: Contract, reading: Reading, *, say: Callable[[str], None]) -> Windows:
    """Bring windows to the channels and units of a contract.

    Raises
    ------
    UserError
        As `distill.deploy.fitting.fit`; or for windows of another length.
    """
    check_rate(
        windows.name,
        windows.rate_hz,
        contract,
        "windows cannot be resampled, give the recordings that they were cut from",
    )
    if windows.length != contract.length:
        raise UserError(
            f"{windows.name} holds windows of {windows.length} samples and the model wants {contract.length}: give the "
            "recordings that they were cut from"
        )
    order = match_channels(windows.name, windows.channels, contract.channels, reading.channels)
    values = windows.values if order == list(range(len(windows.channels))) else windows.values[:, order]
    units, said = match_units([values], [windows.units[i] for i in order], contract, windows.name)
    for statement in said:
        say(statement)
    return replace(
        windows,
        values=in_units(values, units, contract),
        channels=contract.channels,
        units=contract.units,
        gaps=None if windows.gaps is None else windows.gaps[:, order],
        flags=None,
    )


def write_csv(labelled: Sequence[Labelled], file: IO[str]) -> None:
    """Write a row for each window, below a line with `HEADER`."""
    out = csv.writer(file, lineterminator="\n")
    out.writerow(HEADER)
    for each in labelled:
        out.writerows(each.rows())


def _labelled(model: Model, sliced: Sliced, each_s: float | None, gate: bool) -> Labelled:
    contract = model.contract
    n = len(sliced.start)
    parts = [slice(i, i + 1) for i in range(n)] if gate else [slice(0, n)]
    found = [
        Inspection(sliced.values[rows], contract, sliced.gaps[rows], sliced.torn[rows], sliced.start[rows])
        for rows in parts
    ]
    labelled = np.concatenate([np.zeros(0, dtype=bool), *(each.whole & ~(each.closed & gate) for each in found)])
    made = answers(
        sliced.start.tolist(),
        (sliced.start / contract.rate_hz).tolist(),
        contract.length,
        [text for each in found for text in each.text],
        labelled,
        model.predict(_only(sliced.values, labelled)),
        contract.classes,
    )
    familiar = is_familiar(contract.about, np.array([sliced.subject]))
    return Labelled(
        sliced=sliced,
        answers=tuple(made),
        each_s=each_s,
        contract=contract,
        is_familiar=familiar is not None and bool(familiar[0]),
    )


def _only(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return values if rows.all() else values[rows]  # a view needs no memory
