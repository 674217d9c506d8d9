"""What a network is given in one step: windows, perhaps augmented, their view, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill.augment import Augmenter
from distill.views import View


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The windows of one step.

    Parameters
    ----------
    positions : ndarray of int64, shape (window,)
        Among the training windows.
    index : Tensor of int64, shape (window,)
        The same, on the device.
    values : Tensor, shape (window, channel, time)
        Signals, augmented or not; live teachers look at these.
    inputs : Tensor
        The view of the values, which the network looks at.
    labels : Tensor of int64, shape (window,)
        Of windows that are mixed, the label that has the most share.
    targets : Tensor, shape (window, class), or None
        Probabilities in place of labels, of windows that are mixed.
    """

    positions: np.ndarray
    index: Tensor
    values: Tensor
    inputs: Tensor
    labels: Tensor
    targets: Tensor | None = None

    def __getitem__(self, some: slice | int) -> Batch:
        """Return some of its windows; or those of one network, where the batches of several are stacked."""
        return Batch(
            positions=self.positions[some],
            index=self.index[some],
            values=self.values[some],
            inputs=self.inputs[some],
            labels=self.labels[some],
            targets=None if self.targets is None else self.targets[some],
        )


def stacked(batches: Sequence[Batch]) -> Batch:
    """Return batches of equal size as one, with a first axis of networks."""
    targets = [batch.targets for batch in batches if batch.targets is not None]
    return Batch(
        positions=np.stack([batch.positions for batch in batches]),
        index=torch.stack([batch.index for batch in batches]),
        values=torch.stack([batch.values for batch in batches]),
        inputs=torch.stack([batch.inputs for batch in batches]),
        labels=torch.stack([batch.labels for batch in batches]),
        targets=torch.stack(targets) if targets else None,
    )


def augmented(
    augmenter: Augmenter, view: View, values: Tensor, labels: Tensor, ids_hash: np.ndarray, epoch: int, classes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return changed signals, what the network sees of them, the label that has the most share, and mixed targets."""
    made = augmenter.signals(values, ids_hash, epoch)
    values, inputs = made.values, view.of(made.values)
    mixes = augmenter.recipe.mixes
    if view.dims == 2:
        painted = augmenter.images(inputs, ids_hash, epoch)
        inputs = painted.values
        made = painted if mixes == "image" else made
    if mixes is None or (mixes == "image" and view.dims == 1):
        return values, inputs, labels, None
    return (
        values,
        inputs,
        torch.where(made.share >= 0.5, labels, labels[made.partner]),
        made.soft_labels(labels, classes),
    )
