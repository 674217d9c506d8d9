"""Several models on the same labelled windows: how good, how alike, how large, how fast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from distill.deploy.comparison import ROUNDS, Compared, Comparison
from distill.deploy.contract import LOGITS, Contract
from distill.deploy.entrants import Entrant, check_same, check_shape, contract_of, enter
from distill.deploy.fitting import fit
from distill.deploy.inputs import read_for
from distill.deploy.labelling import fit_windows
from distill.deploy.people import is_familiar
from distill.deploy.reading import Reading
from distill.deploy.slicing import hop_samples
from distill.evaluate import metrics
from tsimage.cutting import cut
from tsimage.datasets import Source
from tsimage.errors import UserError
from tsimage.windows import Windows

_WARM_UP = 10


def compare(
    paths: Sequence[Path],
    data: str,
    reading: Reading | None = None,
    *,
    hop: str | int | None = None,
    classes: Sequence[str] = (),
    held_out: bool = False,
    say: Callable[[str], None],
) -> Comparison:
    """Let several models label the same windows.

    Windows of recordings are cut within their labelled stretches; such with missing samples, or of a class that the models
    do not know, are left out and counted. So are, on request, those of people that any of the models was trained or chosen
    on; else they are told of each model that says whom it knows.

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
    held_out : bool
        Whether only windows count of people that none of the models was trained or chosen on, as far as they tell.
    say : callable
        Takes statements on what was read and left out.

    Raises
    ------
    UserError
        For models that do not look at the same windows or know other classes, or data without labels; with `held_out`, if
        there is no window of other people, or nobody can tell.
    """
    reading = reading or Reading()
    entrants = [enter(path, tuple(classes)) for path in paths]
    known = [(e.network.path, e.contract) for e in entrants if e.contract is not None]
    for path, contract in known[1:]:
        check_same(path, contract, *known[0])
    if classes and len(known) == len(entrants):
        raise UserError(
            f"classes ({', '.join(classes)}) are of models that distill export did not write, and these say their own: leave out "
            "classes"
        )
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
    windows, familiar = _familiar(entrants, windows, held_out, say)
    found = []
    order = {name: i for i, name in enumerate(wanted.classes)}
    first: np.ndarray | None = None
    times = _latencies(entrants, windows.values)
    for entrant, n_familiar, microseconds in zip(entrants, familiar, times, strict=True):
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
                familiar=n_familiar,
                bytes=entrant.network.n_bytes,
                microseconds=microseconds,
            )
        )
    return Comparison(data=source.name, windows=len(windows), classes=wanted.classes, models=tuple(found))


def _familiar(
    entrants: Sequence[Entrant], windows: Windows, held_out: bool, say: Callable[[str], None]
) -> tuple[Windows, list[int | None]]:
    """Return the windows that count, and how many of them are of people that each model was trained or chosen on."""
    knows = [
        None
        if entrant.contract is None
        else is_familiar(entrant.contract.about, windows.subjects, windows.name, windows.split)
        for entrant in entrants
    ]
    known = [each for each in knows if each is not None]
    nameless = bool((windows.subjects == "").any())
    if held_out:
        if not known:
            why = "the windows do not say whose they are" if nameless else "no model says on whom it was trained"
            mend = "name the column of the person (option subject)" if nameless else "export them anew"
            raise UserError(f"{windows.name}: {why}, so nobody can be held out: {mend}, or leave out held-out")
        gone = np.logical_or.reduce(known)
        if gone.all():
            raise UserError(
                f"{windows.name}: all {len(windows):,} windows are of people that a model was trained or chosen on, so none is "
                "held out: give recordings of other people, or leave out held-out"
            )
        if gone.any():
            say(f"Left out, because a model was trained or chosen on these people: {int(gone.sum()):,} windows")
        windows = windows.select(~gone)
        knows = [None if each is None else each[~gone] for each in knows]
    for entrant, each in zip(entrants, knows, strict=True):
        if each is not None and each.any():
            say(
                f"WARNING: {int(each.sum()):,} of {len(windows):,} windows are of people that '{entrant.network.path}' was trained "
                "or chosen on, so it looks better than it is (option held-out leaves them out)"
            )
    strangers = [str(entrant.network.path) for entrant, each in zip(entrants, knows, strict=True) if each is None]
    if strangers:
        why = "the windows do not say whose they are (option subject)" if nameless else "the file does not say"
        say(f"Whether these people are familiar is not known, because {why}: {', '.join(strangers)}")
    return windows, [None if each is None else int(each.sum()) for each in knows]


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
                "split",
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
