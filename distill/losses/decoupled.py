"""Decoupled distillation: how sure of the labelled class, and what the other classes look like, weighed apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.losses.divergence import relative_entropy
from distill.losses.totals import total_of_sums
from distill.trace import Trace


def dkd(
    student: Trace,
    teachers: Sequence[Trace],
    labels: Tensor,
    weights: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> dict[str, Tensor]:
    """Return T^2 sum_k w_k (alpha TCKD_k + beta NCKD_k).

    Source: B. Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679. TCKD is the divergence of
    the two probabilities "the labelled class" and "any other"; NCKD that of the probabilities among the others.
    Plain distillation is TCKD + (1 - p_label of the teacher) NCKD. The authors let the weight of this term grow
    linearly over the first 20 epochs; `distill.losses.combine` does so when it is told the epoch.

    Parameters
    ----------
    student, teachers : Trace and sequence of Trace
        Their logits are compared; no gradient reaches a teacher.
    labels : Tensor of int64, shape (window,)
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1.
    alpha, beta : float
        >= 0; of the labelled class, and of the others.
    temperature : float
        T > 0.

    Returns
    -------
    dict of str to scalar Tensor
        `dkd`, `dkd_0`, ..., and `tckd_0`, `nckd_0`, ... without alpha and beta; all with T^2.

    Examples
    --------
    >>> student, teacher = Trace(logits=torch.zeros(1, 3)), Trace(logits=torch.tensor([[4.0, 0.0, 0.0]]))
    >>> parts = dkd(student, [teacher], torch.tensor([0]), torch.ones(1))
    >>> round(parts["tckd_0"].item(), 3), parts["nckd_0"].item()
    (1.973, 0.0)
    """
    target, others = _log_probabilities(student.logits / temperature, labels)
    tckd, nckd = [], []
    for teacher in teachers:
        teacher_target, teacher_others = _log_probabilities(teacher.logits.detach() / temperature, labels)
        tckd.append(temperature**2 * relative_entropy(teacher_target, target))
        nckd.append(temperature**2 * relative_entropy(teacher_others, others))
    return total_of_sums("dkd", {"tckd": (alpha, tckd), "nckd": (beta, nckd)}, weights)


def _log_probabilities(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithms of (label, any other), (window, 2), and of each among the others, (window, class - 1)."""
    index = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
    index = index + (index >= labels[:, None])  # all classes but the label
    others = logits.gather(1, index)
    either = torch.cat([logits.gather(1, labels[:, None]), others.logsumexp(dim=1, keepdim=True)], dim=1)
    return F.log_softmax(either, dim=1), F.log_softmax(others, dim=1)
