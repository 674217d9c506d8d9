"""What is said about one window of a recording or stream, and how it is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from distill.deploy.model import Prediction

COLUMNS = ("start", "stop", "seconds", "label", "probability", "energy", "unknown", "flags")
"""Of the rows that `Answer.cells` gives."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is said about one window.

    Parameters
    ----------
    start, stop : int
        Samples at the model's rate, counted from 0, `stop` excluded.
    seconds : float
        Time of the first sample.
    label : str
        The most likely class; empty where the window was not labelled, and then the next three are None.
    probability : float or None
        Of that class.
    energy : float or None
        Log-sum-exp of the logits.
    unknown : bool or None
        Whether the energy lies below what is usual in training windows, so that the label may mean nothing.
    flags : str
        What is wrong with the window, as `tsimage.quality.describe` writes it, with `break` and `out-of-range`; empty
        where nothing is.
    """

    start: int
    stop: int
    seconds: float
    label: str
    probability: float | None
    energy: float | None
    unknown: bool | None
    flags: str

    def cells(self) -> list[str]:
        """Return what stands in a row of a csv file, in the order of `COLUMNS`.

        >>> Answer(start=0, stop=4, seconds=0.0, label="", probability=None, energy=None, unknown=None, flags="break").cells()
        ['0', '4', '0', '', '', '', '', 'break']
        """
        return [
            str(self.start),
            str(self.stop),
            f"{self.seconds:.15g}",
            self.label,
            "" if self.probability is None else f"{self.probability:.7f}",
            "" if self.energy is None else f"{self.energy:.6f}",
            "" if self.unknown is None else str(self.unknown).lower(),
            self.flags,
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; what is not known is None."""
        return asdict(self) | {"label": self.label or None}


def answers(
    starts: Sequence[int],
    seconds: Sequence[float],
    length: int,
    flags: Sequence[str],
    labelled: np.ndarray,
    predicted: Prediction,
    classes: Sequence[str],
) -> list[Answer]:
    """Put together what is said about windows, in their order.

    Parameters
    ----------
    starts, seconds, flags : sequences of length n
    length : int
        Samples of a window.
    labelled : ndarray of bool, shape (n,)
        Which windows the model saw.
    predicted : Prediction
        What it answered to those.
    classes : sequence of str
    """
    made = []
    where = np.cumsum(labelled) - 1
    for i, start in enumerate(starts):
        row = int(where[i]) if labelled[i] else None
        made.append(
            Answer(
                start=int(start),
                stop=int(start) + length,
                seconds=float(seconds[i]),
                label="" if row is None else classes[predicted.classes[row]],
                probability=None if row is None else float(predicted.probability[row]),
                energy=None if row is None else float(predicted.energy[row]),
                unknown=None if row is None else bool(predicted.unknown[row]),
                flags=flags[i],
            )
        )
    return made
