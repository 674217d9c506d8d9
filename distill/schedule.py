"""How long, how fast, and by which habits a network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill.config import Optimizer
from distill.rates import Course


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, how fast, and by which habits a network is trained.

    Parameters
    ----------
    epochs : int
    batch_size : int
        Largest batch; an epoch is divided into batches of nearly equal size.
    learning_rate, final_rate : float
        The highest rate, and under course cosine that of the last step.
    weight_decay : float
    optimizer : {"sgd", "adamw"}
        SGD with Nesterov momentum 0.9, or AdamW (arXiv:1711.05101) with its usual betas.
    course : {"cosine", "one-cycle", "steps", "constant"}
        See `distill.rates.learning_rate`.
    warmup_epochs : int
        In which the rate rises to where the course begins.
    label_smoothing : float
        0 to 1; share of a label's probability that all classes have in common.
    balanced : bool
        Weigh windows in the cross entropy by n / (classes x windows of the class), so that every class counts alike.
    ema : float
        0 to 1; what is kept are running means of the weights, to which the mean so far counts this much in every step.
        0 keeps the weights themselves.
    patience : int
        Stop after so many epochs without a better accuracy on the validation windows, and keep the best; 0 never stops.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    final_rate: float = 1e-4
    weight_decay: float = 1e-4
    optimizer: Optimizer = "sgd"
    course: Course = "cosine"
    warmup_epochs: int = 0
    label_smoothing: float = 0.0
    balanced: bool = False
    ema: float = 0.0
    patience: int = 0


def optimizer_of(parameters: Sequence[nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    """Return the optimizer of a schedule."""
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=schedule.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=schedule.weight_decay,
    )


def class_weights(labels: Tensor) -> Tensor:
    """Return n / (classes x windows of the class) for each class."""
    counts = torch.bincount(labels).float()
    return counts.sum() / (len(counts) * counts)
