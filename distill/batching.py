"""Windows on a device, and the order in which a training takes them, drawn from (seed, epoch, window id)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Windows on the device: values (window, channel, time), labels (window,), and the ids that order them."""

    values: Tensor
    labels: Tensor
    ids: np.ndarray


def random_seed(*parts: object) -> int:
    """Derive a 63-bit seed from what it is for, so that no two uses share a stream.

    Examples
    --------
    >>> random_seed(0, "init", "student") == random_seed(0, "init", "student") != random_seed(1, "init", "student")
    True
    """
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def batches(ids: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Yield the positions of each batch of an epoch, drawn from (seed, epoch, window id).

    The order depends on the ids and not on where the windows stand. Batches differ in size by at most one.
    """
    by_id = np.argsort(ids, kind="stable")
    order = np.random.default_rng(random_seed(seed, "order", epoch)).permutation(len(ids))
    yield from np.array_split(by_id[order], math.ceil(len(ids) / batch_size))
