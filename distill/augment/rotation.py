"""The device turned in space: one rotation for all x, y, z triples of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from distill.augment.chance import changed_where_drawn
from distill.augment.placing import placed
from distill.augment.streams import Streams

if TYPE_CHECKING:
    from torch import Tensor

Law = Literal["angle", "haar"]


def rotation(
    values: Tensor,
    streams: Streams,
    *,
    triples: Sequence[tuple[int, int, int]],
    degrees: float = 180.0,
    law: Law = "angle",
    p: float = 1.0,
) -> Tensor:
    """Turn the device: every triple of a window by the same random rotation; other channels stay.

    Source: T. T. Um et al., "Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring using
    Convolutional Neural Networks", arXiv:1706.00527, where the axis is random and the angle uniform up to 180 degrees. That
    forgets which way is down; a sensor strapped to the waist sits askew by 10 or 15.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    streams : Streams
    triples : sequence of (int, int, int)
        Channels x, y and z of each sensor, see `tsimage.triples.find_triples`.
    degrees : float
        Greatest angle, above 0 and at most 180.
    law : {"angle", "haar"}
        See `random_rotations`.
    p : float
        Probability of each window.

    Returns
    -------
    Tensor
        Same shape, type and device.

    Examples
    --------
    >>> import torch
    >>> from distill.augment.streams import hash_ids
    >>> streams = Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"]))
    >>> lying = torch.tensor([0.0, 0.0, 9.81]).reshape(1, 3, 1)
    >>> turned = rotation(lying, streams, triples=[(0, 1, 2)])
    >>> bool((turned == lying).all()), round(turned.norm().item(), 2)
    (False, 9.81)
    """
    return changed_where_drawn(
        values, streams, "rotation", p, lambda x, own: turned(x, random_rotations(own, degrees, law), triples)
    )


def random_rotations(streams: Streams, degrees: float, law: Law = "angle") -> np.ndarray:
    """Draw a rotation for each window, about an axis uniform on the sphere.

    Parameters
    ----------
    streams : Streams
    degrees : float
        Greatest angle, above 0 and at most 180.
    law : {"angle", "haar"}
        "angle": the angle is uniform. "haar": all rotations by at most `degrees` are equally likely, so that large angles
        prevail, with density 1 - cos(angle); with 180 degrees it is the uniform law on all rotations.

    Returns
    -------
    ndarray of float64, shape (window, 3, 3)

    Examples
    --------
    >>> from distill.augment.streams import hash_ids
    >>> matrix = random_rotations(Streams(seed=0, epoch=1, ids_hash=hash_ids(["a"])), 30.0)[0]
    >>> bool(np.allclose(matrix @ matrix.T, np.eye(3))), bool(matrix.trace() >= 1 + 2 * np.cos(np.pi / 6))
    (True, True)
    """
    height, turn, share = streams.uniform("rotation: axis and angle", 3).T
    most = np.deg2rad(degrees)
    angle = most * share if law == "angle" else _angle_of_volume(share * (most - np.sin(most)))
    return rotations(height, turn, angle)


def rotations(height: np.ndarray, turn: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return rotations about axes that are uniform on the sphere where `height` and `turn` are uniform.

    Parameters
    ----------
    height, turn : ndarray, shape (window,)
        Where the axis meets the sphere: how high, from 0 (-z) to 1 (z), and how far about z, from 0 to 1.
    angle : ndarray, shape (window,)
        In radians.

    Returns
    -------
    ndarray of float64, shape (window, 3, 3)

    Examples
    --------
    >>> rotations(np.array([1.0]), np.array([0.0]), np.array([np.pi / 2]))[0].round(12).tolist()
    [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    z = 2 * height - 1  # the height of a uniform point of the sphere is uniform, as Archimedes found
    radius, longitude = np.sqrt(1 - z**2), 2 * np.pi * turn
    x, y = radius * np.cos(longitude), radius * np.sin(longitude)
    zero = np.zeros_like(z)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    axis = np.stack([x, y, z], axis=-1)
    # Rodrigues: cos I + sin [axis]x + (1 - cos) axis axis^T, in products of single numbers, which no batch size changes
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return cosine * np.eye(3) + sine * cross + (1 - cosine) * (axis[:, :, None] * axis[:, None, :])


def _angle_of_volume(volume: np.ndarray) -> np.ndarray:
    """Solve angle - sin(angle) = volume by Newton's steps from its cube root law, which is exact for small angles."""
    angle = np.cbrt(6 * volume)
    for _ in range(6):
        angle -= (angle - np.sin(angle) - volume) / (2 * np.sin(angle / 2) ** 2)
    return angle


def turned(values: Tensor, matrices: np.ndarray, triples: Sequence[tuple[int, int, int]]) -> Tensor:
    """Turn every triple of channels of a window by its matrix; other channels stay.

    Parameters
    ----------
    values : Tensor, shape (window, channel, time)
    matrices : ndarray, shape (window, 3, 3)
    triples : sequence of (int, int, int)
        Channels x, y and z of each sensor.
    """
    matrix = placed(matrices, values)
    made = values.clone()
    for triple in triples:
        x, y, z = (values[:, channel] for channel in triple)
        for row, channel in enumerate(triple):
            # sums of products and no matmul: its rounding would depend on the batch and the device
            a, b, c = (matrix[:, row, column, None] for column in range(3))
            made[:, channel] = a * x + b * y + c * z
    return made
