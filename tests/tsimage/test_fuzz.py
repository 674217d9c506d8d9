"""Mutated inputs through every reader, and whether the harness sees what it is there to see."""

import importlib.util
import os
import signal
import time

import numpy as np

from experiments import fuzz_readers
from experiments.fuzz_inputs import SEEDS, case
from experiments.fuzz_readers import fuzz
from tsimage.errors import UserError
from tsimage.readers import readers

INPUTS = 2000


def test_mutated_inputs_are_read_or_refused_in_one_sentence():
    table = fuzz(range(INPUTS), seed=1)
    assert table["input"].tolist() == list(range(INPUTS))
    failed = table[table["outcome"] == "failed"]
    assert [f"input {row.input} ({row.seed}): {row.why}" for row in failed.itertuples()] == []
    shares = table.groupby("seed")["outcome"].value_counts(normalize=True).unstack(fill_value=0)
    assert len(shares) == len(SEEDS)
    # mutations that harm nothing would find nothing, and those that harm everything stop at the first check
    assert (shares["refused"] > 0).all()
    assert (table["outcome"] == "parsed").mean() > 0.2


def test_every_reader_has_a_valid_input():
    fuzzed = {seed.reader for seed in SEEDS.values()}
    if importlib.util.find_spec("skdh") is None:
        fuzzed.add("devices")
    assert fuzzed == set(readers())


def test_an_input_is_drawn_from_its_number_and_the_seed_alone():
    numbers = range(0, 200, 7)
    backward = [case(number, 3) for number in reversed(numbers)]
    assert [case(number, 3) for number in numbers] == backward[::-1]
    assert case(5, 3).files != case(5, 4).files
    assert case(5, 3).files != case(5 + len(SEEDS), 3).files


def faulty(number, seed, folder):
    """A reader with a fault of its own for every input."""
    made, fuzz_readers.SECONDS = case(0, seed), 1.0
    fuzz_readers.read_as_load_does = lambda path, options: FAULTS[number]()
    return made.seed, *fuzz_readers.outcome(made, folder)


def raising(error):
    def read():
        raise error

    return read


def sleeping():
    time.sleep(60)


def stuck_in_compiled_code():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as compiled code that never returns
    time.sleep(60)


def allocating():
    return ("parsed", "") if np.ones(600 * 2**20, dtype=np.uint8).any() else None


def hiding_that_memory_is_short():
    try:
        allocating()
    except MemoryError as error:
        raise UserError("a damaged file") from error


def dying():
    os._exit(11)


FAULTS = (
    lambda: ("parsed", ""),
    raising(UserError("a.csv, line 3: no number: mend it")),
    raising(ValueError("bad")),
    raising(UserError("two\nlines")),
    raising(UserError("")),
    allocating,
    hiding_that_memory_is_short,
    sleeping,
    dying,
    stuck_in_compiled_code,
    lambda: ("parsed", ""),
)


def test_the_harness_sees_failures(monkeypatch):
    monkeypatch.setattr(fuzz_readers, "SECONDS", 1.0)  # of the parent; workers have a module of their own
    table = fuzz(range(len(FAULTS)), workers=1, begin=fuzz_readers.limit_memory, judge=faulty)
    assert table["outcome"].tolist() == ["parsed", "refused", *["failed"] * 8, "parsed"]
    said = table["why"].tolist()
    assert said[1] == "a.csv, line 3: no number: mend it"
    assert said[2].startswith("ValueError: bad at test_fuzz.py:")
    assert said[3] == r"not one line: 'two\nlines'"
    assert said[4] == "not one line: ''"
    assert said[5].startswith("MemoryError: ")
    assert said[6] == "more than 500 MB: a damaged file"
    assert said[7] == "more than 1.0 s"
    assert said[8] == "the worker died with exit code 11"
    assert said[9] == "no answer after 4.0 s"
