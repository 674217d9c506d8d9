"""Windows on a device, and the order in which a training takes them, drawn from (seed, epoch, window id)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from distill.seeds import random_seed


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Windows on the device: values (window, channel, time), labels (window,), and the ids that order them."""

    values: Tensor
    labels: Tensor
    ids: np.ndarray


def batches(ids: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Yield the positions of each batch of an epoch, drawn from (seed, epoch, window id).

    The order depends on the ids and not on where the windows stand. Batches differ in size by at most one.
    """
    by_id = np.argsort(ids, kind="stable")
    order = np.random.default_rng(random_seed(seed, "order", epoch)).permutation(len(ids))
    yield from np.array_split(by_id[order], math.ceil(len(ids) / batch_size))
