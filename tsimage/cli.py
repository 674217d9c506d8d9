"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from tsimage.errors import UserError
from tsimage.imager import Imager
from tsimage.launch import Launch, is_worker
from tsimage.option_help import join_lines, wrapped
from tsimage.readers import ReadOptions
from tsimage.repeated_options import check_repeated

if TYPE_CHECKING:
    from tsimage.windows import Windows

Flat = tyro.conf.arg(name="")


def convert(
    input: Annotated[str, tyro.conf.Positional],
    output: Annotated[Path, tyro.conf.Positional],
    images: Annotated[Imager, Flat],
    read: Annotated[ReadOptions, Flat],
    where: Annotated[Launch, Flat],
    output_format: Literal["store", "png", "npz", "zarr"] = "store",
    overwrite: bool = False,
    share: bool = False,
    debug: bool = False,
) -> None:
    """Cut recordings into windows, paint them, and write an image store or files for other programs.

    The store is a folder with images.npy (a memory map), labels.csv, ranges.npy and manifest.json, which holds
    checksums that tsimage verify compares. When it was interrupted, the same command continues where it stopped.

    One process paints on all cores; --launch, or --workers with a number above 1, lets several paint one store.

    Args:
        input: data set of the catalogue (see tsimage datasets), or a file or folder of recordings or windows.
        output: folder (or, for npz, file) to make; it appears when it is complete.
        images: recipe of the images.
        read: what is read.
        where: where workers run.
        output_format: store; png: a folder as torchvision's ImageFolder takes it, 8 bits, 1 or 3 channels; npz: one
            file; zarr: a zarr group (pip install 'tsimage[zarr]'). Only a store continues after an interruption.
        overwrite: replace an output of the same format that is there already.
        share: paint a store together with the same command in other processes, on any machine that sees the output; a
            finished store of the same windows and recipe is not made again.
        debug: show the traceback of an error.
    """
    launched = not where.is_alone and not is_worker()
    share = share or is_worker()
    if where.is_alone and (where.threads is not None or where.gpus is not None):
        raise UserError("threads and gpus are of several workers: give --workers as well, or leave them out")
    if output_format != "store" and (launched or share):
        raise UserError(
            f"output-format {output_format} is written by one process: leave out --share, --launch and --workers, or make a "
            "store"
        )
    if launched:
        from tsimage.joint import convert_with_workers

        with _progress("painting", MofNCompleteColumn()) as on_progress:
            store = convert_with_workers(command_line(), output, where, on_progress=on_progress, say=_say)
        _say(str(store))
        return
    windows = load_and_tell(input, read, _say)
    unchecked = ReadOptions(constant="flag")  # constant windows were dealt with when they were read
    with _progress("painting", MofNCompleteColumn()) as on_progress:
        if output_format == "store":
            from tsimage.conversion import convert as convert_windows

            store = convert_windows(
                windows,
                output,
                images,
                unchecked,
                overwrite=overwrite,
                share=share,
                on_progress=on_progress,
                say=_say,
            )
        else:
            from tsimage.outputs import export

            export(
                windows,
                output,
                images,
                unchecked,
                kind=output_format,
                overwrite=overwrite,
                on_progress=on_progress,
                say=_say,
            )
    for note in images.notes(windows):
        _say(note)
    _say(str(store) if output_format == "store" else f"wrote {output}: {len(windows):,} windows as {output_format}")


def verify(store: Annotated[Path, tyro.conf.Positional], debug: bool = False) -> None:
    """Read every byte of an image store and compare it with the checksums of its manifest.

    Damage is named on one line of stderr, with files, chunks, windows and bytes; then the exit code is 1.

    Args:
        store: folder that tsimage convert wrote.
        debug: show the traceback of an error.
    """
    from tsimage.verification import verify as verify_store

    with _progress("comparing", DownloadColumn()) as on_progress:
        said = verify_store(store, on_progress)
    _say(said)


