"""Knowledge distillation: the divergence of the student's softened probabilities from each teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from distill.losses.totals import check_weights, total_of
from distill.trace import Trace
from tsimage.errors import UserError, unknown

Reduction = Literal["batchmean", "elementmean"]


def knowledge_distillation(
    student: Tensor,
    labels: Tensor,
    teachers: Sequence[Tensor] = (),
    weights: Sequence[float] = (),
    *,
    lambda_: float = 0.7,
    temperature: float = 4.0,
    reduction: Reduction = "batchmean",
) -> dict[str, Tensor]:
    """Return (1 - lambda) CE(student, labels) + lambda T^2 sum_k w_k KL(teacher_k || student) and its parts.

    Source: G. Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv:1503.02531; with several
    teachers, their divergences are weighed. The divergence compares softmax(logits / T), is summed over
    classes and averaged over the batch.

    Parameters
    ----------
    student : Tensor, shape (window, class)
        Logits.
    labels : Tensor of int64, shape (window,)
    teachers : sequence of Tensor, each (window, class)
        Logits of teachers of the same windows; no gradient reaches them. Without teachers the loss is the cross entropy.
    weights : sequence of float
        One w_k >= 0 per teacher, summing to 1.
    lambda_ : float
        Weight of distillation, 0 to 1.
    temperature : float
        T > 0.
    reduction : {"batchmean", "elementmean"}
        `elementmean` also divides the divergence by the number of classes, as `torch.nn.KLDivLoss()` does unless told
        otherwise; only to reproduce tables that were made so.

    Returns
    -------
    dict of str to scalar Tensor
        `loss`, `cross_entropy`, and `kl_0`, `kl_1`, ... (unweighed, without T^2).

    Raises
    ------
    UserError
        For an unknown reduction, a lambda or temperature out of range, or weights that are negative, not one per
        teacher, or do not sum to 1.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> parts = knowledge_distillation(logits, torch.tensor([0]), [logits], [1.0])
    >>> round(parts["loss"].item(), 4), parts["kl_0"].item()
    (0.0381, 0.0)
    """
    cross_entropy = F.cross_entropy(student, labels)
    if not teachers:
        return {"loss": cross_entropy, "cross_entropy": cross_entropy}
    check_weights(weights, len(teachers))
    if not 0 <= lambda_ <= 1:
        raise UserError(f"lambda {lambda_:g} is not allowed: give a number from 0 to 1")
    if not temperature > 0:
        raise UserError(f"temperature {temperature:g} is not allowed: give a number above 0")
    share = _share(reduction, student.shape[1])
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teachers = [F.log_softmax(teacher.detach() / temperature, dim=1) for teacher in teachers]
    parts = {
        f"kl_{k}": share * F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
        for k, log_teacher in enumerate(log_teachers)
    }
    divergence = sum(w * kl for w, kl in zip(weights, parts.values(), strict=True))
    loss = (1 - lambda_) * cross_entropy + lambda_ * temperature**2 * divergence
    return {"loss": loss, "cross_entropy": cross_entropy, **parts}


def kd(
    student: Trace,
    teachers: Sequence[Trace],
    labels: Tensor,
    weights: Tensor,
    *,
    temperature: float = 4.0,
    reduction: Reduction = "batchmean",
) -> dict[str, Tensor]:
    """Return T^2 sum_k w_k KL(teacher_k || student), the distillation term of `knowledge_distillation`.

    Source: G. Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.

    Parameters
    ----------
    student, teachers : Trace and sequence of Trace
        Their logits are compared; no gradient reaches a teacher.
    labels : Tensor
        Not looked at; all terms are called alike.
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1.
    temperature : float
        T > 0.
    reduction : {"batchmean", "elementmean"}
        See `knowledge_distillation`.

    Returns
    -------
    dict of str to scalar Tensor
        `kd` and, unweighed, `kd_0`, `kd_1`, ..., all with T^2.

    Raises
    ------
    UserError
        For an unknown reduction, or weights that do not fit.

    Examples
    --------
    >>> import torch
    >>> student = Trace(logits=torch.zeros(1, 2))
    >>> teacher = Trace(logits=torch.tensor([[2.0, 0.0]]))
    >>> round(kd(student, [teacher], torch.tensor([0]), torch.ones(1))["kd"].item(), 4)
    0.4848
    """
    share = _share(reduction, student.logits.shape[1])
    log_student = F.log_softmax(student.logits / temperature, dim=1)
    log_teachers = [F.log_softmax(teacher.logits.detach() / temperature, dim=1) for teacher in teachers]
    return total_of(
        "kd",
        [share * temperature**2 * relative_entropy(t, log_student) for t in log_teachers],
        weights,
    )


def lskd(
    student: Trace,
    teachers: Sequence[Trace],
    labels: Tensor,
    weights: Tensor,
    *,
    temperature: float = 2.0,
    weight: float = 9.0,
) -> dict[str, Tensor]:
    """Return `weight` times the distillation term between standardised logits.

    Source: S. Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024, arXiv:2403.01427: logits are
    replaced by their z-scores over the classes, so that a student need not match the scale of its teacher. The paper
    adds it with the weight 9 to 0.1 of the cross entropy: lambda 0.9 and `weight` 10 do that, since lambda multiplies
    this term too.

    Parameters
    ----------
    student, teachers : Trace and sequence of Trace
        Their logits are compared; no gradient reaches a teacher.
    labels : Tensor
        Not looked at.
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1.
    temperature : float
        T > 0, of the z-scores.
    weight : float
        > 0.

    Returns
    -------
    dict of str to scalar Tensor
        `lskd`, and unweighed by teacher `lskd_0`, ..., all with T^2 and `weight`.

    Examples
    --------
    >>> import torch
    >>> teacher = Trace(logits=torch.tensor([[2.0, 0.0, 1.0]]))
    >>> student = Trace(logits=10 * teacher.logits + 3)
    >>> abs(round(lskd(student, [teacher], torch.tensor([0]), torch.ones(1))["lskd"].item(), 4))
    0.0
    """
    factor = weight * temperature**2
    log_student = F.log_softmax(z_score(student.logits) / temperature, dim=1)
    log_teachers = [F.log_softmax(z_score(teacher.logits.detach()) / temperature, dim=1) for teacher in teachers]
    return total_of(
        "lskd",
        [factor * relative_entropy(t, log_student) for t in log_teachers],
        weights,
    )


def relative_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return p (log p - log q) of every class, which summed over the classes is KL(p || q).

    Written out, since `torch.nn.functional.kl_div` does not go through `torch.vmap`.

    Examples
    --------
    >>> import torch
    >>> relative_entropy(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()).sum().item()  # doctest: +ELLIPSIS
    0.1438...
    """
    return log_p.exp() * (log_p - log_q)


