"""Models that are compared: those of this program, which say what they want, and other people's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.deploy.contract import KEY, Contract
from distill.deploy.model import as_model
from distill.deploy.network import Network, shape_text
from distill.deploy.reading import Reading
from tsimage.datasets import Source
from tsimage.errors import UserError
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Entrant:
    """A model that takes part.

    Parameters
    ----------
    network : Network
    contract : Contract or None
        What it wants; None where it does not say so.
    score : callable
        Takes windows of float32, shape (window, channel, time); returns scores, shape (window, class), the highest of which
        is its answer.
    """

    network: Network
    contract: Contract | None
    score: Callable[[np.ndarray], np.ndarray]


def enter(path: Path, classes: tuple[str, ...]) -> Entrant:
    """Open a model that takes part; `classes` are those of models that do not say them, in the order of their output.

    Raises
    ------
    UserError
        If it cannot be opened; or it does not say what it wants and has other outputs than one (window, class).
    """
    network = Network(path)
    if KEY in network.metadata:
        model = as_model(network)
        return Entrant(network=network, contract=model.contract, score=model.logits)
    if not classes:
        raise UserError(
            f"'{path}' does not say what its outputs mean, for distill export did not write it: name them in their order with "
            "classes (a,b,c)"
        )
    if len(set(classes)) < len(classes):
        raise UserError(f"classes {', '.join(classes)} repeat: name each once, in the order of the output")
    if len(network.outputs) != 1:
        raise UserError(
            f"'{path}' has the outputs {', '.join(network.outputs)}: a model that distill export did not write must have one, "
            "of shape (window, class)"
        )
    ((name, shape),) = network.outputs.items()
    if len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != len(classes)):
        raise UserError(
            f"the output of '{path}' has shape {shape_text(shape)}, where {len(classes)} classes are named: it must be (window, class)"
        )

    def score(windows: np.ndarray) -> np.ndarray:
        (scores,) = network.run([name], windows)
        if scores.shape != (len(windows), len(classes)):
            raise UserError(
                f"'{path}' answers {len(windows)} windows with an array of shape {scores.shape}: it must be ({len(windows)}, "
                f"{len(classes)}), a score for each class"
            )
        if not np.isfinite(scores).all():
            raise UserError(
                f"'{path}' answers {int((~np.isfinite(scores)).any(axis=1).sum()):,} of {len(windows):,} windows with scores that "
                "are not finite: leave it out, or mend its weights"
            )
        return scores

    return Entrant(network=network, contract=None, score=score)


def check_same(path: Path, contract: Contract, first_path: Path, first: Contract) -> None:
    """Refuse a model that looks at other windows than the first, or tells other classes apart (in whatever order).

    Raises
    ------
    UserError
        Naming the first thing in which they differ.
    """
    for name, attribute in (
        ("channels", "channels"),
        ("units", "units"),
        ("rate in Hz", "rate_hz"),
        ("window length", "length"),
        ("classes", "classes"),
    ):
        got, expected = getattr(contract, attribute), getattr(first, attribute)
        same = sorted(got) == sorted(expected) if attribute == "classes" else got == expected
        if not same:
            got, expected = (", ".join(x) if isinstance(x, tuple) else f"{x:g}" for x in (got, expected))
            raise UserError(
                f"'{path}' and '{first_path}' cannot be compared, their {name} differ ({got}; {expected}): compare models "
                "that look at the same windows and tell the same classes apart"
            )


def check_shape(network: Network, wanted: Contract) -> None:
    """Refuse a graph whose input is fixed to other channels or samples than those that are wanted.

    Raises
    ------
    UserError
    """
    for got, expected, what in (
        (network.channels, len(wanted.channels), "channels"),
        (network.length, wanted.length, "samples"),
    ):
        if got not in (None, expected):
            raise UserError(
                f"'{network.path}' takes windows of {got} {what}, where the others and the data have {expected}: leave it out"
            )


def contract_of(source: Source, reading: Reading, network: Network, classes: tuple[str, ...]) -> Contract:
    """Make up what models want that do not say it: the data as they are.

    Raises
    ------
    UserError
        If neither the graph nor the data tell how long a window is, or the rate is unknown.
    """
    content = source.content
    first = content if isinstance(content, Windows) else content.recordings[0]
    length = network.length or (content.length if isinstance(content, Windows) else None)
    if length is None:
        raise UserError(
            f"'{network.path}' does not say how long a window is: compare it with a model that distill export wrote"
        )
    if first.rate_hz is None:
        raise UserError(f"{source.name}: the sampling rate is unknown: state it (option rate)")
    names = reading.channels or first.channels
    units = tuple(first.units[first.channels.index(name)] if name in first.channels else "" for name in names)
    n = len(names)
    return Contract(
        channels=names,
        units=units,
        rate_hz=first.rate_hz,
        length=length,
        classes=classes,
        energy=float("-inf"),
        low=(float("-inf"),) * n,
        high=(float("inf"),) * n,
        about={},
    )