def show(
    input: Annotated[str, tyro.conf.Positional],
    output: Annotated[Path, tyro.conf.Positional],
    images: Annotated[Imager, Flat],
    read: Annotated[ReadOptions, Flat],
    pick: str | None = None,
    per_class: int | None = None,
    colours: str | None = None,
    debug: bool = False,
) -> None:
    """Draw one window, its channels and their images, or a contact sheet of every class, as PNG.

    Args:
        input: data set of the catalogue, or a file or folder of recordings or windows.
        output: picture to write, ending in .png.
        images: recipe of the images.
        read: what is read.
        pick: the window to draw, by position or id; the first unless given.
        per_class: draw a contact sheet with this many windows of each class instead. Of three channels or more the first
            three are red, green and blue; of fewer the first has a colour map.
        colours: colour map of matplotlib for all images; each field has its own unless given. A contact sheet then
            shows the first of the channels: choose it with --channels.
        debug: show the traceback of an error.
    """
    from tsimage.gallery import draw_sheet, draw_window, find_window

    if output.suffix != ".png":
        raise UserError(f"output '{output}' is not allowed: the name of the picture must end in .png")
    if per_class is not None and per_class < 1:
        raise UserError(f"per-class {per_class} is not allowed: show at least 1 window of each class")
    if per_class is not None and pick is not None:
        raise UserError("pick and per-class exclude each other: draw one window, or a contact sheet")
    windows = load_and_tell(input, read, _say)
    if per_class is None:
        figure = draw_window(windows, find_window(windows, pick or "0"), images, colours)
    else:
        figure = draw_sheet(windows, images, per_class, colours)
    for note in images.notes(windows):
        _say(note)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)
    _say(f"wrote {output}")


def info(
    input: Annotated[str, tyro.conf.Positional],
    read: Annotated[ReadOptions, Flat],
    plot: Path | None = None,
    faults_to: Path | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Tell what is in a data set, file or folder before anything is converted.

    Rows read, kept and rejected with the reasons; people, classes, rate, units, breaks in time, quality flags, and the
    windows that the options would give.

    Args:
        input: data set of the catalogue, or a file or folder of recordings or windows.
        read: what is read.
        plot: picture to write, ending in .png.
        faults_to: csv to write with file, line, treatment and reason of every faulty row.
        json: print one JSON object instead.
        debug: show the traceback of an error.
    """
    from tsimage.overview import overview

    if plot is not None and plot.suffix != ".png":
        raise UserError(f"plot '{plot}' is not allowed: the name of the picture must end in .png")
    found = overview(input, read)
    _say(dumps(found.as_dict(), indent=1, ensure_ascii=False) if json else "\n".join(found.lines()))
    if faults_to is not None:
        if found.report is None:
            raise UserError(f"format {found.source.format} counts no rows, so there is nothing to write to {faults_to}")
        faults_to.parent.mkdir(parents=True, exist_ok=True)
        found.report.write(faults_to)
    if plot is not None:
        from tsimage.overview_figure import draw_overview

        plot.parent.mkdir(parents=True, exist_ok=True)
        draw_overview(found).savefig(plot)
    for path in (faults_to, plot):
        if path is not None and not json:
            _say(f"wrote {path}")


def formats(debug: bool = False) -> None:
    """List the formats that are read, in the order in which they are looked for.

    Args:
        debug: show the traceback of an error.
    """
    from tsimage.readers import readers

    for reader in readers().values():
        options = ", ".join(sorted(option.replace("_", "-") for option in reader.options))
        _say(f"{reader.name}: {reader.summary} (options {options})")


def fields(debug: bool = False) -> None:
    """List the kinds of image and the options that each takes in a stack, as in mtf(bins=4).

    Args:
        debug: show the traceback of an error.
    """
    from tsimage.fields import FIELDS

    for field in FIELDS.values():
        options = ", ".join(f"{name}={value}" for name, value in field.options.items())
        _say(f"{field.name}: {field.summary}" + (f" ({options})" if options else ""))


def datasets(debug: bool = False) -> None:
    """List the data sets of the catalogue, and where each lies or how to get it.

    Args:
        debug: show the traceback of an error.
    """
    from tsimage.catalogue import ENTRIES
    from tsimage.locating import where

    for entry in ENTRIES.values():
        _say("\n".join([*entry.lines(), f"  {where(entry)}"]))


def fetch(name: Annotated[str, tyro.conf.Positional], folder: Path | None = None, debug: bool = False) -> None:
    """Download a data set of the catalogue, compare it with its checksum, unpack it and count what is in it.

    Args:
        name: data set of the catalogue (see tsimage datasets).
        folder: where its folder is made; the user's cache unless given.
        debug: show the traceback of an error.
    """
    from tsimage.fetching import fetch as fetch_set

    with _progress("downloading", DownloadColumn()) as on_progress:
        path = fetch_set(name, folder, on_progress)
    _say(f"data set '{name}' is in '{path}'")


def doctor(debug: bool = False) -> None:
    """Tell versions, extras, devices, free disk and the data sets that are here.

    Args:
        debug: show the traceback of an error.
    """
    from tsimage.doctor import lines

    for line in lines():
        _say(line)


def load_and_tell(data: str, read: ReadOptions, say: Callable[[str], None]) -> Windows:
    """Load windows and say what was read, what was left over, and which windows have a constant channel."""
    from tsimage.datasets import load

    windows = load(data, replace(read, constant="flag"))
    constant = int(windows.constant_channels().any(axis=1).sum())
    if constant and read.constant != "flag":
        windows = load(windows, ReadOptions(constant=read.constant))
    say(str(windows))
    if windows.read_report is not None:
        say(str(windows.read_report))
    if windows.cut_report is not None:
        say(str(windows.cut_report))
    if windows.gaps is not None:
        done = "masked" if windows.has_missing() else "filled"
        say(f"{int(windows.gaps.any(axis=1).sum())} windows with missing samples were flagged, their gaps {done}")
    if constant:
        say(f"{constant} windows with a constant channel were {'dropped' if read.constant == 'drop' else 'flagged'}")
    return windows


@contextmanager
def _progress(what: str, *counts: ProgressColumn) -> Iterator[Callable[[int, int], None]]:
    """Show a bar from the first step on, so that what is said before stays above it; nothing if not on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=None)

    def on_progress(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total or None)

    try:
        yield on_progress
    finally:
        bar.stop()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


