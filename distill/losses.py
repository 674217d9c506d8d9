"""Losses as pure functions that return their named parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def knowledge_distillation(
    student: Tensor,
    labels: Tensor,
    teachers: Sequence[Tensor] = (),
    weights: Sequence[float] = (),
    *,
    lambda_: float = 0.7,
    temperature: float = 4.0,
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
        Logits of frozen teachers of the same windows. Without teachers the loss is the cross entropy.
    weights : sequence of float
        One w_k >= 0 per teacher, summing to 1.
    lambda_ : float
        Weight of distillation, 0 to 1.
    temperature : float
        T > 0.

    Returns
    -------
    dict of str to scalar Tensor
        `loss`, `cross_entropy`, and `kl_0`, `kl_1`, ... (unweighed, without T^2).

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
    log_student = F.log_softmax(student / temperature, dim=1)
    parts = {
        f"kl_{k}": F.kl_div(log_student, F.log_softmax(t / temperature, dim=1), reduction="batchmean", log_target=True)
        for k, t in enumerate(teachers)
    }
    divergence = sum(w * kl for w, kl in zip(weights, parts.values(), strict=True))
    loss = (1 - lambda_) * cross_entropy + lambda_ * temperature**2 * divergence
    return {"loss": loss, "cross_entropy": cross_entropy, **parts}
