"""Several teachers, one loss: the parts of each and their weighed total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from tsimage.errors import UserError


def check_weights(weights: Sequence[float], teachers: int) -> None:
    """Refuse weights that are negative, not one per teacher, or do not sum to 1.

    >>> check_weights([0.3, 0.7], 2)
    """
    if len(weights) != teachers or min(weights, default=0) < 0 or not abs(sum(weights) - 1) <= 1e-6:
        named = (
            f"the weights {', '.join(f'{w:g}' for w in weights)} do not fit" if weights else "there are no weights for"
        )
        raise UserError(f"{named} {teachers} teachers: give one of at least 0 for each, summing to 1")


def total_of(name: str, divergences: Sequence[Tensor], weights: Tensor) -> dict[str, Tensor]:
    """Return the weighed total of a loss under its name and the unweighed part of teacher k as `name_k`.

    Parameters
    ----------
    name : str
    divergences : sequence of Tensor, each (window,), (window, ...) or ()
        One per teacher. Axes after the first are summed, then windows are averaged. A scalar belongs to no single
        window, as it compares windows with each other.
    weights : Tensor, shape (teacher,) or (teacher, window)
        Each column >= 0 and of sum 1. A scalar divergence is weighed with the mean over windows.

    Returns
    -------
    dict of str to scalar Tensor

    Raises
    ------
    UserError
        For weights that are not one per teacher, or one per teacher and window.

    Examples
    --------
    >>> import torch
    >>> image, signal = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 8.0])
    >>> {name: part.item() for name, part in total_of("kd", [image, signal], torch.tensor([0.25, 0.75])).items()}
    {'kd': 3.5, 'kd_0': 2.0, 'kd_1': 4.0}
    >>> total_of("kd", [image, signal], torch.tensor([[1.0, 0.5], [0.0, 0.5]]))["kd"].item()
    3.25
    """
    if not divergences or weights.ndim not in (1, 2) or len(weights) != len(divergences):
        raise UserError(
            f"weights of shape {tuple(weights.shape)} do not fit {len(divergences)} teachers: "
            "give (teacher,) or (teacher, window)"
        )
    weights = weights.to(divergences[0])
    total = divergences[0].new_zeros(())
    parts = {}
    for k, (weight, divergence) in enumerate(zip(weights, divergences, strict=True)):
        windows = max(1, divergence.shape[0]) if divergence.ndim else 1
        part = divergence.sum() / windows
        if divergence.ndim and weight.ndim:
            if len(weight) != windows:
                raise UserError(f"weights of {len(weight)} windows do not fit a batch of {windows}: give one for each")
            total = total + (weight * divergence.reshape(windows, -1).sum(1)).sum() / windows
        else:
            total = total + weight.mean() * part
        parts[f"{name}_{k}"] = part
    return {name: total, **parts}


def total_of_sums(name: str, terms: Mapping[str, tuple[float, Sequence[Tensor]]], weights: Tensor) -> dict[str, Tensor]:
    """Return the same for a loss that is a sum: its total, each teacher's sum, and each teacher's part of every term.

    Parameters
    ----------
    name : str
    terms : mapping of str to (factor, divergences)
        Each with one divergence per teacher, as of `total_of`.
    weights : Tensor, shape (teacher,) or (teacher, window)

    Returns
    -------
    dict of str to scalar Tensor
        The parts of a term, `term_k`, are without its factor.

    Examples
    --------
    >>> import torch
    >>> terms = {"tckd": (1.0, [torch.tensor([1.0])]), "nckd": (8.0, [torch.tensor([0.5])])}
    >>> {name: part.item() for name, part in total_of_sums("dkd", terms, torch.ones(1)).items()}
    {'dkd': 5.0, 'dkd_0': 5.0, 'tckd_0': 1.0, 'nckd_0': 0.5}
    """
    summed: dict[str, Tensor] = {}
    parts: dict[str, Tensor] = {}
    for term, (factor, divergences) in terms.items():
        for part_name, part in total_of(term, divergences, weights).items():
            whole = name + part_name.removeprefix(term)
            summed[whole] = factor * part + summed[whole] if whole in summed else factor * part
            if part_name != term:
                parts[part_name] = part
    return summed | parts
