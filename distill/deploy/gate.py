"""What is wrong with windows before a model looks at them, and which it should not label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distill.deploy.contract import Contract
from tsimage.quality import FLAGS, describe, inspect
from tsimage.windows import Windows

MARGIN = 0.1
"""By this share of the range of the training windows a value may lie outside of it: people move more or less."""
CLOSED = ("constant", "saturated", "wrong-unit")
"""Flags of `tsimage.quality` that close the gate, as values out of range do."""


class Inspection:
    """Faults of windows.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
        In the channels and units of the contract; NaN where missing.
    contract : Contract
    gaps : ndarray of bool, shape (window, channel)
        Where samples are missing.
    torn : ndarray of bool, shape (window,)
        Whether a sample does not follow the one before it in time.
    start : ndarray of int64, shape (window,)
        First sample of each, counted within their recording.

    Attributes
    ----------
    whole : ndarray of bool, shape (window,)
        No sample is missing and none torn off: windows that can be labelled at all.
    closed : ndarray of bool, shape (window,)
        Flat, saturated or in a unit that gravity contradicts on a channel, or out of the range of the training windows.
    text : list of str
        All faults of each window, empty where there are none.

    Notes
    -----
    `tsimage.quality.inspect` looks at all windows of a recording together. So a stream, which has one window at a time,
    cannot find faults that show only in the whole: `non-wear`, and some of `saturated`.
    """

    def __init__(
        self, values: np.ndarray, contract: Contract, gaps: np.ndarray, torn: np.ndarray, start: np.ndarray
    ) -> None:
        n = len(values)
        windows = Windows(
            values=values,
            channels=contract.channels,
            units=contract.units,
            rate_hz=contract.rate_hz,
            labels=np.zeros(n, dtype=np.int64),
            class_names=("unlabelled",),
            subjects=np.full(n, ""),
            recordings=np.full(n, "r"),
            start=start,
            stop=start + values.shape[2],
            ids=np.arange(n).astype(str),
            gaps=gaps if gaps.any() else None,
        )
        flags = inspect(windows)
        outside = _outside(windows.ranges(), contract)
        closing = sum(FLAGS[name].bit for name in CLOSED)
        self.whole = ~(gaps.any(axis=1) | torn)
        self.closed = ((flags & closing > 0) | outside).any(axis=1)
        self.text = [
            _text(flags[i], outside[i], bool(torn[i]), contract.channels) if wrong else ""
            for i, wrong in enumerate(flags.any(axis=1) | outside.any(axis=1) | torn)
        ]


def _outside(ranges: np.ndarray, contract: Contract) -> np.ndarray:
    """Tell which channels of which windows leave the range of the training windows; ranges (window, channel, 2)."""
    low, high = np.array(contract.low, dtype=np.float64), np.array(contract.high, dtype=np.float64)
    margin = MARGIN * (high - low)
    outside: np.ndarray = (ranges[:, :, 0] < low - margin) | (ranges[:, :, 1] > high + margin)
    return outside


def _text(flags: np.ndarray, outside: np.ndarray, torn: bool, channels: Sequence[str]) -> str:
    names = [channel for channel, is_out in zip(channels, outside.tolist(), strict=True) if is_out]
    parts = ["break" if torn else "", describe(flags, channels), f"out-of-range({'|'.join(names)})" if names else ""]
    return "+".join(part for part in parts if part)