_running: list[str] = []


def command_line() -> list[str]:
    """Return the command that `main_for` runs in this process, as another process, perhaps elsewhere, can run it."""
    return list(_running)


def options_given() -> frozenset[str]:
    """Return the names of the options on the command line that `main_for` runs, without dashes before and with - inside."""
    flags = (word.partition("=")[0] for word in _running if word.startswith("--"))
    return frozenset(flag.removeprefix("--").replace("_", "-") for flag in flags)


def main_for(
    program: str, description: str, commands: dict[str, Callable[..., Any]], args: Sequence[str] | None
) -> None:
    """Run one of `commands`; a user's mistake is one sentence on stderr and exit code 2.

    An error with an `exit_code` of its own exits with that. `--debug` shows the traceback instead. Interrupting exits with 130 (SIGTERM, where it is handled, with 143).
    """
    arguments = list(sys.argv[1:] if args is None else args)
    # -P: what lies in the working folder is no part of the program
    _running[:] = [sys.executable, "-P", "-c", f"from {program}.cli import main; main()", *arguments]
    asks = not {"-h", "--help"}.isdisjoint(arguments)
    if asks and arguments[0] in commands:
        join_lines(commands[arguments[0]])
    try:
        if arguments and arguments[0] in commands:
            check_repeated(commands[arguments[0]], arguments)
        with wrapped(sys.stdout) if asks else nullcontext():
            tyro.extras.subcommand_cli_from_dict(
                commands, prog=program, description=description, args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
            )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (UserError, OSError) as error:
        if "--debug" in arguments:
            raise
        said = str(error)
        if isinstance(error, OSError):
            said = f"{error.strerror or error}: '{error.filename}': check that the path is right and may be written"
        sys.stderr.write(f"{program}: {said}\n")
        raise SystemExit(getattr(error, "exit_code", 2)) from None
    except KeyboardInterrupt as error:
        sys.stderr.write(f"{program}: {str(error) or 'interrupted'}\n")
        raise SystemExit(getattr(error, "exit_code", 130)) from None


def main(args: Sequence[str] | None = None) -> None:
    """Run the `tsimage` command."""
    commands: dict[str, Callable[..., Any]] = {
        "convert": convert,
        "verify": verify,
        "info": info,
        "show": show,
        "formats": formats,
        "fields": fields,
        "datasets": datasets,
        "fetch": fetch,
        "doctor": doctor,
    }
    main_for("tsimage", "Time-series imaging for wearable sensors.", commands, args)
