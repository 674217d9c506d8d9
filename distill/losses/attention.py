"""Attention transfer: the student looks where, or when, the teacher looks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.losses.alignment import aligned
from distill.losses.totals import total_of
from distill.trace import Trace


def at(student: Trace, teachers: Sequence[Trace], labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Return sum_k w_k of the squared distance between attention, averaged over positions, summed over the stages.

    Source: S. Zagoruyko and N. Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv:1612.03928, with the
    mean of their code. Attention is the mean over channels of the squared activations, of norm 1 over all positions
    of a window.

    A teacher of images and a student of signals are compared over time: attention over an image, of T by T segments,
    is averaged over its rows and over its columns, of which both are functions of time, and then lengths are matched
    by averaging (`distill.losses.alignment`). This is meaningful only where both axes of the image are time.

    Parameters
    ----------
    student, teachers : Trace and sequence of Trace
        Maps of the same number of stages; no gradient reaches a teacher.
    labels : Tensor
        Not looked at.
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1.

    Returns
    -------
    dict of str to scalar Tensor
        `at` and `at_0`, ...; the published weight, 1000, is not in them.

    Raises
    ------
    UserError
        For maps over an image that is not square, against maps over a signal.

    Examples
    --------
    >>> student = Trace(logits=torch.zeros(1, 2), maps=(torch.tensor([[[3.0, 0.0]]]),))
    >>> teacher = Trace(logits=torch.zeros(1, 2), maps=(torch.tensor([[[0.0, 2.0]]]),))
    >>> at(student, [teacher], torch.tensor([0]), torch.ones(1))["at"].item()
    1.0
    """
    divergences = [
        torch.stack(
            [_distance(ours, theirs.detach()) for ours, theirs in zip(student.maps, teacher.maps, strict=True)]
        ).sum(dim=0)
        for teacher in teachers
    ]
    return total_of("at", divergences, weights)


def _distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the mean squared distance of attention of each window."""
    a, b = aligned(ours.square().mean(dim=1, keepdim=True), theirs.square().mean(dim=1, keepdim=True))
    return (F.normalize(a.flatten(1), dim=1) - F.normalize(b.flatten(1), dim=1)).square().mean(dim=1)
