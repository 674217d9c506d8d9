"""The training loop: one function from a network, windows and perhaps teachers to trained weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from distill.losses import knowledge_distillation
from distill.views import View
from tsimage.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast: SGD with Nesterov momentum 0.9 and a rate that falls along a half cosine.

    Parameters
    ----------
    epochs : int
    batch_size : int
        Largest batch; an epoch is divided into batches of nearly equal size.
    learning_rate, final_rate : float
        Of the first and the last step.
    weight_decay : float
    """

    epochs: int
    batch_size: int
    learning_rate: float
    final_rate: float = 1e-4
    weight_decay: float = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Windows on the device: values (window, channel, time), labels (window,), and the ids that order them."""

    values: Tensor
    labels: Tensor
    ids: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Teaching:
    """What teachers contribute: cached logits of each for the very samples of training, and the weights.

    Parameters
    ----------
    logits : sequence of Tensor, each (window, class)
        In the order of the samples.
    weights : sequence of float
        One per teacher, summing to 1.
    lambda_, temperature : float
        See `distill.losses.knowledge_distillation`.
    """

    logits: Sequence[Tensor]
    weights: Sequence[float]
    lambda_: float
    temperature: float


def random_seed(*parts: object) -> int:
    """Derive a 63-bit seed from what it is for, so that no two uses share a stream.

    Examples
    --------
    >>> random_seed(0, "init", "student") == random_seed(0, "init", "student") != random_seed(1, "init", "student")
    True
    """
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def batches(ids: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Yield the positions of each batch of an epoch, drawn from (seed, epoch, window id).

    The order depends on the ids and not on where the windows stand. Batches differ in size by at most one.
    """
    by_id = np.argsort(ids, kind="stable")
    order = np.random.default_rng(random_seed(seed, "order", epoch)).permutation(len(ids))
    yield from np.array_split(by_id[order], math.ceil(len(ids) / batch_size))


def repeatable() -> AbstractContextManager[None]:
    """Make cuDNN choose deterministic algorithms and full float32, so that a seed repeats; nothing on other devices."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def initialised(build: Callable[[], nn.Module], seed: int, role: str) -> nn.Module:
    """Build a network whose first weights come from (seed, role); global random state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random_seed(seed, "init", role))  # networks are built on the CPU
        return build()


def train(
    model: nn.Module,
    view: View,
    samples: Samples,
    schedule: Schedule,
    *,
    seed: int,
    teaching: Teaching | None = None,
    precision: Literal["bf16", "fp32"] = "fp32",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> None:
    """Train `model` in place, from labels and, with `teaching`, from teachers.

    Parameters
    ----------
    model : Module
        Maps a batch of the view to logits; on the device of the samples.
    view : View
        What the model looks at; images are painted batch by batch.
    samples : Samples
        The training windows; nothing else is seen.
    schedule : Schedule
    seed : int
        Fixes the order of the batches, together with epoch and window ids.
    teaching : Teaching, optional
        Without it the loss is the cross entropy.
    precision : {"bf16", "fp32"}
        bf16 runs the forward pass under autocast; weights and loss stay float32.
    on_epoch : callable, optional
        Receives epoch (from 1), learning rate, the mean of each part of the loss, and training accuracy.

    Raises
    ------
    UserError
        When the loss is no longer finite, with epoch, step and window ids, or a weight at the end.
    """
    device = samples.values.device
    if device.type != "mps" and view.dims == 2:
        model.to(memory_format=torch.channels_last)
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=schedule.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=schedule.weight_decay,
    )
    steps_per_epoch = math.ceil(len(samples.ids) / schedule.batch_size)
    steps, step = schedule.epochs * steps_per_epoch, 0
    fall = schedule.learning_rate - schedule.final_rate
    for epoch in range(1, schedule.epochs + 1):
        sums: dict[str, float] = {}
        for batch in batches(samples.ids, schedule.batch_size, seed, epoch):
            rate = schedule.final_rate + fall * (1 + math.cos(math.pi * step / max(1, steps - 1))) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
            index = torch.from_numpy(batch).to(device)
            labels = samples.labels[index]
            inputs = view.of(samples.values[index])
            with repeatable(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                logits = model(inputs)
            logits = logits.float()
            if teaching is None:
                parts = knowledge_distillation(logits, labels)
            else:
                parts = knowledge_distillation(
                    logits,
                    labels,
                    [teacher[index] for teacher in teaching.logits],
                    teaching.weights,
                    lambda_=teaching.lambda_,
                    temperature=teaching.temperature,
                )
            if not math.isfinite(parts["loss"].item()):
                bad = {name: part.item() for name, part in parts.items()}
                raise UserError(
                    f"training of view '{view.name}' stopped at epoch {epoch}, step {step + 1}: the loss is {bad} on windows "
                    f"{', '.join(samples.ids[batch][:3])}, ...: lower the learning rate or look at these windows"
                )
            optimizer.zero_grad(set_to_none=True)
            with repeatable():
                parts["loss"].backward()
            optimizer.step()
            step += 1
            parts["accuracy"] = (logits.detach().argmax(1) == labels).float().mean()
            for name, part in parts.items():
                sums[name] = sums.get(name, 0.0) + part.item() * len(batch)
        if on_epoch is not None:
            means = {name: total / len(samples.ids) for name, total in sums.items()}
            on_epoch({"epoch": epoch, "learning_rate": rate, **means})
    broken = [name for name, tensor in model.state_dict().items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise UserError(
            f"training of view '{view.name}' ended with weights that are not finite ({', '.join(broken[:3])}): "
            "lower the learning rate"
        )


@torch.inference_mode()
def predict(model: nn.Module, view: View, values: Tensor, batch_size: int = 256) -> Tensor:
    """Return the logits of raw windows (window, channel, time), in full float32, shape (window, class), on the CPU."""
    model.eval()
    with repeatable():
        parts = [model(view.of(values[i : i + batch_size])).float().cpu() for i in range(0, len(values), batch_size)]
    return torch.cat(parts)
