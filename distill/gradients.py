"""How strongly each part of the loss pulls at the weights of a student in one step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class PartGradients:
    """The gradient of each weighed part of the loss of one step, added up over the micro-batches of its batch.

    Parameters
    ----------
    model : Module
        The student, with regard to whose weights they are.

    Examples
    --------
    >>> line = nn.Linear(1, 1, bias=False)
    >>> gradients = PartGradients(line)
    >>> for x, share in ((4.0, 0.75), (8.0, 0.25)):
    ...     gradients.add({"kd": line(torch.tensor([x])).sum()}, {"kd": 0.5}, share)
    >>> gradients.logged()
    {'weight kd': 0.5, 'gradient kd': 2.5}
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._gradients: dict[str, list[Tensor]] = {}
        self._weights: dict[str, float] = {}

    def add(self, parts: Mapping[str, Tensor], weights: Mapping[str, float | Tensor], share: float = 1.0) -> None:
        """Add a micro-batch that is this share of the batch.

        Its graph is kept, and no gradient is stored in the model: training goes on as if nobody had asked.
        """
        for name, weight in weights.items():
            self._weights[name] = self._weights.get(name, 0.0) + share * float(weight)
            if name not in parts:
                continue
            part = share * weight * parts[name]
            made = torch.autograd.grad(
                part, self._parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            before = self._gradients.get(name)
            self._gradients[name] = list(made) if before is None else [a + b for a, b in zip(before, made, strict=True)]

    def norms(self) -> dict[str, float]:
        """Return the norm of the gradient of each part, by its name."""
        return {
            name: float(torch.stack([g.float().square().sum() for g in gradients]).sum().sqrt())
            for name, gradients in self._gradients.items()
        }

    def logged(self) -> dict[str, float]:
        """Return what the log holds of the step: the weight of each part and teacher in the whole batch, and the norms."""
        return {f"weight {name}": weight for name, weight in self._weights.items()} | {
            f"gradient {name}": norm for name, norm in self.norms().items()
        }
