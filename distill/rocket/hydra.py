"""Hydra: groups of random kernels that compete at every sample, and counts of who wins."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tsimage.errors import UserError

TAPS = 9
BATCH = 256
"""Windows transformed at a time."""


class Hydra:
    """The multivariate Hydra transform.

    Random kernels of 9 taps compete in groups: at every sample the kernel with the largest response and that with
    the smallest are counted, the largest by its response and the smallest by one. Half of the groups look at the
    window, half at its first differences, at dilations 1, 2, 4, ... Each group sees the sum of a few channels.

    Source: A. Dempster et al., "Hydra: Competing Convolutional Kernels for Fast and Accurate Time Series
    Classification", arXiv:2203.13652; several channels as in the authors' extension, half of the channels (2 to 8,
    drawn with repetition) per group.

    Parameters
    ----------
    kernels : int
        In each group, at least 2.
    groups : int
        At each dilation; even, half of them for differences.
    seed : int
        Draws kernels and channels, which do not depend on the training windows.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(5, 3, 50)).astype(np.float32)
    >>> Hydra(groups=4).fit(values).transform(values).shape
    (5, 192)
    """

    learns = False
    """Whether features depend on the training windows."""

    def __init__(self, kernels: int = 8, groups: int = 64, seed: int = 0) -> None:
        if kernels < 2:
            raise UserError(f"kernels {kernels} is not allowed: at least 2 kernels compete in a group of Hydra")
        if groups < 2 or groups % 2:
            raise UserError(
                f"groups {groups} is not allowed: half of Hydra's groups look at differences, so their number is even"
            )
        self.kernels, self.groups, self.seed = kernels, groups, seed
        self.weights = torch.empty(0)
        self.channels = torch.empty(0, dtype=torch.int64)

    def fit(self, values: np.ndarray) -> Hydra:
        """Draw kernels for windows (window, channel, time) of this shape and return self.

        Raises
        ------
        UserError
            If windows have fewer than 9 samples.
        """
        _, channels, length = values.shape
        if length < TAPS:
            raise UserError(
                f"Hydra cannot be fitted to windows of {length} samples: it needs 9, the taps of a kernel: cut longer windows"
            )
        rng = np.random.default_rng(self.seed)
        dilations, half = int(np.log2((length - 1) / (TAPS - 1))) + 1, self.groups // 2
        weights = rng.standard_normal((dilations, 2, half * self.kernels, TAPS), dtype=np.float32)
        weights -= weights.mean(axis=-1, keepdims=True)
        weights /= np.abs(weights).sum(axis=-1, keepdims=True)
        per_group = min(channels, int(np.clip(channels // 2, 2, 8)))
        self.weights = torch.from_numpy(weights)
        self.channels = torch.from_numpy(rng.integers(channels, size=(dilations, 2, half, per_group)))
        return self

    @torch.inference_mode()
    def transform(self, values: np.ndarray) -> np.ndarray:
        """Return the counts of windows, a batch at a time.

        Parameters
        ----------
        values : ndarray, shape (window, channel, time)
            As many channels and samples as in training.

        Returns
        -------
        ndarray of float32, shape (window, feature)
            By dilation, window before differences, largest before smallest, group and kernel.
        """
        batches = torch.from_numpy(np.ascontiguousarray(values, np.float32)).split(BATCH)
        return torch.cat([wins(batch, self.weights, self.channels, self.kernels) for batch in batches]).numpy()

    def state(self) -> dict[str, np.ndarray]:
        """Return what `fit` drew as arrays by name."""
        return {"weights": self.weights.numpy(), "channels": self.channels.numpy()}

    def restore(self, arrays: dict[str, np.ndarray]) -> Hydra:
        """Take what another transform's `state` holds and return self."""
        self.weights = torch.from_numpy(arrays["weights"].copy())
        self.channels = torch.from_numpy(arrays["channels"].copy())
        return self


def wins(x: Tensor, weights: Tensor, channels: Tensor, kernels: int) -> Tensor:
    """Return how often, and how clearly, each kernel wins its group.

    Parameters
    ----------
    x : Tensor, shape (window, channel, time)
    weights : Tensor, shape (dilation, 2, group * kernel, 9)
        For the window and for its differences; dilation i is 2^i.
    channels : Tensor of int64, shape (dilation, 2, group, n)
        The channels that each group adds up.
    kernels : int
        In each group.

    Returns
    -------
    Tensor, shape (window, dilation * 2 * 2 * group * kernel)
    """
    parts = []
    for i in range(len(weights)):
        for view, source in enumerate((x, x.diff())):
            mixed = source[:, channels[i, view]].sum(dim=2)
            responses = F.conv1d(
                mixed, weights[i, view].unsqueeze(1), dilation=2**i, padding=4 * 2**i, groups=mixed.shape[1]
            ).unflatten(1, (-1, kernels))
            largest, winners = responses.max(dim=2)
            losers = responses.min(dim=2).indices  # argmin is many times slower
            zeros = torch.zeros(responses.shape[:3], dtype=x.dtype)
            parts.append(zeros.scatter_add(2, winners, largest))
            parts.append(zeros.scatter_add(2, losers, torch.ones_like(largest)))
    return torch.cat(parts, dim=1).flatten(1)
