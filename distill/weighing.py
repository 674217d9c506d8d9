"""How several teachers are weighed against each other, by name: once for all, or anew for every window.

Comparisons published for wearables found that none of the adaptive ways beats fixed weights with a warm start; they are
here to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torch.nn import functional as F

from distill.losses.totals import check_weights
from tsimage.errors import unknown

_STIFF = 1e3  # how much dearer a sum other than 1 is than the longest gradient


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """A way to weigh teachers.

    Parameters
    ----------
    name, summary, paper : str
    function : callable
        Takes the student's logits (window, class), the teachers' (teacher, window, class), the labels and T; returns
        weights (teacher, window), which sum to 1 in every window.
    """

    name: str
    summary: str
    paper: str
    function: Callable[[Tensor, Tensor, Tensor, float], Tensor]


def average(student: Tensor, teachers: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Weigh all teachers alike.

    Source: S. You et al., "Learning from Multiple Teacher Networks", KDD 2017.

    >>> average(torch.zeros(2, 3), torch.zeros(4, 2, 3), torch.tensor([0, 1]), 4.0)[:, 0].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return teachers.new_full(teachers.shape[:2], 1 / len(teachers))


def entropy(student: Tensor, teachers: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Weigh by certainty: w_k = (1 - H_k / sum H) / (K - 1), H_k being the entropy of softmax(teacher_k) in a window.

    Source: K. Kwon et al., "Adaptive Knowledge Distillation Based on Entropy" (EBKD), ICASSP 2020. Where all teachers
    are certain to the last digit, they weigh alike.

    >>> sure, torn = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> entropy(sure, torch.stack([sure, torn]), torch.tensor([0]), 4.0)[:, 0].round(decimals=2).tolist()
    [1.0, 0.0]
    """
    k = len(teachers)
    if k == 1:
        return average(student, teachers, labels, temperature)
    log_p = F.log_softmax(teachers, dim=2)
    uncertainty = (-log_p.exp() * log_p).sum(dim=2)
    total = uncertainty.sum(dim=0)
    share = torch.where(total > 0, uncertainty / total, 1 / k)
    return (1 - share) / (k - 1)


def confidence(student: Tensor, teachers: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Weigh by who is right: w_k = (1 - softmax_k(CE_k)) / (K - 1), CE_k being a teacher's cross entropy in a window.

    Source: H. Zhang et al., "Confidence-Aware Multi-Teacher Knowledge Distillation" (CA-MKD), ICASSP 2022,
    arXiv:2201.00007, equations 2 and 3; its weights of intermediate layers are not here.

    >>> right, wrong = torch.tensor([[9.0, 0.0]]), torch.tensor([[0.0, 9.0]])
    >>> confidence(right, torch.stack([right, wrong]), torch.tensor([0]), 4.0)[:, 0].round(decimals=2).tolist()
    [1.0, 0.0]
    """
    k = len(teachers)
    if k == 1:
        return average(student, teachers, labels, temperature)
    flat = F.cross_entropy(teachers.flatten(0, 1), labels.repeat(k), reduction="none")
    return (1 - flat.view(k, -1).softmax(dim=0)) / (k - 1)


def agreement(student: Tensor, teachers: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Weigh so that the teachers' pulls on the student add up to the shortest: no teacher is followed against another.

    The pull of a teacher is the gradient of its divergence with regard to the student's logits over the whole batch; the
    weights are those of the point of their convex hull nearest to 0, the same in every window.

    Source: S. Du et al., "Agree to Disagree: Adaptive Ensemble Knowledge Distillation in Gradient Space" (AE-KD),
    NeurIPS 2020, with its bound C = 1 (no teacher is capped) and gradients at the logits.

    >>> here, there = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    >>> agreement(torch.zeros(1, 2), torch.stack([here, there]), torch.tensor([0]), 1.0)[:, 0].tolist()
    [0.5, 0.5]
    """
    pulls = (student / temperature).softmax(dim=1) - (teachers / temperature).softmax(dim=2)
    weights = shortest(pulls.detach().flatten(1).double().cpu().numpy())
    return torch.from_numpy(weights).to(teachers)[:, None].expand(teachers.shape[:2])


def shortest(vectors: np.ndarray) -> np.ndarray:
    """Return the weights (>= 0, summing to 1) with which vectors (vector, coordinate) add up to the shortest.

    Where several weights do, as for equal vectors, any of them. Solved as non-negative least squares, in which a sum
    other than 1 is dear.

    >>> shortest(np.array([[2.0, 0.0], [0.0, 1.0]])).round(6).tolist()
    [0.2, 0.8]
    """
    length = np.linalg.norm(vectors, axis=1).max()
    if not length > 0:
        return np.full(len(vectors), 1 / len(vectors))
    stiff = np.full((1, len(vectors)), _STIFF)
    weights, _ = nnls(np.vstack([vectors.T / length, stiff]), np.append(np.zeros(vectors.shape[1]), _STIFF))
    return weights / weights.sum()


WEIGHINGS = {
    w.name: w
    for w in (
        Weighing(name="aver", summary="all alike", paper="KDD 2017", function=average),
        Weighing(name="ebkd", summary="by certainty, per window", paper="ICASSP 2020", function=entropy),
        Weighing(name="ca-mkd", summary="by who is right, per window", paper="arXiv:2201.00007", function=confidence),
        Weighing(
            name="ae-kd", summary="by agreement of gradients, per batch", paper="NeurIPS 2020", function=agreement
        ),
    )
}
"""The adaptive ways; `fixed`, the default, takes the weights by teacher's name."""


def weigh(
    name: str, fixed: Sequence[float], student: Tensor, teachers: Tensor, labels: Tensor, temperature: float = 4.0
) -> Tensor:
    """Return the weight of each teacher in each window, without gradient.

    Parameters
    ----------
    name : str
        `fixed` or one of `WEIGHINGS`.
    fixed : sequence of float
        The weights by name, for `fixed`.
    student : Tensor, shape (window, class)
        Logits.
    teachers : Tensor, shape (teacher, window, class)
    labels : Tensor of int64, shape (window,)
    temperature : float
        T > 0, for `ae-kd`.

    Returns
    -------
    Tensor, shape (teacher, window)
        At least 0, summing to 1 in every window.

    Raises
    ------
    UserError
        For an unknown name, or fixed weights that are negative or do not sum to 1.
    """
    if name != "fixed":
        if name not in WEIGHINGS:
            raise unknown("weighing", name, ["fixed", *WEIGHINGS])
        with torch.no_grad():
            return WEIGHINGS[name].function(student, teachers, labels, temperature)
    check_weights(fixed, len(teachers))
    return teachers.new_tensor(list(fixed))[:, None].expand(teachers.shape[:2])
