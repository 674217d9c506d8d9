"""Random numbers that belong to a window: drawn from (seed, epoch, window id) by counting, whatever the batch.

A generator per window would cost more than the augmentation itself, so the numbers are hashes of a counter: splitmix64
(G. L. Steele, D. Lea and C. H. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014), each window from a
state of its own, in integers, all windows of a batch at once. They are drawn in NumPy on the CPU, so that CUDA and MPS see
the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def hash_ids(ids: Iterable[str]) -> np.ndarray:
    """Return a 64-bit hash of each window id: once for a data set, then indexed by batch.

    Parameters
    ----------
    ids : iterable of str

    Returns
    -------
    ndarray of uint64, shape (window,)
        The same in every process and on every machine.

    Examples
    --------
    >>> hash_ids(["r1:0", "r1:64"])
    array([11736968131523634456,  2406810442347303198], dtype=uint64)
    """
    return np.array([_hash(str(window)) for window in ids], dtype=np.uint64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Streams:
    """The random numbers of the windows of a batch in one epoch.

    Each purpose, a text such as "jitter: noise", has numbers of its own. Those of a window depend on seed, epoch, purpose
    and its id; not on the other windows, on their order, or on what was drawn before.

    Parameters
    ----------
    seed, epoch : int
    ids_hash : ndarray of uint64, shape (window,)
        See `hash_ids`.

    Examples
    --------
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a", "b", "c"]))
    >>> bool((streams[[2, 0]].uniform("angle", 4) == streams.uniform("angle", 4)[[2, 0]]).all())
    True
    """

    seed: int
    epoch: int
    ids_hash: np.ndarray

    def __len__(self) -> int:
        return len(self.ids_hash)

    def __getitem__(self, chosen: np.ndarray | list[int]) -> Streams:
        return replace(self, ids_hash=self.ids_hash[chosen])

    def words(self, purpose: str, count: int) -> np.ndarray:
        """Return `count` words of 64 random bits for each window: uint64, shape (window, count)."""
        key = np.uint64(_hash(f"{self.seed}|{self.epoch}|{purpose}"))
        states = _mixed(self.ids_hash ^ key)
        return splitmix64(states, count)

    def uniform(self, purpose: str, count: int) -> np.ndarray:
        """Return numbers between 0 and 1, never equal to either: float64, shape (window, count)."""
        # 52 bits and a half: with 53 the greatest would round to 1
        return ((self.words(purpose, count) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def integers(self, purpose: str, count: int, below: int) -> np.ndarray:
        """Return whole numbers from 0 to `below` - 1: int64, shape (window, count)."""
        return (self.uniform(purpose, count) * below).astype(np.int64)

    def normal(self, purpose: str, count: int) -> np.ndarray:
        """Return standard normal numbers: float64, shape (window, count)."""
        from scipy.special import ndtri

        return ndtri(self.uniform(purpose, count))

    def noise(self, purpose: str, count: int) -> np.ndarray:
        """Return standard normal noise in bulk: float32, shape (window, count).

        Each number is one of 65,536 equally likely quantiles of the normal distribution, scaled to unit variance; the
        greatest is 4.32. Four of them come from one word, with one look into a table: three times faster than Box-Muller
        and, without a sine or logarithm, equal to the last bit on every machine.
        """
        words = self.words(purpose, -(-count // 4)).astype("<u8", copy=False)
        return _quantiles().take(words.view("<u2")[:, :count])


def splitmix64(states: np.ndarray, count: int) -> np.ndarray:
    """Return the first `count` numbers of splitmix64 from each state.

    Parameters
    ----------
    states : ndarray of uint64, shape (window,)
    count : int

    Returns
    -------
    ndarray of uint64, shape (window, count)

    Examples
    --------
    >>> splitmix64(np.array([1234567], dtype=np.uint64), 2)
    array([[6457827717110365317, 3203168211198807973]], dtype=uint64)
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * _GAMMA
    return _mixed(states[:, None] + steps)


def _mixed(words: np.ndarray) -> np.ndarray:
    """Mix the bits of each word, in place: the finaliser of splitmix64."""
    shifted = words >> np.uint64(30)
    words ^= shifted
    words *= _FIRST
    np.right_shift(words, np.uint64(27), out=shifted)
    words ^= shifted
    words *= _SECOND
    np.right_shift(words, np.uint64(31), out=shifted)
    words ^= shifted
    return words


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@cache
def _quantiles() -> np.ndarray:
    from scipy.special import ndtri

    upper = ndtri((np.arange(1 << 15) + 0.5) / (1 << 16) + 0.5)  # one half, so that the table is exactly symmetric
    quantiles = np.concatenate([-upper[::-1], upper])
    return (quantiles / quantiles.std()).astype(np.float32)
