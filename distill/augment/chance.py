"""Which windows an augmentation changes: each with its own draw against the probability p."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from distill.augment.placing import placed
from distill.augment.streams import Streams

if TYPE_CHECKING:
    from torch import Tensor


def drawn(streams: Streams, name: str, p: float) -> np.ndarray:
    """Return whether the augmentation `name` changes each window: bool, shape (window,).

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(map(str, range(1000))))
    >>> int(drawn(streams, "jitter", 0.0).sum()), int(drawn(streams, "jitter", 1.0).sum())
    (0, 1000)
    """
    return streams.uniform(f"{name}: applied", 1)[:, 0] < p


def changed_where_drawn(
    values: Tensor, streams: Streams, name: str, p: float, change: Callable[[Tensor, Streams], Tensor]
) -> Tensor:
    """Return the windows with `change(windows, streams)` applied to those that are drawn; the others stay as they are.

    Parameters
    ----------
    values : Tensor, shape (window, ...)
        Left as they are.
    streams : Streams
        Of the same windows.
    name : str
        Of the augmentation.
    p : float
        Probability of each window, 0 to 1.
    change : callable
        Keeps shape, type and device.

    Returns
    -------
    Tensor
        `values` themselves where no window is drawn.

    Examples
    --------
    >>> import torch
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids("abcdef"))
    >>> changed_where_drawn(torch.ones(6), streams, "jitter", 0.5, lambda windows, _: -windows)
    tensor([ 1., -1., -1.,  1.,  1.,  1.])
    """
    windows = drawn(streams, name, p)
    if not windows.any():
        return values
    if windows.all():
        return change(values, streams)
    index = placed(np.flatnonzero(windows), values)
    return values.index_copy(0, index, change(values[index], streams[windows]))
