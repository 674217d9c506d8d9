"""The only door to torchvision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tsimage.errors import UserError


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Lay images out in rows, with torchvision.

    Parameters
    ----------
    images : ndarray of float32, shape (image, 3, height, width), values 0 to 1
    columns : int
        Images in a row.

    Returns
    -------
    ndarray of float32, shape (height, width, 3)

    Raises
    ------
    UserError
        If torchvision does not fit the installed torch.
    """
    with _importing():
        import torch
        from torchvision.utils import make_grid
    return make_grid(torch.from_numpy(images), nrow=columns, padding=2, pad_value=1.0).permute(1, 2, 0).numpy()


def network(name: str, **options: Any) -> Any:
    """Build a network of `torchvision.models` from scratch; no weights are downloaded.

    Parameters
    ----------
    name : str
        As `torchvision.models` calls it.
    **options
        Passed on to it.

    Returns
    -------
    Module

    Raises
    ------
    UserError
        If torchvision does not fit the installed torch.

    Examples
    --------
    >>> network("resnet18", num_classes=5).fc
    Linear(in_features=512, out_features=5, bias=True)
    """
    with _importing():
        from torchvision import models
    return getattr(models, name)(weights=None, **options)


@contextmanager
def _importing() -> Iterator[None]:
    """Say in one sentence that torchvision is missing or was made for another torch."""
    try:
        yield
    except (ImportError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"torchvision cannot be imported beside this torch ({error}): install the pair together with "
            "pip install --upgrade torch torchvision"
        ) from error
