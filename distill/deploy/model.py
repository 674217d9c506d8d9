"""Models in ONNX files: opened with every check that can be made before they see a window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.deploy import seal
from distill.deploy.contract import INPUT, KEY, LOGITS, PROBABILITIES, Contract
from distill.deploy.network import Network, shape_text
from tsimage.errors import UserError

MAX_VALUES = 1 << 24
"""In one window: a file that asks for more is damaged, or was made to fill the memory."""
_TOGETHER = 256  # windows that are checked at once
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a model answers to n windows.

    Parameters
    ----------
    logits, probabilities : ndarray of float32, shape (window, class)
    classes : ndarray of int64, shape (window,)
        The class of the largest logit.
    probability : ndarray of float32, shape (window,)
        Of that class.
    energy : ndarray of float64, shape (window,)
        Log-sum-exp of the logits: low where a window is unlike those that the model learnt from [1]_.
    unknown : ndarray of bool, shape (window,)
        Whether the energy lies below that of the contract.

    References
    ----------
    .. [1] W. Liu et al., "Energy-based Out-of-distribution Detection", 2020, arXiv:2010.03759.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray
    probability: np.ndarray
    energy: np.ndarray
    unknown: np.ndarray


class Model:
    """A model that `distill export` wrote, with what it wants to see.

    Attributes
    ----------
    path : Path
    network : Network
    contract : Contract
    n_bytes : int
        Of the file.
    """

    def __init__(self, network: Network, contract: Contract) -> None:
        self.network, self.contract = network, contract
        self.path, self.n_bytes = network.path, network.n_bytes

    def logits(self, windows: np.ndarray) -> np.ndarray:
        """Return the logits of windows.

        Parameters
        ----------
        windows : ndarray, shape (window, channel, time)
            Raw, in the channels, units and rate of the contract; any number of windows, also none.

        Returns
        -------
        ndarray of float32, shape (window, class)

        Raises
        ------
        UserError
            For another shape, or values that are not finite, of windows or of logits.
        """
        return self.predict(windows).logits

    def predict(self, windows: np.ndarray) -> Prediction:
        """Return everything that the model answers to windows.

        Parameters
        ----------
        windows : ndarray, shape (window, channel, time)
            As of `logits`.

        Raises
        ------
        UserError
            As `logits`; and for probabilities that do not sum to 1.
        """
        self._check(windows)
        if not len(windows):
            logits = probabilities = np.zeros((0, len(self.contract.classes)), dtype=np.float32)
        else:
            logits, probabilities = self.network.run((LOGITS, PROBABILITIES), windows)
        if not (np.isfinite(logits).all() and (np.abs(probabilities.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()):
            raise UserError(
                f"'{self.path}' answers logits that are not finite, or probabilities that do not sum to 1: it is damaged, "
                "export it anew with distill export"
            )
        classes = logits.argmax(axis=1)
        energy = log_sum_exp(logits)
        return Prediction(
            logits=logits,
            probabilities=probabilities,
            classes=classes,
            probability=probabilities[np.arange(len(classes)), classes],
            energy=energy,
            unknown=energy < self.contract.energy,
        )

    def _check(self, windows: np.ndarray) -> None:
        expected = (len(self.contract.channels), self.contract.length)
        if windows.ndim != 3 or windows.shape[1:] != expected:
            raise UserError(
                f"windows of shape {windows.shape} do not fit '{self.path}': it wants (window, {expected[0]}, {expected[1]}), "
                f"the channels {', '.join(self.contract.channels)} at {self.contract.rate_hz:g} Hz"
            )
        if windows.dtype.kind not in "fiu":
            raise UserError(f"windows of type {windows.dtype} are no numbers: give floats")
        for start in range(0, len(windows), _TOGETHER):
            with np.errstate(over="ignore"):  # what does not fit into float32 is found as infinite
                part = windows[start : start + _TOGETHER].astype(np.float32, copy=False)
            if not np.isfinite(part).all():
                window, channel, sample = (int(i) for i in np.argwhere(~np.isfinite(part))[0])
                raise UserError(
                    f"window {start + window}, channel '{self.contract.channels[channel]}', sample {sample} is "
                    f"{windows[start + window, channel, sample]}: a model sees finite values only, leave this window out"
                )


def open_model(path: str | Path, threads: int = 1) -> Model:
    """Open a model that `distill export` wrote, and check that it is whole and what it says it is.

    Parameters
    ----------
    path : str or Path
        An `.onnx` file.
    threads : int
        That it may use for one call, 1 or more.

    Returns
    -------
    Model

    Raises
    ------
    UserError
        If onnxruntime is missing; or the file is missing, damaged, too large, keeps its weights elsewhere, was not
        written by `distill export`, or contradicts itself.
    """
    return as_model(Network(Path(path), threads))


def as_model(network: Network) -> Model:
    """Check that a graph is one that `distill export` wrote.

    Raises
    ------
    UserError
        If it does not say what it wants to see, is not as it was written, or contradicts what it says.
    """
    path = network.path
    if KEY not in network.metadata:
        raise UserError(
            f"'{path}' is an ONNX file that does not say what it wants to see: use one that distill export wrote (distill "
            "compare takes others, with --classes)"
        )
    if not network.is_whole:
        why = "its checksum is another" if seal.KEY in network.metadata else "it carries no checksum"
        raise UserError(f"'{path}' is not as distill export wrote it, {why}: get it once more, or export it anew")
    contract = Contract.from_json(network.metadata[KEY], str(path))
    fault = _contract_fault(contract) or _graph_fault(network, contract)
    if fault:
        raise UserError(f"'{path}' contradicts itself ({fault}): it is damaged, export it anew with distill export")
    return Model(network, contract)


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """Return the log-sum-exp of each row, in float64.

    >>> log_sum_exp(np.log([[1.0, 3.0]])).round(6).tolist() == [round(float(np.log(4.0)), 6)]
    True
    """
    wide = logits.astype(np.float64)
    most = wide.max(axis=1, keepdims=True, initial=-np.inf)
    summed: np.ndarray = most[:, 0] + np.log(np.exp(wide - most).sum(axis=1))
    return summed


def _contract_fault(contract: Contract) -> str:
    """Say what in a contract cannot be, empty where nothing."""
    c = contract
    for name in ("channels", "units", "classes"):
        words = getattr(c, name)
        if not all(isinstance(word, str) for word in words):
            return f"its {name} are no words"
        if name != "units" and len(set(words)) < len(words):
            return f"its {name} repeat"
    if not c.channels or not len(c.channels) == len(c.units) == len(c.low) == len(c.high):
        return f"{len(c.channels)} channels, {len(c.units)} units and ranges of {len(c.low)} and {len(c.high)} channels"
    if not c.classes:
        return "it has no classes"
    if not isinstance(c.length, int) or isinstance(c.length, bool) or not 0 < c.length * len(c.channels) <= MAX_VALUES:
        return f"windows of {c.length} samples"
    if not (_is_number(c.rate_hz) and c.rate_hz > 0):
        return f"a rate of {c.rate_hz} Hz"
    if not _is_number(c.energy):
        return f"an energy of {c.energy}"
    for low, high in zip(c.low, c.high, strict=True):
        if not (_is_number(low) and _is_number(high) and low <= high):
            return f"a range from {low} to {high}"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _graph_fault(network: Network, contract: Contract) -> str:
    """Say where a graph is not what its contract says, empty where nowhere."""
    wanted = (len(contract.channels), contract.length)
    if network.input != INPUT:
        return f"its input is named '{network.input}', not '{INPUT}'"
    if network.one_by_one:
        return "it takes one window at a time"
    if (network.channels, network.length) != wanted:
        return f"its input has {network.channels} channels of {network.length} samples, where it says {wanted[0]} of {wanted[1]}"
    for name in (LOGITS, PROBABILITIES):
        if name not in network.outputs:
            return f"it has no output '{name}' but {', '.join(network.outputs)}"
        shape = network.outputs[name]
        if len(shape) != 2 or shape[1] != len(contract.classes):
            return f"its output '{name}' has shape {shape_text(shape)} for {len(contract.classes)} classes"
    return ""
