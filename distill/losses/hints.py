"""Hints: the student's map of one stage, through an adapter that is trained with it, is to equal the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from distill.losses.alignment import aligned
from distill.losses.totals import total_of
from distill.trace import Trace


class Hint(nn.Module):
    """Mean squared difference between a teacher's map and the student's behind a 1 x 1 convolution and batch norm.

    Source: A. Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550, of which the regressor
    is the narrowest, and which trains on hints first and on logits afterwards; here, as is common, both are trained
    together. A teacher of images and a student of signals are compared as functions of time, see
    `distill.losses.alignment`: this is meaningful only where both axes of the image are time.

    Parameters
    ----------
    adapters : sequence of Module
        One per teacher, from the student's channels to its own.
    stage : int
        From 1.

    Examples
    --------
    >>> import torch
    >>> student = Trace(logits=torch.zeros(4, 2), maps=(torch.randn(4, 16, 32),))
    >>> teacher = Trace(logits=torch.zeros(4, 2), maps=(torch.randn(4, 48, 8, 8),))
    >>> term = Hint.build(student, [teacher], stage=1)
    >>> sorted(term(student, [teacher], torch.tensor([0, 0, 1, 1]), torch.ones(1)))
    ['hint', 'hint_0']
    """

    def __init__(self, adapters: Sequence[nn.Module], *, stage: int = 2) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(adapters)
        self.stage = stage

    @classmethod
    def build(cls, student: Trace, teachers: Sequence[Trace], *, stage: int = 2) -> Hint:
        """Build it for maps with the channels and dimensions of an example batch, on its device.

        Raises
        ------
        UserError
            For maps over an image that is not square, against maps over a signal.
        """
        adapters = []
        for teacher in teachers:
            ours, theirs = aligned(student.maps[stage - 1], teacher.maps[stage - 1])
            conv, norm = (nn.Conv1d, nn.BatchNorm1d) if ours.ndim == 3 else (nn.Conv2d, nn.BatchNorm2d)
            channels = theirs.shape[1]
            adapters.append(nn.Sequential(conv(ours.shape[1], channels, 1, bias=False), norm(channels)))
        return cls(adapters, stage=stage).to(student.logits.device)

    def forward(self, student: Trace, teachers: Sequence[Trace], labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Return sum_k w_k of the difference to teacher k, averaged over channels, positions and windows.

        Parameters
        ----------
        student, teachers : Trace and sequence of Trace
            Maps with the channels of the example; no gradient reaches a teacher.
        labels : Tensor
            Not looked at.
        weights : Tensor, shape (teacher,) or (teacher, window)
            Each column >= 0 and of sum 1.

        Returns
        -------
        dict of str to scalar Tensor
            `hint` and `hint_0`, ...
        """
        divergences = []
        for adapter, teacher in zip(self.adapters, teachers, strict=True):
            ours, theirs = aligned(student.maps[self.stage - 1], teacher.maps[self.stage - 1].detach())
            divergences.append((adapter(ours) - theirs).square().flatten(1).mean(dim=1))
        return total_of("hint", divergences, weights)
