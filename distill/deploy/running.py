"""ONNX files run beside the network that they were made of: do they say the same, how fast are they, what do they hold in memory."""

from __future__ import annotations

import copy
import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from distill.deploy.contract import INPUT, LOGITS, PROBABILITIES
from distill.prediction import repeatable

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

LIMIT = 1e-5
"""How far a logit may be from that of torch."""
ROUNDINGS = 2
"""Where torch itself is so far from its own float64, a logit may be so many times as far: each of the two rounds its own way."""
BATCH = 256
ROUNDS = 200
"""How often each contender is timed, in turn with the others."""
WARM_UP = 10


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How a file's logits compare with those of torch.

    Parameters
    ----------
    windows : int
    difference : float
        Largest absolute difference of a logit.
    limit : float
        What is allowed: `LIMIT`, or `ROUNDINGS` times what torch rounds by where that is more.
    other_class : int
        Windows in which another class has the largest logit.
    """

    windows: int
    difference: float
    limit: float
    other_class: int

    @property
    def holds(self) -> bool:
        """Whether no logit is further off than allowed, and no class is another."""
        return self.difference <= self.limit and self.other_class == 0

    @property
    def agreement(self) -> float:
        """Share of windows with the same class."""
        return 1 - self.other_class / self.windows


def parity(expected: np.ndarray, got: np.ndarray, exact: Callable[[np.ndarray], np.ndarray] | None = None) -> Parity:
    """Compare logits.

    Parameters
    ----------
    expected, got : ndarray of float32, shape (window, class)
    exact : callable, optional
        Returns the logits in float64 of the windows at these positions: of those in which a logit is further off than
        `LIMIT`. What `expected` rounds by there is the largest difference to them.

    Examples
    --------
    >>> expected = np.array([[1.0, 2.0], [30.0, 0.0]])
    >>> got = expected + np.array([[0, 0], [2e-5, 0]])
    >>> parity(expected, got).holds
    False
    >>> found = parity(expected, got, exact=lambda windows: expected[windows] - 1.5e-5)
    >>> f"{found.difference:.6f} {found.limit:.6f}", found.other_class, found.holds
    ('0.000020 0.000030', 0, True)
    """
    differences = np.abs(expected.astype(np.float64) - got).max(axis=1)
    far = np.flatnonzero(differences > LIMIT)
    rounding = float(np.abs(expected[far] - exact(far)).max()) if len(far) and exact is not None else 0.0
    return Parity(
        windows=len(expected),
        difference=float(differences.max()) if np.isfinite(got).all() else math.inf,
        limit=max(LIMIT, ROUNDINGS * rounding),
        other_class=int((expected.argmax(1) != got.argmax(1)).sum()),
    )


@torch.inference_mode()
def exact_logits(model: nn.Module, values: np.ndarray) -> np.ndarray:
    """Return the logits (window, class) of a network for raw windows (window, channel, time), all of it in float64."""
    wide = copy.deepcopy(model).double().eval()
    parts = (torch.from_numpy(values[start : start + BATCH]).double() for start in range(0, len(values), BATCH))
    return np.concatenate([wide(part).numpy() for part in parts])


def opened(content: bytes) -> InferenceSession:
    """Load a file into ONNX Runtime, on the CPU and in one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def logits_of(content: bytes, values: np.ndarray) -> np.ndarray:
    """Return the logits (window, class) that a file gives raw windows (window, channel, time)."""
    session = opened(content)
    parts = (values[start : start + BATCH] for start in range(0, len(values), BATCH))
    return np.concatenate([session.run([LOGITS], {INPUT: part})[0] for part in parts])


def peak_values(model: ModelProto, window: np.ndarray) -> int:
    """Count the numbers that a graph holds at once at most while one window goes through it, weights left out.

    Nodes run in the order of the graph; each needs its inputs and its outputs side by side, and a map is kept until the last
    node that reads it. Runtimes that write an addition or a ReLU in place of its input need less.

    Parameters
    ----------
    model : ModelProto
        In float32.
    window : ndarray of float32, shape (1, channel, time)

    Returns
    -------
    int
    """
    import onnx

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    graph = shown.graph
    outputs = {output.name for output in graph.output}
    inner = [name for node in graph.node for name in node.output if name and name not in outputs]
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inner)
    names = [output.name for output in graph.output]
    found = opened(shown.SerializeToString()).run(names, {INPUT: window})
    sizes = dict(zip(names, (array.size for array in found), strict=True)) | {INPUT: window.size}
    last = {name: number for number, node in enumerate(graph.node) for name in node.input}
    held, most = {INPUT}, window.size
    for number, node in enumerate(graph.node):
        held.update(name for name in node.output if name)
        most = max(most, sum(sizes[name] for name in held))
        held = {name for name in held if name in outputs or last.get(name, -1) > number}
    return int(most)


def latencies(
    model: nn.Module, files: Mapping[str, bytes], window: np.ndarray, rounds: int = ROUNDS
) -> dict[str, dict[str, float]]:
    """Time one window through a network and through files, in one thread, in turns.

    Parameters
    ----------
    model : Module
        Timed as `eager`, with the probabilities of its logits.
    files : mapping of str to bytes
        ONNX files by name.
    window : ndarray of float32, shape (1, channel, time)
    rounds : int

    Returns
    -------
    dict
        By name, in microseconds: `median`, and the quartiles `low` and `high`.
    """
    tensor = torch.from_numpy(window)
    calls: dict[str, Callable[[], Any]] = {"eager": lambda: model(tensor).softmax(dim=1)}
    for name, content in files.items():
        calls[name] = _caller(opened(content), window)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(), repeatable():
            for turn in range(rounds + WARM_UP):
                for name, call in calls.items():
                    began = time.perf_counter()
                    call()
                    if turn >= WARM_UP:
                        taken[name].append(1e6 * (time.perf_counter() - began))
    finally:
        torch.set_num_threads(threads)
    quartiles = {name: np.percentile(times, [50, 25, 75]).tolist() for name, times in taken.items()}
    return {name: dict(zip(("median", "low", "high"), found, strict=True)) for name, found in quartiles.items()}


def _caller(session: InferenceSession, window: np.ndarray) -> Callable[[], Any]:
    return lambda: session.run([PROBABILITIES], {INPUT: window})


def processor() -> str:
    """Name the processor of this machine."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
