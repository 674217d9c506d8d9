"""The only door to torchvision."""

from __future__ import annotations

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
    try:
        import torch
        from torchvision.utils import make_grid
    except (ImportError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"torchvision cannot be imported beside this torch ({error}): install the pair together with "
            "pip install --upgrade torch torchvision"
        ) from error
    return make_grid(torch.from_numpy(images), nrow=columns, padding=2, pad_value=1.0).permute(1, 2, 0).numpy()
