"""Several models on the same labelled windows: how good, how alike, how large, how fast."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from distill.deploy.contract import LOGITS, Contract
from distill.deploy.entrants import Entrant, check_same, check_shape, contract_of, enter
from distill.deploy.fitting import fit
from distill.deploy.inputs import read_for
from distill.deploy.labelling import fit_windows
from distill.deploy.reading import Reading
from distill.deploy.slicing import hop_samples
from distill.evaluate import metrics
from tsimage.cutting import cut
from tsimage.datasets import Source
from tsimage.errors import UserError
from tsimage.windows import Windows

ROUNDS = 200
"""In each of which every model labels one window, in turn; the median counts."""
_WARM_UP = 10


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One model in a comparison.

    Parameters
    ----------
    model : str
        Its file.
    accuracy, balanced_accuracy, macro_f1 : float
        From 0 to 1, as `distill.evaluate.metrics` has them.
    agreement : float
        Share of windows that get the same class as from the first model.
    bytes : int
        Of the file.
    microseconds : float
        Median time of one window in one thread.
    """

    model: str
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    agreement: float
    bytes: int
    microseconds: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Models on the same windows.

    Parameters
    ----------
    data : str
    windows : int
    classes : tuple of str
    models : tuple of Compared
        In the order in which they were named.
    """

    data: str
    windows: int
    classes: tuple[str, ...]
    models: tuple[Compared, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        title = f"{self.data}: {self.windows:,} labelled windows of {len(self.classes)} classes"
        grid = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
        columns = ("model", "accuracy %", "balanced %", "macro-F1 %", "agreement %", "bytes", "one window")
        for name in columns:
            grid.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
        for each in self.models:
            shares = (each.accuracy, each.balanced_accuracy, each.macro_f1, each.agreement)
            grid.add_row(
                each.model, *(f"{100 * s:.2f}" for s in shares), f"{each.bytes:,}", f"{each.microseconds:.0f} us"
            )
        text = io.StringIO()
        Console(file=text, width=10_000, color_system=None).print(grid)
        lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
        return "\n".join(
            [
                *lines,
                "",
                "Agreement is the share of windows with the same class as from the first model. One window: median of "
                f"{ROUNDS} rounds in one thread, each model once in every round.",
            ]
        )


def compare(
    paths: Sequence[Path],
    data: str,
    reading: Reading | None = None,
    *,
    hop: str | int | None = None,
    classes: Sequence[str] = (),
    say: Callable[[str], None],
) -> Comparison:
    """Let several models label the same windows.

    Windows of recordings are cut within their labelled stretches; such with missing samples, or of a class that the models
    do not know, are left out and counted.

    Parameters
    ----------
    paths : sequence of Path
        ONNX files that `distill export` wrote; or, with `classes`, any with one input (window, channel, time) in float32
        and one output (window, class). Those take what the first model wants that says so, or what the data are.
    data : str
        Labelled recordings or windows.
    reading : Reading, optional
    hop : int or str, optional
        As of `distill.deploy.labelling.label`.
    classes : sequence of str
        In the order of the output of models that do not say it.
    say : callable
        Takes statements on what was read and left out.

    Raises
    ------
    UserError
        For models that do not look at the same windows or know other classes, or data without labels.
    """
    reading = reading or Reading()
    entrants = [enter(path, tuple(classes)) for path in paths]
    known = [(e.network.path, e.contract) for e in entrants if e.contract is not None]
    for path, contract in known[1:]:
        check_same(path, contract, *known[0])
    wanted = known[0][1] if known else None
    source = read_for(data, reading, wanted.channels if wanted else (), say=say)
    if wanted is None:
        wanted = contract_of(source, reading, entrants[0].network, tuple(classes))
    for entrant in entrants:
        check_shape(entrant.network, wanted)
        if entrant.contract is None and sorted(classes) != sorted(wanted.classes):
            raise UserError(
                f"'{entrant.network.path}' has the classes {', '.join(classes)}, and '{known[0][0]}' "
                f"{', '.join(wanted.classes)}: name the same in classes, in the order of its output"
            )
    windows = _labelled_windows(source, wanted, reading, hop, say)
    found = []
    order = {name: i for i, name in enumerate(wanted.classes)}
    first: np.ndarray | None = None
    times = _latencies(entrants, windows.values)
    for entrant, microseconds in zip(entrants, times, strict=True):
        own = tuple(classes) if entrant.contract is None else entrant.contract.classes
        numbers = np.array([order[name] for name in own])
        predicted = numbers[entrant.score(windows.values).argmax(axis=1)]
        first = predicted if first is None else first
        scores = metrics(windows.labels, predicted, windows.subjects)
        found.append(
            Compared(
                model=str(entrant.network.path),
                accuracy=scores["accuracy"],
                balanced_accuracy=scores["balanced_accuracy"],
                macro_f1=scores["macro_f1"],
                agreement=float(np.mean(predicted == first)),
                bytes=entrant.network.n_bytes,
                microseconds=microseconds,
            )
        )
    return Comparison(data=source.name, windows=len(windows), classes=wanted.classes, models=tuple(found))


def _labelled_windows(
    source: Source, wanted: Contract, reading: Reading, hop: str | int | None, say: Callable[[str], None]
) -> Windows:
    """Return the windows whose class the models know, labels numbered as the classes of `wanted`."""
    content = source.content
    report = content.read_report if isinstance(content, Windows) else content.report
    if report is not None:
        say(str(report))
    if isinstance(content, Windows):
        if hop is not None:
            raise UserError(f"{source.name} holds windows that were cut before: leave out hop")
        windows = fit_windows(content, wanted, reading, say=say)
    else:
        step = hop_samples(hop, wanted.length, wanted.rate_hz)
        if step > wanted.length:
            raise UserError(f"hop '{hop}' is longer than a window of {wanted.length} samples: give at most a window")
        fitted = fit(content.recordings, wanted, named=reading.channels, resample=reading.resample, say=say)
        windows = cut(fitted, wanted.length, 1 - step / wanted.length, name=source.name, missing=True)
        say(str(windows.cut_report))
    gone = np.isnan(windows.values).any(axis=(1, 2)) if windows.has_missing() else np.zeros(len(windows), dtype=bool)
    if gone.any():
        say(f"Windows with missing samples, which are left out: {int(gone.sum()):,}")
    number = {name: i for i, name in enumerate(wanted.classes)}
    strange = sorted({windows.class_names[i] for i in np.unique(windows.labels).tolist()} - set(number))
    renumber = np.array([number.get(name, -1) for name in windows.class_names])
    keep = (renumber[windows.labels] >= 0) & ~gone
    if not keep.any():
        raise UserError(
            f"{source.name}: no whole window is of a class that the models know ({', '.join(wanted.classes)}); there are "
            f"{', '.join(strange) or 'none'}: give recordings with these labels"
        )
    if strange:
        say(f"Left out, because the models do not know them: windows of {', '.join(strange)}")
    kept = windows.select(keep)
    return Windows(
        **{
            name: getattr(kept, name)
            for name in (
                "values",
                "channels",
                "units",
                "rate_hz",
                "subjects",
                "recordings",
                "start",
                "stop",
                "ids",
                "name",
            )
        },
        labels=renumber[kept.labels],
        class_names=wanted.classes,
    )


def _latencies(entrants: Sequence[Entrant], values: np.ndarray) -> list[float]:
    """Return the median microseconds of one window for each, all measured in turn, so that a busy machine slows all alike."""
    names = [[LOGITS] if e.contract is not None else list(e.network.outputs) for e in entrants]
    taken: list[list[float]] = [[] for _ in entrants]
    for turn in range(_WARM_UP + ROUNDS):
        window = np.ascontiguousarray(values[turn % len(values)][None], dtype=np.float32)
        for entrant, outputs, times in zip(entrants, names, taken, strict=True):
            begin = perf_counter()
            entrant.network.run(outputs, window)
            times.append(1e6 * (perf_counter() - begin))
    return [float(np.median(times[_WARM_UP:])) for times in taken]
