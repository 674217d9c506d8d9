"""A sensor that samples more slowly than the model wants."""

from __future__ import annotations

import numpy as np
from scipy.signal import resample_poly

from tsimage.errors import UserError
from tsimage.resampling import low_pass


def lower_rate(values: np.ndarray, *, factor: int) -> np.ndarray:
    """Resample windows to a rate that is `factor` times lower, and back up to the one that the model wants.

    Both ways with the polyphase filter of `tsimage.resampling`, which lets no frequency alias and keeps constants; beyond the
    window it sees it turned about its outermost sample.

    Parameters
    ----------
    values : ndarray of float32, shape (window, channel, time)
    factor : int
        1 or more.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    UserError
        If fewer than two samples are left.

    Examples
    --------
    >>> time = np.arange(64) / 64
    >>> slow, fast = (np.sin(2 * np.pi * f * time, dtype=np.float32)[None, None] for f in (2, 28))
    >>> made = [lower_rate(wave, factor=2)[0, 0, 20:44] for wave in (slow, fast)]
    >>> bool(np.abs(made[0] - slow[0, 0, 20:44]).max() < 0.01), bool(np.abs(made[1]).max() < 0.01)
    (True, True)
    """
    length = values.shape[2]
    if factor == 1:
        return values.copy()
    if length <= factor:
        raise UserError(
            f"windows of {length} samples hold one at 1/{factor} of their rate, and two are needed: cut longer ones"
        )
    wide = values.astype(np.float64)
    for up, down in ((1, factor), (factor, 1)):
        how = {"window": low_pass(up, down), "padtype": "antireflect"}
        wide = resample_poly(wide, up, down, axis=2, **how)  # type: ignore[call-overload]  # the stubs know neither
    return wide[:, :, :length].astype(np.float32)
