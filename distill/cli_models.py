"""The commands that use exported models, none of which needs torch: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from distill.deploy.reading import Reading
from tsimage.errors import UserError

if TYPE_CHECKING:
    from distill.deploy.answers import Answer


def predict(
    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")],
    input: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="INPUT")],
    reading: Annotated[Reading, tyro.conf.arg(name="")] = Reading(),  # noqa: B008  frozen
    hop: str | None = None,
    gate: bool = False,
    out: Path | None = None,
    plot: Path | None = None,
    debug: bool = False,
) -> None:
    """Label every window of a recording with an exported model, as CSV: label, probability, energy, quality flags.

    Windows with a gap are listed without a label. Those of poor quality have one, and flags; with --gate they have none, as in
    distill stream. A window is unknown if its energy, the log-sum-exp of the logits, is lower than in 99 % of the training
    windows. What was read, and the minutes of each activity, are told on stderr.

    Args:
        model: an .onnx file that distill export wrote.
        input: data set of the catalogue, or a file or folder of recordings or windows.
        reading: how it is read.
        hop: samples (64) or seconds (1.28s) from one window to the next; half a window unless given.
        gate: leave windows without a label in which a channel is flat, saturated, in another unit as gravity tells, or outside
            of what the model learnt from. What distill stream answers to the same samples is then the same.
        out: write the CSV to this file instead of printing.
        plot: draw signals and labels over time to this file, ending in .png.
        debug: show the traceback of an error.
    """
    import io

    from distill.deploy.labelling import label, write_csv
    from distill.deploy.model import open_model
    from tsimage import atomic

    if plot is not None and plot.suffix != ".png":
        raise UserError(f"plot '{plot}' is not allowed: the name of the picture must end in .png")
    for path in (out, plot):
        if path is not None and path.is_dir():
            raise UserError(f"cannot write to '{path}': it is a folder, name a file in it")
    opened = open_model(model)
    labelled = label(opened, input, reading, hop, gate=gate, say=_tell)
    if plot is not None:
        from distill.deploy.figure import draw

        plot.parent.mkdir(parents=True, exist_ok=True)
        draw(labelled).savefig(plot)
        _tell(f"wrote {plot}")
    if out is None:
        write_csv(labelled, sys.stdout)
        sys.stdout.flush()
    else:
        text = io.StringIO()
        write_csv(labelled, text)
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(out, text.getvalue().encode())
        _tell(f"wrote {out}")
    for each in labelled:
        _tell(each.summary())


def stream(
    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")],
    hop: str | None = None,
    time: bool = False,
    json: bool = False,
    no_gate: bool = False,
    debug: bool = False,
) -> None:
    """Label samples as they come on stdin, one line of numbers with commas each, and print a line per window.

    Samples come in the units and at the rate of the model, in the order of its channels or below a line with their names. A
    malformed line is told, counted and taken as a missing sample. A window has no label if samples are missing in it or,
    unless --no-gate, if a channel is flat, saturated, in another unit as gravity tells, or outside of what the model learnt
    from; its flags tell which. The answers are those of distill predict --gate on the same samples, but that predict leaves
    malformed rows out where a stream keeps their place.

    Args:
        model: an .onnx file that distill export wrote.
        hop: samples (64) or seconds (1.28s) from one window to the next; half a window unless given.
        time: the first column is the time in seconds.
        json: print each line as a JSON object.
        no_gate: label windows of poor quality too.
        debug: show the traceback of an error.
    """
    from collections import Counter

    from distill import interrupts
    from distill.deploy.lines import read_lines
    from distill.deploy.model import open_model
    from distill.deploy.stream import Stream

    opened = open_model(model)
    contract = opened.contract
    running = Stream(opened, hop, gate=not no_gate)
    labels: Counter[str] = Counter()
    malformed = unlike = 0

    def tell_end() -> None:
        named = ", ".join(f"{name or 'no label'} {n:,}" for name, n in labels.most_common())
        _tell(
            f"{running.n_samples:,} samples ({running.n_samples / contract.rate_hz:.1f} s), {malformed:,} malformed lines, "
            f"{labels.total():,} windows{f': {named}' if named else ''}{f'; unknown {unlike:,}' if unlike else ''}"
        )

    with interrupts.handled():
        try:
            if not json:
                _print_header()
            for line in read_lines(
                sys.stdin.buffer,
                contract.channels,
                contract.rate_hz,
                timed=time,
                length=contract.length,
                say=_tell,
            ):
                if line.fault:
                    malformed += 1
                    _tell(f"line {line.number}: {line.fault}: taken as a missing sample")
                if line.torn:
                    running.tear()
                answer = running.push(line.values, line.seconds)
                if answer is not None:
                    labels[answer.label] += 1
                    unlike += bool(answer.unknown)
                    _print(answer, json)
        except KeyboardInterrupt:
            tell_end()
            raise
    tell_end()


def compare(
    models: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL ...")],
    on: Annotated[str, tyro.conf.arg(metavar="DATA")],
    reading: Annotated[Reading, tyro.conf.arg(name="")] = Reading(),  # noqa: B008  frozen
    hop: str | None = None,
    classes: str = "",
    held_out: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Compare exported models on the same labelled recordings: accuracy, agreement, bytes, and the time of one window.

    Args:
        models: .onnx files that distill export wrote; or, with --classes, any with one input (window, channel, time) in
            float32 and one output (window, class).
        on: data set of the catalogue, or a file or folder of labelled recordings or windows.
        reading: how it is read.
        hop: samples (64) or seconds (1.28s) from one window to the next; half a window unless given.
        classes: names of the outputs (a,b,c) of models that distill export did not write, in their order.
        held_out: count only windows of people that none of the models was trained or chosen on; else there is a warning.
        json: write the comparison as JSON.
        debug: show the traceback of an error.
    """
    import json as writer

    from distill.deploy.comparing import compare as compare_models

    if not models:
        raise UserError("there is no model to compare: name .onnx files before --on")
    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    compared = compare_models(models, on, reading, hop=hop, classes=names, held_out=held_out, say=_tell)
    sys.stdout.write((writer.dumps(compared.to_json(), indent=1) if json else str(compared)) + "\n")


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _print_header() -> None:
    from distill.deploy.answers import COLUMNS

    _print_row(COLUMNS)


def _print(answer: Answer, as_json: bool) -> None:
    import json as writer

    if as_json:
        sys.stdout.write(writer.dumps(answer.as_dict(), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    else:
        _print_row(answer.cells())


def _print_row(cells: tuple[str, ...] | list[str]) -> None:
    import csv

    csv.writer(sys.stdout, lineterminator="\n").writerow(cells)
    sys.stdout.flush()
