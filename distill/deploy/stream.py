"""A model that is given samples one by one, and answers as soon as a window is full."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distill.deploy.answers import Answer, answers
from distill.deploy.gate import Inspection
from distill.deploy.model import Model
from distill.deploy.slicing import hop_samples
from tsimage.errors import UserError


class Stream:
    """Windows of a stream of samples, labelled one by one as `distill.deploy.labelling.label` labels them in one go.

    Nothing but the last window is kept, however long the stream.

    Parameters
    ----------
    model : Model
    hop : int or str, optional
        Samples (64) or seconds ("1.28s") from one window to the next; half a window unless given.
    gate : bool
        Whether windows that are flat, saturated, in another unit as gravity tells, or out of the range of the training windows
        stay without a label.
    """

    def __init__(self, model: Model, hop: str | int | None = None, *, gate: bool = True) -> None:
        contract = model.contract
        self.model, self.gate = model, gate
        self.hop = hop_samples(hop, contract.length, contract.rate_hz)
        # Every sample is written twice, one length apart, so that the last window always lies in one piece.
        self._ring = np.empty((len(contract.channels), 2 * contract.length), dtype=np.float32)
        self._seconds = np.empty(contract.length)
        self._torn = -1
        self.n_samples = 0

    def push(self, sample: Sequence[float] | np.ndarray | None, seconds: float | None = None) -> Answer | None:
        """Take the next sample, and answer if a window ends with it.

        Parameters
        ----------
        sample : sequence of float or None, shape (channel,)
            In the order and units of the contract; None where it is missing, so that windows with it have no label.
        seconds : float, optional
            Its time; counted from the first sample by the rate unless given.

        Returns
        -------
        Answer or None

        Raises
        ------
        UserError
            For another number of values, or one that is not finite in float32; the sample is then not taken.
        """
        contract = self.model.contract
        length, i = contract.length, self.n_samples
        nothing = np.full(len(contract.channels), np.nan, dtype=np.float32)
        values = nothing if sample is None else self._checked(sample)
        at = i % length
        self._ring[:, at] = self._ring[:, at + length] = values
        self._seconds[at] = i / contract.rate_hz if seconds is None else seconds
        self.n_samples += 1
        start = self.n_samples - length
        return self._answer(start) if start >= 0 and start % self.hop == 0 else None

    def tear(self) -> None:
        """Say that the next sample does not follow the last one in time: windows with both have no label."""
        self._torn = self.n_samples

    def _checked(self, sample: Sequence[float] | np.ndarray) -> np.ndarray:
        channels = self.model.contract.channels
        with np.errstate(over="ignore"):
            values = np.asarray(sample, dtype=np.float32)
        if values.shape != (len(channels),):
            raise UserError(
                f"sample {self.n_samples} has shape {values.shape}: give {len(channels)} values, of {', '.join(channels)}"
            )
        if not np.isfinite(values).all():
            name = channels[int(np.argmin(np.isfinite(values)))]
            raise UserError(f"sample {self.n_samples}, channel '{name}' is not finite: give None for a missing sample")
        return values

    def _answer(self, start: int) -> Answer:
        contract = self.model.contract
        length = contract.length
        first = start % length
        window = self._ring[None, :, first : first + length].copy()
        gaps = np.asarray(np.isnan(window).any(axis=2))
        found = Inspection(window, contract, gaps, np.array([self._torn > start]), np.array([start]))
        labelled = found.whole & ~(found.closed & self.gate)
        (answer,) = answers(
            [start],
            [float(self._seconds[first])],
            length,
            found.text,
            labelled,
            self.model.predict(window[labelled]),
            contract.classes,
        )
        return answer
