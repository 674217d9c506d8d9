"""DIST: the student need not match a teacher's probabilities, only correlate with them, by window and by class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.losses.totals import total_of_sums
from distill.trace import Trace

EPSILON = 1e-8
"""Added to the product of the two norms, as in the authors' code."""


def dist(
    student: Trace,
    teachers: Sequence[Trace],
    labels: Tensor,
    weights: Tensor,
    *,
    beta: float = 1.0,
    gamma: float = 1.0,
    tau: float = 1.0,
) -> dict[str, Tensor]:
    """Return tau^2 sum_k w_k (beta (1 - rho of the rows) + gamma (1 - rho of the columns)).

    Source: T. Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, arXiv:2205.10536. rho is
    Pearson's correlation between the probabilities softmax(logits / tau) of student and teacher, averaged over the
    windows (rows: relations between classes) or over the classes (columns: relations within a class). The defaults
    are those of the authors' code.

    Parameters
    ----------
    student, teachers : Trace and sequence of Trace
        Their logits are compared; no gradient reaches a teacher.
    labels : Tensor
        Not looked at.
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1. The columns of probabilities run over windows: they take the mean over windows.
    beta, gamma : float
        >= 0.
    tau : float
        Temperature > 0.

    Returns
    -------
    dict of str to scalar Tensor
        `dist`, `dist_0`, ..., and `inter_0`, `intra_0`, ... without beta and gamma; all with tau^2.

    Notes
    -----
    A row or column without spread has correlation 0: with a single window the columns give the constant gamma tau^2.

    Examples
    --------
    >>> student = Trace(logits=torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    >>> teacher = Trace(logits=3 * student.logits)
    >>> round(abs(dist(student, [teacher], torch.tensor([0, 1]), torch.ones(1))["inter_0"].item()), 4)
    0.0
    """
    probabilities = (student.logits / tau).softmax(dim=1)
    inter, intra = [], []
    for teacher in teachers:
        expected = (teacher.logits.detach() / tau).softmax(dim=1)
        inter.append(tau**2 * (1 - pearson(probabilities, expected)))
        intra.append(tau**2 * (1 - pearson(probabilities.mT, expected.mT).mean()))
    return total_of_sums("dist", {"inter": (beta, inter), "intra": (gamma, intra)}, weights)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of each row of a with that of b, shape (row,); about 0 for a row without spread.

    Examples
    --------
    >>> round(pearson(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[5.0, 3.0, 1.0]])).item(), 4)
    -1.0
    """
    a = a - a.mean(dim=1, keepdim=True)
    b = b - b.mean(dim=1, keepdim=True)
    norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    return (a * b).sum(dim=1) / (norms + EPSILON)
