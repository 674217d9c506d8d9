"""Contrastive distillation within the batch: each window's embedding is to be nearest to the teacher's of the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.losses.totals import total_of_sums
from distill.trace import Trace

LOG_SCALE, LARGEST_SCALE = 1.0, 10.0
"""Where the logarithm of the trained inverse temperature starts, and what the inverse temperature never exceeds."""


class Contrast(nn.Module):
    """Discriminative and consistent distillation of embeddings, with projections and a temperature that are trained.

    Source: N. Giakoumoglou and T. Stathaki, "Discriminative and Consistent Representation Distillation",
    arXiv:2407.11802. Taken from it: a linear projection of either embedding to `dim` features of norm 1; cosines
    times a trained inverse temperature; the cross entropy of finding the teacher's embedding of the same window among
    those of the batch, without a memory bank; plus `consistency` times the divergence of "which teacher's embedding
    belongs to this student's" from "which student's belongs to this teacher's". Not taken: the trained bias, as a
    constant added to all cosines changes no softmax. With several teachers each has its own projections and
    temperature, which is ours.

    Parameters
    ----------
    features : int
        Of the student's embedding.
    teacher_features : sequence of int
        Of each teacher's.
    dim : int
        >= 1.
    consistency : float
        >= 0.

    Examples
    --------
    >>> trace = Trace(logits=torch.zeros(4, 2), embedding=torch.randn(4, 8))
    >>> term = Contrast.build(trace, [trace], dim=16)
    >>> sorted(term(trace, [trace], torch.tensor([0, 0, 1, 1]), torch.ones(1)))
    ['consistency_0', 'contrast_0', 'dcd', 'dcd_0']
    """

    def __init__(
        self, features: int, teacher_features: Sequence[int], *, dim: int = 128, consistency: float = 0.5
    ) -> None:
        super().__init__()
        self.consistency = consistency
        self.ours = nn.ModuleList([nn.Linear(features, dim) for _ in teacher_features])
        self.theirs = nn.ModuleList([nn.Linear(width, dim) for width in teacher_features])
        self.log_scale = nn.Parameter(torch.full((len(teacher_features),), LOG_SCALE))

    @classmethod
    def build(cls, student: Trace, teachers: Sequence[Trace], *, dim: int = 128, consistency: float = 0.5) -> Contrast:
        """Build it for embeddings as wide as those of an example batch, on its device."""
        assert student.embedding is not None  # `check` refuses a network without any
        widths = [teacher.embedding.shape[1] for teacher in teachers if teacher.embedding is not None]
        built = cls(student.embedding.shape[1], widths, dim=dim, consistency=consistency)
        return built.to(student.logits.device)

    def forward(self, student: Trace, teachers: Sequence[Trace], labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Return sum_k w_k (contrast_k + consistency * consistency_k) as `dcd`, and its parts.

        Parameters
        ----------
        student, teachers : Trace and sequence of Trace
            Their embeddings are compared; no gradient reaches a teacher.
        labels : Tensor
            Not looked at.
        weights : Tensor, shape (teacher,) or (teacher, window)
            Each column >= 0 and of sum 1; windows are compared with each other, so the mean over windows is taken.

        Returns
        -------
        dict of str to scalar Tensor
            `dcd`, `dcd_0`, ..., and `contrast_0`, `consistency_0`, ...
        """
        contrast, consistency = [], []
        places = torch.arange(len(student.logits), device=student.logits.device)
        for k, teacher in enumerate(teachers):
            scale = self.log_scale[k].exp().clamp(max=LARGEST_SCALE)
            ours = F.normalize(self.ours[k](student.embedding), dim=1)
            theirs = F.normalize(self.theirs[k](teacher.detach().embedding), dim=1)
            likeness = scale * ours @ theirs.mT
            contrast.append(F.cross_entropy(likeness, places))
            consistency.append(
                F.kl_div(
                    F.log_softmax(likeness, dim=1),
                    F.log_softmax(likeness, dim=0).mT,
                    reduction="batchmean",
                    log_target=True,
                )
            )
        terms = {"contrast": (1.0, contrast), "consistency": (self.consistency, consistency)}
        return total_of_sums("dcd", terms, weights)
