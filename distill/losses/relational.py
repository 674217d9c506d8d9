"""Relational distillation: distances between embeddings, and angles among three of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.losses.totals import total_of_sums
from distill.trace import Trace


def rkd(
    student: Trace,
    teachers: Sequence[Trace],
    labels: Tensor,
    weights: Tensor,
    *,
    distance: float = 25.0,
    angle: float = 50.0,
) -> dict[str, Tensor]:
    """Return sum_k w_k (distance RKD-D_k + angle RKD-A_k).

    Source: W. Park et al., "Relational Knowledge Distillation", CVPR 2019, arXiv:1904.05068. RKD-D compares the
    distances of all pairs of windows, relative to the mean distance; RKD-A the cosines of the angles at one window
    between two others; both by Huber's loss, averaged over all b^2 pairs and all b^3 triples.

    Parameters
    ----------
    student, teachers : Trace and sequence of Trace
        Their embeddings are compared and may differ in features; no gradient reaches a teacher.
    labels : Tensor
        Not looked at.
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1; windows are compared with each other, so the mean over windows is taken.
    distance, angle : float
        >= 0.

    Returns
    -------
    dict of str to scalar Tensor
        `rkd`, `rkd_0`, ..., and `distance_0`, `angle_0`, ... without the factors 25 and 50.

    Notes
    -----
    Two windows of the same embedding have distance 0 and no direction: their angles are 0 and pass no gradient.

    Examples
    --------
    >>> logits = torch.zeros(3, 2)
    >>> student = Trace(logits=logits, embedding=torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    >>> teacher = Trace(logits=logits, embedding=3 * student.embedding + 1)  # the same shape
    >>> round(rkd(student, [teacher], torch.tensor([0, 0, 1]), torch.ones(1))["rkd"].item(), 4)
    0.0
    """
    distances, cosines = _relations(student)
    near, wide = [], []
    for teacher in teachers:
        expected_distances, expected_cosines = _relations(teacher.detach())
        near.append(F.smooth_l1_loss(distances, expected_distances))
        wide.append(F.smooth_l1_loss(cosines, expected_cosines))
    return total_of_sums("rkd", {"distance": (distance, near), "angle": (angle, wide)}, weights)


def _relations(trace: Trace) -> tuple[Tensor, Tensor]:
    """Return the relative distances (window, window) and the cosines (vertex, window, window)."""
    assert trace.embedding is not None  # `check` refuses a network without any
    difference = trace.embedding[None] - trace.embedding[:, None]
    square = difference.square().sum(dim=2)
    apart = square > 0
    length = square.masked_fill(~apart, 1.0).sqrt()
    distances = length * apart
    mean = distances.sum() / apart.sum().clamp(min=1)
    unit = difference / length[..., None]
    return distances / torch.where(mean > 0, mean, 1.0), unit @ unit.mT
