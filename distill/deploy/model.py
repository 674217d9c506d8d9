"""Models in ONNX files: opened with every check that can be made before they see a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from distill.deploy.contract import INPUT, KEY, LOGITS, PROBABILITIES, Contract
from tsimage.errors import UserError

MAX_BYTES = 1 << 30
"""Larger files are not read: students have some hundred KiB, and the format itself ends at 2 GiB."""
MAX_VALUES = 1 << 24
"""In one window: a file that asks for more is damaged, or was made to fill the memory."""
_TOGETHER = 256  # windows that one call of the runtime gets
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


class Network:
    """A graph in an ONNX file with one input (window, channel, time) in float32.

    Parameters
    ----------
    path : Path
    threads : int
        That one call may use.

    Attributes
    ----------
    n_bytes : int
        Of the file.
    channels, length : int or None
        Of the input; None where the file leaves it open.
    outputs : dict of str to tuple
        Name and shape of each output; an axis that the file leaves open is a word or None.
    metadata : dict of str to str
    one_by_one : bool
        Whether it takes just one window at a time.

    Raises
    ------
    UserError
        If onnxruntime is missing, or the file is missing, damaged, too large, in parts, or has another input.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path = path
        content = _content(path)
        self.n_bytes = len(content)
        self._session = _session(content, path, threads)
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.outputs = {out.name: tuple(out.shape) for out in self._session.get_outputs()}
        inputs = self._session.get_inputs()
        shapes = ", ".join(f"{i.name} {_shape(i.shape)} {i.type}" for i in inputs) or "none"
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 3:
            raise UserError(
                f"'{path}' takes the inputs {shapes}: a model here takes one, windows of shape (window, channel, time) in float32"
            )
        self.input = inputs[0].name
        batch, channels, length = (n if isinstance(n, int) else None for n in inputs[0].shape)
        if batch not in (None, 1):
            raise UserError(
                f"'{path}' takes {batch} windows at once, no more and no fewer: export it with a free batch size"
            )
        self.one_by_one, self.channels, self.length = batch == 1, channels, length

    def run(self, names: Sequence[str], windows: np.ndarray) -> list[np.ndarray]:
        """Return the outputs of these names for windows of float32, shape (window, channel, time), one window or more.

        Raises
        ------
        UserError
            If the graph cannot be run.
        """
        step = 1 if self.one_by_one else _TOGETHER
        found = []
        for start in range(0, len(windows), step):
            part = np.ascontiguousarray(windows[start : start + step], dtype=np.float32)
            try:
                found.append(self._session.run(list(names), {self.input: part}))
            except Exception as error:  # the runtime has a class of error of its own for each cause
                raise UserError(
                    f"'{self.path}' cannot be run ({_reason(error)}): it is damaged, or was made for another runtime"
                ) from error
        return [np.concatenate(outputs) for outputs in zip(*found, strict=True)]


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
    network = Network(Path(path), threads)
    if KEY not in network.metadata:
        raise UserError(
            f"'{path}' is an ONNX file that does not say what it wants to see: use one that distill export wrote (distill "
            "compare takes others, with --classes)"
        )
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


def _content(path: Path) -> bytes:
    if not path.exists():
        raise UserError(f"'{path}' does not exist: give an .onnx file that distill export wrote")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or a device"
        raise UserError(f"'{path}' is {kind}: give an .onnx file that distill export wrote")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"'{path}' has {size:,} bytes: models of at most {MAX_BYTES:,} are read, and a student is far smaller; check that "
            "this is the file you mean"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"'{path}' cannot be read ({error.strerror or error}): check its permissions and the disk"
        ) from error


def _session(content: bytes, path: Path, threads: int) -> Any:
    try:
        onnxruntime = import_module("onnxruntime")  # which has no types
    except ImportError as error:
        raise UserError(
            "models in ONNX files run in onnxruntime, which is not installed: pip install 'tsimage[export]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    # Weights are looked for below the model's own path, a file, so that none outside of it is ever opened.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.absolute()))
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a class of error of its own for each cause
        reason = _reason(error)
        if "xternal data" in reason:
            raise UserError(
                f"'{path}' keeps its weights in another file: export it into a single one, as distill export does"
            ) from error
        raise UserError(
            f"'{path}' is no ONNX file, or a damaged one ({reason}): get or export it anew with distill export"
        ) from error


def _reason(error: Exception) -> str:
    words = " ".join(str(error).split()).rpartition(" : ")[2].strip().rstrip(".")
    return words if len(words) <= 200 else words[:197] + "..."


def _shape(shape: Sequence[int | str | None]) -> str:
    return f"({', '.join(str(n) for n in shape)})"


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
            return f"its output '{name}' has shape {_shape(shape)} for {len(contract.classes)} classes"
    return ""
