"""Windows mixed with other windows of their batch, and the labels that go with them.

torchvision's MixUp and CutMix draw one share for a whole batch from torch's global stream and mix each window with its
neighbour, so another order of the batch, or a resumed run, would mix otherwise. Here each window draws share and partner
itself. The share depends on (seed, epoch, window id) alone. The partner can only be a window of the same batch: the draw
counts along the batch sorted by the hash of the id, so it depends on which windows the batch holds, not on their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from distill.augment.chance import drawn
from distill.augment.placing import placed
from distill.augment.streams import Streams

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Augmented:
    """Augmented windows and what their labels now are: `share` of their own, the rest of their partner's.

    A loss l of one label becomes share l(y) + (1 - share) l(y[partner]), window by window.

    Parameters
    ----------
    values : Tensor, shape (window, ...)
        Signals or images.
    partner : Tensor of int64, shape (window,)
        Position in the batch of the window that was mixed in; its own where none was.
    share : Tensor of float32, shape (window,)
        Share of the window's own label, 0 to 1; 1 where nothing was mixed in.
    """

    values: Tensor
    partner: Tensor
    share: Tensor

    def soft_labels(self, labels: Tensor, classes: int) -> Tensor:
        """Return the labels as probabilities: float32, shape (window, class).

        Examples
        --------
        >>> import torch
        >>> mixed = Augmented(
        ...     values=torch.zeros(2, 1, 4), partner=torch.tensor([1, 1]), share=torch.tensor([0.75, 1.0])
        ... )
        >>> mixed.soft_labels(torch.tensor([0, 2]), 3)
        tensor([[0.7500, 0.0000, 0.2500],
                [0.0000, 0.0000, 1.0000]])
        """
        from torch.nn import functional as F

        own = F.one_hot(labels, classes).to(self.share.dtype)
        share = self.share[:, None]
        return share * own + (1 - share) * own[self.partner]


def unmixed(values: Tensor) -> Augmented:
    """Return windows that keep their labels.

    Examples
    --------
    >>> import torch
    >>> unmixed(torch.zeros(2, 1, 4)).share
    tensor([1., 1.])
    """
    import torch

    windows = len(values)
    return Augmented(
        values=values,
        partner=torch.arange(windows, device=values.device),
        share=torch.ones(windows, device=values.device),
    )


def partners(streams: Streams, name: str) -> np.ndarray:
    """Draw another window of the batch for each: int64, shape (window,), its position.

    All others are equally likely. A window alone in its batch is its own partner.

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> partners(Streams(seed=0, epoch=1, ids_hash=hash_ids(["a", "b"])), "mixup")
    array([1, 0])
    """
    windows = len(streams)
    by_id = np.argsort(streams.ids_hash, kind="stable")
    rank = np.empty(windows, dtype=np.int64)
    rank[by_id] = np.arange(windows)
    steps = 1 + streams.integers(f"{name}: partner", 1, windows - 1)[:, 0]
    return by_id[(rank + steps) % windows]


def beta_shares(streams: Streams, name: str, alpha: float) -> np.ndarray:
    """Draw a share from Beta(alpha, alpha) for each window: float64, shape (window,).

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(map(str, range(1000))))
    >>> round(float(beta_shares(streams, "mixup", 1.0).mean()), 1)
    0.5
    """
    from scipy.special import betaincinv

    return betaincinv(alpha, alpha, streams.uniform(f"{name}: share", 1)[:, 0])


def mixup(values: Tensor, streams: Streams, *, alpha: float = 0.2, p: float = 1.0) -> Augmented:
    """Mix each window with a partner: share x own + (1 - share) x partner, with the share from Beta(alpha, alpha).

    Source: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv:1710.09412 (alpha 0.2 on ImageNet).

    Parameters
    ----------
    values : Tensor, shape (window, ...)
        Signals or images.
    streams : Streams
    alpha : float
        Above 0; the larger, the nearer to halves.
    p : float
        Probability of each window; others keep their values and label.

    Returns
    -------
    Augmented

    Examples
    --------
    >>> import torch
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a", "b"]))
    >>> mixed = mixup(torch.tensor([0.0, 1.0]).reshape(2, 1, 1), streams)
    >>> bool(torch.allclose(mixed.values.flatten(), torch.stack([1 - mixed.share[0], mixed.share[1]])))
    True
    """
    index, partner, share = _drawn_mixing(values, streams, "mixup", alpha, p)
    if len(index) == 0:
        return unmixed(values)
    own = placed(share, values).reshape(-1, *[1] * (values.dim() - 1))
    mixed = own * _rows(values, index) + (1 - own) * values[placed(partner, values)]
    return _put(values, index, partner, share, mixed)


def cutmix(values: Tensor, streams: Streams, *, alpha: float = 1.0, p: float = 1.0) -> Augmented:
    """Replace a box of each window by that of a partner: a stretch of time in signals, a rectangle in images.

    Source: S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    arXiv:1905.04899. With a share from Beta(alpha, alpha), the box covers 1 - share of the window about a uniform centre;
    what sticks out is cut off, and the share of the label is that of the samples or pixels that stay.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time) or (window, channel, height, width)
    streams : Streams
    alpha : float
        Above 0.
    p : float
        Probability of each window; others keep their values and label.

    Returns
    -------
    Augmented

    Examples
    --------
    >>> import torch
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a", "b"]))
    >>> mixed = cutmix(torch.arange(2.0).reshape(2, 1, 1).expand(2, 1, 8), streams)
    >>> bool(torch.equal((mixed.values[:, 0] == torch.arange(2.0)[:, None]).float().mean(1), mixed.share))
    True
    """
    import torch

    index, partner, share = _drawn_mixing(values, streams, "cutmix", alpha, p)
    if len(index) == 0:
        return unmixed(values)
    sizes = values.shape[2:]
    inside = np.ones((len(index), *[1] * len(sizes)), dtype=bool)
    centres = streams[index].uniform("cutmix: centre", len(sizes))
    for axis, size in enumerate(sizes):
        centre = np.floor(centres[:, axis] * size)
        half = np.floor(0.5 * (1 - share) ** (1 / len(sizes)) * size)
        place = np.arange(size)
        within = (place >= (centre - half)[:, None]) & (place < (centre + half)[:, None])
        inside = inside & within.reshape(-1, *[size if other == axis else 1 for other in range(len(sizes))])
    mixed = torch.where(placed(inside, values)[:, None], values[placed(partner, values)], _rows(values, index))
    return _put(values, index, partner, 1 - inside.reshape(len(index), -1).mean(axis=1), mixed)


def _drawn_mixing(
    values: Tensor, streams: Streams, name: str, alpha: float, p: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the windows to be mixed, and their partners and shares."""
    if len(values) < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    index = np.flatnonzero(drawn(streams, name, p))
    return index, partners(streams, name)[index], beta_shares(streams[index], name, alpha)


def _rows(values: Tensor, index: np.ndarray) -> Tensor:
    """Return the windows at rising positions; the values themselves, not a copy, where those are all."""
    return values if len(index) == len(values) else values[placed(index, values)]


def _put(values: Tensor, index: np.ndarray, partner: np.ndarray, share: np.ndarray, mixed: Tensor) -> Augmented:
    import torch

    every_partner, every_share = np.arange(len(values)), np.ones(len(values), dtype=np.float32)
    every_partner[index], every_share[index] = partner, share
    return Augmented(
        values=mixed if len(index) == len(values) else values.index_copy(0, placed(index, values), mixed),
        partner=placed(every_partner, values),
        share=torch.from_numpy(every_share).to(values.device),
    )
