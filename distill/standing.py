"""How far a training has come, as tensors and numbers that a checkpoint keeps."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from distill.learner import Learner


def state_of(learner: Learner) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and numbers that say how far the training has come."""
    holders = {
        "model": learner.model.state_dict(),
        "adapters": learner.adapters.state_dict(),
        "mean": {} if learner.mean is None else learner.mean.state_dict(),
        "optimizer": _optimizer_state(learner),
        "best": learner.best.state,
        "sums": learner.sums,
    }
    tensors = {f"{holder}/{name}": tensor for holder, held in holders.items() for name, tensor in held.items()}
    about = {
        "epoch": learner.epoch,
        "batch": learner.batch,
        "step": learner.step,
        "micro_batches": learner.micro_batches,
        "together": learner.together,
        "learning_rate": learner.optimizer.param_groups[0]["lr"],
        "norms": learner.norms,
        "parts": list(learner.sums),
        "best": [learner.best.accuracy, learner.best.epoch],
        "history": learner.history,
    }
    return tensors, about


def restore(learner: Learner, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Stand where `state_of` was taken."""
    device = learner.samples.values.device

    def held(holder: str) -> dict[str, Tensor]:
        return {name.partition("/")[2]: t.to(device) for name, t in tensors.items() if name.startswith(f"{holder}/")}

    learner.model.load_state_dict(held("model"))
    learner.adapters.load_state_dict(held("adapters"))
    if learner.mean is not None:
        learner.mean.load_state_dict(held("mean"))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in held("optimizer").items():
        number, _, what = name.partition(".")
        state.setdefault(int(number), {})[what] = tensor
    learner.optimizer.load_state_dict({"state": state, "param_groups": learner.optimizer.state_dict()["param_groups"]})
    for group in learner.optimizer.param_groups:
        group["lr"] = about["learning_rate"]
    learner.best.accuracy, learner.best.epoch = about["best"]
    learner.best.state, sums = held("best"), held("sums")
    learner.sums = {name: sums[name] for name in about["parts"]}  # in their order, which a file does not keep
    learner.epoch, learner.batch, learner.step = about["epoch"], about["batch"], about["step"]
    learner.micro_batches = max(learner.micro_batches, about["micro_batches"])
    learner.together = max(learner.together, about["together"])
    learner.norms, learner.history = about["norms"], about["history"]


def _optimizer_state(learner: Learner) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": tensor
        for number, of_parameter in learner.optimizer.state_dict()["state"].items()
        for name, tensor in of_parameter.items()
        if tensor is not None
    }


def optimizer_sha256(learner: Learner) -> str:
    """Return the sha256 of the state of the optimizer, to compare trainings by."""
    digest, tensors = hashlib.sha256(), _optimizer_state(learner)
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
