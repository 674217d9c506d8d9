"""Mutated files through every reader: parsed with a report, or one typed sentence; no other exception, no hang, no memory.

    python -m experiments.fuzz_readers --inputs 200000

Small valid inputs of every format are mutated (bits flipped, bytes and lines cut, doubled, moved and replaced, headers
given huge numbers, files renamed, removed and exchanged; inside an archive and outside), and read and cut as `tsimage.load`
does, with the format named or found and with options added, in worker processes. Warnings are errors there. An input is

- `parsed`: windows came out, and where rows are counted, read = kept + rejected, with as many kept as came out;
- `refused`: a `UserError` of one line;
- `failed`: anything else: another exception, an error of several lines, more than 5 s, more than 500 MB beyond what the
  worker took before the first input, a dead worker.

A worker interrupts itself after 5 s; one that cannot, inside compiled code, is killed by its parent. Input number i is
drawn from (seed, i) alone, so that `--only i` shows it again. Writes `experiments/results/fuzz-readers.csv`: a row per
kind of input with the counts of each outcome and the slowest.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

import tsimage
from experiments.fuzz_inputs import SEEDS, VARIANTS, Case, case, seed_files
from tsimage.datasets import finished, read
from tsimage.readers import GENERAL_OPTIONS, ReadOptions, RecordingSet, readers

RESULTS = Path(__file__).parent / "results"
SECONDS, MEGABYTES = 5.0, 500
_GRACE = 3.0
"""Seconds after which a worker that did not interrupt itself is killed."""
_START = 120.0
"""Seconds that a worker may take to begin."""
OUTCOMES = ("parsed", "refused", "failed")


class Row(NamedTuple):
    """What became of one input."""

    input: int
    seed: str
    outcome: str
    why: str
    seconds: float


class _TooSlowError(BaseException):
    """Raised by the alarm; no reader may catch it."""


def _ring(*_: Any) -> None:
    raise _TooSlowError


def outcome(made: Case, folder: Path) -> tuple[str, str, float]:
    """Read a case in an empty folder; as `judged`."""
    root = folder / "in"
    shutil.rmtree(root, ignore_errors=True)
    for relative, content in made.files.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    target = root / next(iter(made.files)) if len(made.files) == 1 else root
    return judged(lambda: read_as_load_does(target, ReadOptions(**{"constant": "flag", **made.options})))


def judged(read: Callable[[], tuple[str, str]]) -> tuple[str, str, float]:
    """Call what reads; returns parsed, refused or failed, why, and the seconds it took."""
    signal.signal(signal.SIGALRM, _ring)
    start = time.perf_counter()
    try:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            said, why = read()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _TooSlowError:
        said, why = "failed", f"more than {SECONDS} s"
    except tsimage.UserError as error:
        said, why = _sentence(error)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said, why = "failed", f"{type(error).__name__}: {error} at {Path(where.filename).name}:{where.lineno}"
    return said, why, time.perf_counter() - start


def read_as_load_does(path: Path, options: ReadOptions) -> tuple[str, str]:
    """Read and cut, and count what came out."""
    source = read(path, options)
    content = source.content
    if isinstance(content, RecordingSet):
        report, n_rows = content.report, sum(recording.values.shape[1] for recording in content.recordings)
    else:
        report, n_rows = content.read_report, len(content)
    # a row of a long table is one channel of a sample, or none if its channel was not asked for
    if report is not None and (report.rows_kept < 0 or (report.rows_kept != n_rows and options.layout != "long")):
        return "failed", f"{n_rows} rows came out of {report.rows_read} less {report.rows_rejected} rejected"
    return ("parsed", "") if len(finished(source, options)) else ("failed", "no windows and no error")


def _sentence(error: tsimage.UserError) -> tuple[str, str]:
    text = str(error)
    if not text or "\n" in text:
        return "failed", f"not one line: {text!r}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "failed", f"more than {MEGABYTES} MB: {text}"
        cause = cause.__cause__ or cause.__context__
    return "refused", text


def prepare() -> None:
    """Read all valid inputs, which loads what reading needs, and then limit the memory.

    Raises
    ------
    RuntimeError
        If one of them is not read by its reader, or a reader has none.
    """
    for module in ("h5py", "pyarrow.parquet", "scipy.io", "scipy.signal", "skdh.io"):  # slow to import, some optional
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    warnings.simplefilter("error")
    without = set(readers()) - {seed.reader for seed in SEEDS.values()} - {"devices"}
    if without:
        raise RuntimeError(f"there is no valid input for {', '.join(sorted(without))}")
    with tempfile.TemporaryDirectory() as folder:
        for name, seed in SEEDS.items():
            takes = readers()[seed.reader].options | GENERAL_OPTIONS
            for variant in ({}, {"format": seed.reader}, *(v for v in VARIANTS if set(v) <= takes)):
                files = seed.pack(seed_files(name))
                said, why, _ = outcome(Case(seed=name, files=files, options={**seed.options, **variant}), Path(folder))
                if said != "parsed":
                    raise RuntimeError(f"the valid input {name} with {variant} was {said}: {why}")
    limit_memory()


def limit_memory() -> None:
    """Take away all memory but what is in use and `MEGABYTES`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


