"""An image store as a torch `Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from tsimage.store import ImageStore


class StoreDataset(Dataset[tuple[Any, int]]):
    """Pairs of image and class number; made by `ImageStore.dataset`.

    Images are read when they are asked for; worker processes open the store themselves.

    Parameters
    ----------
    store : ImageStore
    positions : ndarray of int64, shape (item,)
        Which images, in which order.
    transform : callable, optional
        Applied to each tensor of float32, shape (channel, height, width).
    """

    def __init__(self, store: ImageStore, positions: np.ndarray, transform: Callable[[Any], Any] | None = None) -> None:
        self.store, self.positions, self.transform = store, positions, transform
        self.labels = store.labels[positions]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, item: int) -> tuple[Any, int]:
        return self.__getitems__([item])[0]

    def __getitems__(self, items: Sequence[int]) -> list[tuple[Any, int]]:
        """Return a whole batch at once, as a `DataLoader` asks for it."""
        images = torch.from_numpy(self.store.read(self.positions[items]))
        changed = images if self.transform is None else map(self.transform, images)
        return list(zip(changed, self.labels[items].tolist(), strict=True))
