"""The loss that a student is trained with: the labels, one term of logits, and terms of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.losses.terms import Term
from distill.trace import Trace
from tsimage.errors import UserError


def combine(
    terms: Sequence[Term],
    student: Trace,
    teachers: Sequence[Trace],
    labels: Tensor,
    weights: Tensor,
    *,
    lambda_: float = 0.7,
    epoch: int | None = None,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    targets: Tensor | None = None,
    modules: nn.ModuleDict | None = None,
) -> dict[str, Tensor]:
    """Return (1 - lambda) CE(student, labels) + lambda (term of logits) + sum of beta (term of features), and its parts.

    Without a term of logits lambda weighs nothing, and the cross entropy counts in full. With the one term `kd` this
    is `distill.losses.knowledge_distillation`.

    Parameters
    ----------
    terms : sequence of Term
        From `parse_losses`, after `check`. None is the cross entropy alone.
    student, teachers : Trace and sequence of Trace
        Of the same windows; half precision is widened to float32, and no gradient reaches a teacher.
    labels : Tensor of int64, shape (window,)
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1.
    lambda_ : float
        Weight of the term of logits, 0 to 1.
    epoch : int, optional
        From 1; lets a term with a published warm-up (dkd: 20 epochs) grow. Without it, the warm-up is over.
    label_smoothing : float
        0 to 1; the share of the labels' probability that all classes have in common.
    class_weights : Tensor, shape (class,), optional
        Of the cross entropy, which is then the weighted mean over windows.
    targets : Tensor, shape (window, class), optional
        Probabilities in place of labels for the cross entropy, of windows that are mixed; class weights then weigh each
        class's share, and the mean is over windows.
    modules : ModuleDict, optional
        From `build_modules`, where a term has parameters.

    Returns
    -------
    dict of str to scalar Tensor
        `loss`, `cross_entropy`, and the parts of every term, without lambda, beta and warm-up.

    Raises
    ------
    UserError
        For terms without a teacher or weights that do not fit.

    Examples
    --------
    >>> from distill.losses import parse_losses
    >>> student, teacher = Trace(logits=torch.tensor([[2.0, 0.0]])), Trace(logits=torch.tensor([[2.0, 1.0]]))
    >>> parts = combine(parse_losses("kd"), student, [teacher], torch.tensor([0]), torch.ones(1))
    >>> {name: round(part.item(), 3) for name, part in parts.items()}
    {'loss': 0.123, 'cross_entropy': 0.127, 'kd': 0.121, 'kd_0': 0.121}
    """
    if terms and not teachers:
        raise UserError(
            f"losses {'+'.join(term.label for term in terms)} compare with teachers: name at least one teacher"
        )
    student, teachers = _wide(student), [_wide(teacher.detach()) for teacher in teachers]
    wanted = labels if targets is None else targets.to(student.logits.dtype)
    cross_entropy = F.cross_entropy(student.logits, wanted, weight=class_weights, label_smoothing=label_smoothing)
    parts: dict[str, Tensor] = {}
    of_labels, loss = 1.0, torch.zeros_like(cross_entropy)
    for term in terms:
        name = term.loss.name
        if modules is not None and name in modules:
            values = modules[name](student, teachers, labels, weights)
        else:
            values = term.loss.term(student, teachers, labels, weights, **term.options)
        if term.loss.kind == "logits":
            of_labels, weight = 1 - lambda_, lambda_
        else:
            weight = term.weight
        loss = loss + weight * term.loss.warmth(epoch) * values[name]
        parts |= values
    return {"loss": of_labels * cross_entropy + loss, "cross_entropy": cross_entropy, **parts}


def _wide(trace: Trace) -> Trace:
    """Return the trace with half precision widened to float32."""

    def widened(x: Tensor) -> Tensor:
        return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x

    return Trace(
        logits=widened(trace.logits),
        maps=tuple(widened(m) for m in trace.maps),
        embedding=None if trace.embedding is None else widened(trace.embedding),
    )
