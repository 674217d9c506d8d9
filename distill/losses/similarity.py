"""Similarity-preserving distillation: windows that are alike to the teacher are to be alike to the student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.losses.totals import total_of
from distill.trace import Trace
from tsimage.errors import unknown

Merge = Literal["normalised", "raw"]


def sp(
    student: Trace,
    teachers: Sequence[Trace],
    labels: Tensor,
    weights: Tensor,
    *,
    merge: Merge = "normalised",
) -> dict[str, Tensor]:
    """Return ||S - T||^2 / b^2 between the similarities of b windows, summed over the stages.

    Source: F. Tung and G. Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, arXiv:1907.09682. S is
    F F^T, (window, window), of the student's flattened maps F, each row of norm 1; T is the same of the teachers,
    merged with their weights. Maps may differ in channels, lengths and dimensions, as only windows are compared.

    Parameters
    ----------
    student, teachers : Trace and sequence of Trace
        Maps of the same number of stages; no gradient reaches a teacher.
    labels : Tensor
        Not looked at.
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1; windows are compared with each other, so the mean over windows is taken.
    merge : {"normalised", "raw"}
        `normalised` merges the normalised similarities of the teachers, sum_k w_k T_k. `raw` merges theirs as they
        are and normalises the sum, so the teacher with the larger activations wins; it reproduces published tables.

    Returns
    -------
    dict of str to scalar Tensor
        `sp`, against the merged similarities, and `sp_0`, ... against each teacher's. With `normalised`, `sp` is
        less than sum_k w_k sp_k by what does not depend on the student: both have the same gradient. The published
        weight, 3000, is not in them.

    Raises
    ------
    UserError
        For an unknown `merge`.

    Examples
    --------
    >>> logits = torch.zeros(2, 2)
    >>> student = Trace(logits=logits, maps=(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]),))
    >>> teacher = Trace(logits=logits, maps=(torch.tensor([[[1.0]], [[1.0]]]),))
    >>> round(sp(student, [teacher], torch.tensor([0, 1]), torch.ones(1))["sp"].item(), 4)
    0.2929
    """
    if merge not in get_args(Merge):
        raise unknown("merge of the loss sp", merge, get_args(Merge))
    ours = [similarity_map(m) for m in student.maps]
    raw = [[_similarity(m.detach()) for m in teacher.maps] for teacher in teachers]
    theirs = [[_normalised(s) for s in stages] for stages in raw]
    parts = total_of("sp", [_distance(ours, stages) for stages in theirs], weights)
    shares = weights.reshape(len(teachers), -1).mean(dim=1).to(student.logits)
    merged = [
        torch.einsum("k,kij->ij", shares, torch.stack(stage))
        for stage in zip(*(raw if merge == "raw" else theirs), strict=True)
    ]
    if merge == "raw":
        merged = [_normalised(s) for s in merged]
    return parts | {"sp": _distance(ours, merged)}


def similarity_map(maps: Tensor) -> Tensor:
    """Return the similarities (window, window) of feature maps, each row of norm 1, that `sp` compares.

    Examples
    --------
    >>> similarity_map(torch.tensor([[[3.0, 0.0]], [[0.0, 2.0]]]))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _normalised(_similarity(maps))


def _similarity(maps: Tensor) -> Tensor:
    flat = maps.flatten(1)
    return flat @ flat.mT


def _normalised(similarity: Tensor) -> Tensor:
    return F.normalize(similarity, dim=1)


def _distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Return the mean squared difference, summed over the stages."""
    return torch.stack([F.mse_loss(a, b) for a, b in zip(ours, theirs, strict=True)]).sum()