def z_score(logits: Tensor) -> Tensor:
    """Return logits of mean 0 and standard deviation 1 over the classes of each window; 0 where all are equal.

    The deviation is that of the population, divided by C and not by C - 1. Where all logits of a window are equal,
    the gradient is 0 too.

    Examples
    --------
    >>> import torch
    >>> z_score(torch.tensor([[3.0, 1.0], [5.0, 5.0]])).tolist()
    [[1.0, -1.0], [0.0, 0.0]]
    """
    spread = (logits.amax(dim=1, keepdim=True) - logits.amin(dim=1, keepdim=True)).detach()
    flat = spread == 0
    # a z-score is the same at any scale: dividing by the spread first keeps the squares of tiny logits from vanishing
    centred = (logits - logits.mean(dim=1, keepdim=True)) / spread.masked_fill(flat, 1.0)
    variance = centred.square().mean(dim=1, keepdim=True).masked_fill(flat, 1.0)
    return (centred / variance.sqrt()).masked_fill(flat, 0.0)


def _share(reduction: str, classes: int) -> float:
    """Return what the sum over classes is multiplied by."""
    if reduction not in get_args(Reduction):
        raise unknown("reduction of the divergence", reduction, get_args(Reduction))
    return 1.0 if reduction == "batchmean" else 1.0 / classes
