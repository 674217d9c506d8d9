"""The random numbers of windows: against big-number arithmetic, and by statistics whose every draw is fixed."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from distill.augment import Streams, hash_ids
from distill.augment.chance import drawn
from distill.augment.streams import splitmix64

IDS = hash_ids(f"r{i // 50}:{i % 50 * 64}" for i in range(2000))


def streams(seed=3, epoch=5, ids=IDS):
    return Streams(seed=seed, epoch=epoch, ids_hash=ids)


def mixed(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def hashed(text):
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def test_splitmix64_gives_the_published_sequence():
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64(np.array([1234567], dtype=np.uint64), 5).tolist() == [published]


@settings(max_examples=25)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000), st.text(max_size=20), st.text(max_size=20))
def test_words_equal_whole_numbers_without_overflow(seed, epoch, purpose, window):
    words = Streams(seed=seed, epoch=epoch, ids_hash=hash_ids([window])).words(purpose, 7)
    state = mixed(hashed(window) ^ hashed(f"{seed}|{epoch}|{purpose}"))
    assert words.tolist() == [[mixed((state + j * 0x9E3779B97F4A7C15) % 2**64) for j in range(1, 8)]]


def test_ids_hash_apart():
    assert len(np.unique(IDS)) == len(IDS)
    assert hash_ids(np.array(["a", "b"])).tolist() == [hashed("a"), hashed("b")]


@pytest.mark.parametrize("kind", ["words", "uniform", "normal", "noise"])
def test_draws_of_a_window_depend_on_no_other(kind):
    everything = getattr(streams(), kind)("p", 13)
    order = np.random.default_rng(0).permutation(len(IDS))
    np.testing.assert_array_equal(getattr(streams()[order], kind)("p", 13), everything[order])
    for batch in ([0], [5, 4, 3], list(range(1, 1000, 7))):
        np.testing.assert_array_equal(getattr(streams()[batch], kind)("p", 13), everything[batch])
    np.testing.assert_array_equal(getattr(streams(), kind)("p", 4), everything[:, :4])


@pytest.mark.parametrize("axis", [0, 1])
def test_uniform_numbers_are_uniform(axis):
    """All together, and every single window or place by itself."""
    u = streams().uniform("p", 200)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 0.01
    each = [stats.kstest(line, "uniform").pvalue for line in (u[:200] if axis else u.T)]
    assert stats.kstest(each, "uniform").pvalue > 0.01


def test_every_bit_is_fair():
    words = streams().words("p", 100)
    share = np.array([(words >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)])
    assert abs(share - 0.5).max() < 4 * 0.5 / np.sqrt(words.size)


NEIGHBOURS = {
    "id": lambda: (streams().uniform("p", 50)[:-1], streams().uniform("p", 50)[1:]),
    "place": lambda: (streams().uniform("p", 50)[:, :-1], streams().uniform("p", 50)[:, 1:]),
    "epoch": lambda: (streams(epoch=5).uniform("p", 50), streams(epoch=6).uniform("p", 50)),
    "seed": lambda: (streams(seed=3).uniform("p", 50), streams(seed=4).uniform("p", 50)),
    "seed for epoch": lambda: (streams(3, 5).uniform("p", 50), streams(5, 3).uniform("p", 50)),
    "purpose": lambda: (streams().uniform("jitter", 50), streams().uniform("scaling", 50)),
    "hashes that differ by one bit": lambda: (
        streams(ids=np.arange(0, 4000, 2, dtype=np.uint64)).uniform("p", 50),
        streams(ids=np.arange(1, 4000, 2, dtype=np.uint64)).uniform("p", 50),
    ),
}


@pytest.mark.parametrize("what", NEIGHBOURS)
def test_neighbours_are_independent(what):
    a, b = (part.ravel() for part in NEIGHBOURS[what]())
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(a.size)
    counts = np.histogram2d(a, b, bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(counts.ravel()).pvalue > 0.001


def test_normal_numbers_and_noise_are_normal():
    for numbers in (streams().normal("p", 100), streams().noise("p", 101)):
        assert stats.kstest(numbers.ravel()[::2], "norm").pvalue > 0.01
        assert stats.kurtosis(numbers.ravel()) == pytest.approx(0, abs=4 * np.sqrt(24 / numbers.size))
        for lag in range(1, 9):
            r = np.corrcoef(numbers[:, :-lag].ravel(), numbers[:, lag:].ravel())[0, 1]
            assert abs(r) < 4 / np.sqrt(numbers.size)


def test_noise_is_a_quantile_of_sixteen_bits():
    ours = streams()[:3].noise("p", 10)
    assert ours.dtype == np.float32
    assert ours.shape == (3, 10)
    deviation = stats.norm.ppf((np.arange(2**16) + 0.5) / 2**16).std()
    for row, words in zip(ours, streams()[:3].words("p", 3).tolist(), strict=True):
        halves = [word >> 16 * k & 0xFFFF for word in words for k in range(4)][:10]
        np.testing.assert_allclose(row, stats.norm.ppf((np.array(halves) + 0.5) / 2**16) / deviation, rtol=2e-7)


def test_uniform_numbers_reach_neither_end():
    class Extreme(Streams):
        def words(self, purpose, count):
            return np.array([[0, 2**64 - 1]], dtype=np.uint64)

    low, high = Extreme(seed=0, epoch=0, ids_hash=IDS[:1]).uniform("p", 2)[0]
    assert 0 < low < 1e-15
    assert 1 - 1e-15 < high < 1
    assert Extreme(seed=0, epoch=0, ids_hash=IDS[:1]).integers("p", 2, 64).tolist() == [[0, 63]]


def test_integers_are_equally_likely():
    counts = np.bincount(streams().integers("p", 10, 7).ravel(), minlength=7)
    assert len(counts) == 7
    assert stats.chisquare(counts).pvalue > 0.01


def test_windows_are_drawn_with_probability_p():
    share = np.mean([drawn(streams(epoch=epoch), "jitter", 0.3).mean() for epoch in range(20)])
    assert share == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 40_000))
    assert not np.array_equal(drawn(streams(), "jitter", 0.5), drawn(streams(), "scaling", 0.5))