Judge = Callable[[int, int, Path], tuple[str, str, str, float]]


def judge(number: int, seed: int, folder: Path) -> tuple[str, str, str, float]:
    """Read input `number`; returns its kind, its outcome, why, and the seconds it took."""
    made = case(number, seed)
    return made.seed, *outcome(made, folder)


def _work(pipe: Connection, seed: int, begin: Callable[[], None], judge: Judge) -> None:
    begin()
    with tempfile.TemporaryDirectory() as folder:
        pipe.send(None)
        for number in iter(pipe.recv, None):
            pipe.send(Row(number, *judge(number, seed, Path(folder))))


def fuzz(
    numbers: Iterable[int],
    seed: int = 0,
    workers: int = 2,
    say: Callable[[str], object] | None = None,
    begin: Callable[[], None] = prepare,
    judge: Judge = judge,
) -> pd.DataFrame:
    """Read inputs in worker processes, each of which is replaced when it dies or does not answer.

    Parameters
    ----------
    numbers : iterable of int
        Which inputs.
    seed : int
        From which they are drawn.
    workers : int
    say : callable, optional
        Gets a line every now and then.
    begin, judge : callable
        What a worker does at its start, and with every input; importable functions.

    Returns
    -------
    DataFrame
        A `Row` for each input, in order.
    """
    left, lock = iter(numbers), threading.Lock()
    rows: list[Row] = []
    errors: list[BaseException] = []

    def take() -> Iterator[int]:
        while not errors:
            with lock:
                number = next(left, None)
            if number is None:
                return
            yield number

    def lead() -> None:
        worker = None
        try:
            worker = _Worker(seed, begin, judge)
            for number in take():
                row = worker.ask(number)
                if row.outcome == "failed" and row.seed == "":  # it did not answer
                    worker.end()
                    worker = _Worker(seed, begin, judge)
                rows.append(row)
                if say is not None and len(rows) % 2000 == 0:
                    say(f"{len(rows):,} read, {sum(row.outcome == 'failed' for row in rows)} failed")
        except BaseException as error:
            errors.append(error)
        finally:
            if worker is not None:
                worker.end()

    threads = [threading.Thread(target=lead) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return pd.DataFrame(sorted(rows), columns=list(Row._fields))


class _Worker:
    """A process that reads one input after the other."""

    def __init__(self, seed: int, begin: Callable[[], None], judge: Judge) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, seed, begin, judge), daemon=True)
        self._process.start()
        theirs.close()
        try:
            began = self._pipe.poll(_START)
            if began:
                self._pipe.recv()
        except EOFError:
            began = False
        if not began:
            self.end()
            raise RuntimeError("a worker did not begin: its valid inputs have to be read, see above")

    def ask(self, number: int) -> Row:
        start = time.perf_counter()
        try:
            self._pipe.send(number)
            if self._pipe.poll(SECONDS + _GRACE):
                return self._pipe.recv()
            why = f"no answer after {SECONDS + _GRACE} s"
        except (EOFError, OSError):
            self._process.join(_GRACE)
            why = f"the worker died with exit code {self._process.exitcode}"
        return Row(number, "", "failed", why, time.perf_counter() - start)

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Count the outcomes of each kind of input."""
    groups = table.groupby("seed")
    counts = groups["outcome"].value_counts().unstack(fill_value=0).reindex(columns=list(OUTCOMES), fill_value=0)
    return counts.assign(inputs=groups.size(), slowest_s=groups["seconds"].max().round(3))


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz of the readers; see the docstring.")
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="show one input")
    parser.add_argument("--write", type=Path, help="with --only: folder for its files")
    options = parser.parse_args()
    if options.only is not None:
        made = case(options.only, options.seed)
        print(made.seed, made.options, *made.files)
        folder = options.write or Path(tempfile.mkdtemp())
        print(*outcome(made, folder), f"see {folder}", sep="\n")
        return
    start = time.perf_counter()
    table = fuzz(range(options.inputs), options.seed, say=lambda line: print(line, flush=True))
    # a worker that does not answer cannot name the kind of its input
    table["seed"] = [row.seed or case(row.input, options.seed).seed for row in table.itertuples()]
    counts, failed = summary(table), table[table["outcome"] == "failed"]
    print(counts.to_string())
    for row in failed.head(60).itertuples():
        print(f"input {row.input} ({row.seed}): {row.why}")
    print(f"{len(table):,} inputs in {time.perf_counter() - start:.0f} s, {len(failed)} failed")
    RESULTS.mkdir(exist_ok=True)
    counts.assign(drawn_from=options.seed, tsimage=tsimage.__version__).to_csv(RESULTS / "fuzz-readers.csv")
    sys.exit(bool(len(failed)))


if __name__ == "__main__":
    main()
