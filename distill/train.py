"""The training loop: one function from a network, windows and perhaps teachers to trained weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from distill.augment import Augmenter, hash_ids
from distill.config import Optimizer
from distill.losses import combine
from distill.rates import Course, learning_rate
from distill.teaching import Teaching, gradient_norms
from distill.trace import Trace
from distill.views import View
from tsimage.errors import UserError

Built = TypeVar("Built")
LOGGED_EPOCHS = 10
"""Gradient norms of the parts of the loss are taken in the first and the last epoch, and once in so many."""


class DivergenceError(UserError):
    """A training whose loss or weights are no longer finite."""


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Windows on the device: values (window, channel, time), labels (window,), and the ids that order them."""

    values: Tensor
    labels: Tensor
    ids: np.ndarray


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


def initialised(build: Callable[[], Built], seed: int, role: str) -> Built:
    """Build what holds networks, whose first weights come from (seed, role); global random state is untouched."""
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
    validation: Samples | None = None,
    augmenter: Augmenter | None = None,
    precision: Literal["bf16", "fp32"] = "fp32",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> int:
    """Train `model` in place, from labels and, with `teaching`, from teachers.

    Parameters
    ----------
    model : Module
        Its `trace` of a batch of the view holds the logits; on the device of the samples.
    view : View
        What the model looks at; images are painted batch by batch.
    samples : Samples
        The training windows; nothing else is learnt from.
    schedule : Schedule
    seed : int
        Fixes the order of the batches, together with epoch and window ids.
    teaching : Teaching, optional
        Without it the loss is the cross entropy.
    validation : Samples, optional
        Windows that decide when to stop; needed where the schedule has patience.
    augmenter : Augmenter, optional
        Changes each batch; live teachers see what the student sees.
    precision : {"bf16", "fp32"}
        bf16 runs the forward pass under autocast; weights and loss stay float32.
    on_epoch : callable, optional
        Receives epoch (from 1), learning rate, the mean of each part of the loss, training accuracy, with `validation` the
        accuracy there, and in some epochs the effective weight and the gradient norm of each part.

    Returns
    -------
    int
        The epoch whose weights were kept: the last one, or the best with patience.

    Raises
    ------
    DivergenceError
        When the loss is no longer finite, with epoch, step and window ids, or a weight at the end.
    """
    device = samples.values.device
    if device.type != "mps" and view.dims == 2:
        model.to(memory_format=torch.channels_last)
    if teaching is not None:
        few = torch.arange(min(2, len(samples.ids)), device=device)
        ready = partial(teaching.ready, model, view, few, samples.values[few])
        teaching = initialised(ready, seed, "adapters")
    learnt = [*model.parameters(), *(() if teaching is None else teaching.modules.parameters())]
    optimizer = _optimizer(learnt, schedule)
    mean = (
        AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema), use_buffers=True)
        if schedule.ema
        else None
    )
    class_weights = _class_weights(samples.labels) if schedule.balanced else None
    classes = int(samples.labels.max()) + 1  # all classes are in the training part
    steps_per_epoch = math.ceil(len(samples.ids) / schedule.batch_size)
    steps, step = schedule.epochs * steps_per_epoch, 0
    hashes = hash_ids(samples.ids)
    best = _Best()
    for epoch in range(1, schedule.epochs + 1):
        model.train()
        sums: dict[str, Tensor] = {}
        row: dict[str, float] = {}
        for batch in batches(samples.ids, schedule.batch_size, seed, epoch):
            rate = learning_rate(
                step,
                steps,
                schedule.learning_rate,
                course=schedule.course,
                final=schedule.final_rate,
                warmup=schedule.warmup_epochs * steps_per_epoch,
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            index = torch.from_numpy(batch).to(device)
            values, labels, targets = samples.values[index], samples.labels[index], None
            if augmenter is None:
                inputs = view.of(values)
            else:
                values, inputs, labels, targets = _augmented(
                    augmenter, view, values, labels, hashes[batch], epoch, classes
                )
            with repeatable(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                student: Trace = model.trace(inputs)  # type: ignore[operator]
            if teaching is None:
                weights: dict[str, float] = {}
                parts = combine(
                    (),
                    student,
                    (),
                    labels,
                    labels.new_zeros(0),
                    label_smoothing=schedule.label_smoothing,
                    class_weights=class_weights,
                    targets=targets,
                )
            else:
                parts, weights = teaching.losses(
                    student,
                    index,
                    values,
                    labels,
                    epoch=epoch,
                    step=step,
                    steps=steps,
                    label_smoothing=schedule.label_smoothing,
                    class_weights=class_weights,
                    targets=targets,
                )
            if not math.isfinite(parts["loss"].item()):
                said = [("the samples", values), ("the images", inputs)]
                for name, speak in [] if teaching is None else zip(teaching.names, teaching.teachers, strict=True):
                    heard = speak(index, values)
                    said += [(f"the logits of teacher {name}", heard.logits)]
                    said += [(f"the feature maps of teacher {name}", m) for m in heard.maps]
                    if heard.embedding is not None:
                        said.append((f"the embedding of teacher {name}", heard.embedding))
                said.append(("the student's logits", student.logits))
                where = f"training of view '{view.name}' stopped at epoch {epoch}, step {step + 1}"
                raise DivergenceError(f"{where}: {_not_finite(said, parts, samples.ids[batch])}")
            if not row and teaching is not None and (epoch in (1, schedule.epochs) or epoch % LOGGED_EPOCHS == 0):
                with repeatable():
                    norms = gradient_norms(parts, weights, model)
                row = {f"weight {name}": weight for name, weight in weights.items()}
                row |= {f"gradient {name}": norm for name, norm in norms.items()}
            optimizer.zero_grad(set_to_none=True)
            with repeatable():
                parts["loss"].backward()
            optimizer.step()
            if mean is not None:
                mean.update_parameters(model)
            step += 1
            parts["accuracy"] = (student.logits.detach().argmax(1) == labels).float().mean()
            for name, part in parts.items():
                sums[name] = sums.get(name, 0.0) + part.detach().float() * len(batch)
        means = {name: float(total) / len(samples.ids) for name, total in sums.items()}
        row = {"epoch": epoch, "learning_rate": rate, **means, **row}
        now = model if mean is None else mean.module
        if validation is not None:
            right = predict(now, view, validation.values).argmax(1) == validation.labels.cpu()
            row["validation_accuracy"] = float(right.float().mean())
            best.see(row["validation_accuracy"], epoch, now)
        if on_epoch is not None:
            on_epoch(row)
        if schedule.patience and epoch - best.epoch >= schedule.patience:
            break
    if schedule.patience:
        model.load_state_dict(best.state)
    elif mean is not None:
        model.load_state_dict(mean.module.state_dict())
    broken = [name for name, tensor in model.state_dict().items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise DivergenceError(
            f"training of view '{view.name}' ended with weights that are not finite ({', '.join(broken[:3])}): "
            "lower the learning rate"
        )
    return best.epoch if schedule.patience else epoch


def _augmented(
    augmenter: Augmenter, view: View, values: Tensor, labels: Tensor, ids_hash: np.ndarray, epoch: int, classes: int
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return changed signals, what the network sees of them, the label that has the most share, and mixed targets."""
    made = augmenter.signals(values, ids_hash, epoch)
    values, inputs = made.values, view.of(made.values)
    mixes = augmenter.recipe.mixes
    if view.dims == 2:
        painted = augmenter.images(inputs, ids_hash, epoch)
        inputs = painted.values
        made = painted if mixes == "image" else made
    if mixes is None or (mixes == "image" and view.dims == 1):
        return values, inputs, labels, None
    return (
        values,
        inputs,
        torch.where(made.share >= 0.5, labels, labels[made.partner]),
        made.soft_labels(labels, classes),
    )


class _Best:
    """The weights of the epoch with the best accuracy on validation windows; of equals the first."""

    def __init__(self) -> None:
        self.accuracy, self.epoch = -1.0, 0
        self.state: dict[str, Tensor] = {}

    def see(self, accuracy: float, epoch: int, model: nn.Module) -> None:
        if accuracy > self.accuracy:
            self.accuracy, self.epoch = accuracy, epoch
            self.state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _optimizer(parameters: list[nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=schedule.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=schedule.weight_decay,
    )


def _class_weights(labels: Tensor) -> Tensor:
    counts = torch.bincount(labels).float()
    return counts.sum() / (len(counts) * counts)


def _not_finite(said: list[tuple[str, Tensor]], parts: dict[str, Tensor], ids: np.ndarray) -> str:
    """Say which tensor of a step is not finite, in which windows."""
    for what, tensor in said:
        bad = ~torch.isfinite(tensor.detach().flatten(1)).all(dim=1).cpu().numpy()
        if bad.any():
            named = ", ".join(ids[bad][:3]) + (", ..." if bad.sum() > 3 else "")
            mend = (
                "lower the learning rate" if "student" in what else "look at these windows and what was trained on them"
            )
            return f"{what} are not finite in windows {named}: {mend}"
    broken = ", ".join(name for name, part in parts.items() if name != "loss" and not math.isfinite(part.item()))
    return f"{broken or 'the loss'} is not finite on windows {', '.join(ids[:3])}, ...: lower the learning rate or the weight of that part"


@torch.inference_mode()
def predict(model: nn.Module, view: View, values: Tensor, batch_size: int = 256) -> Tensor:
    """Return the logits of raw windows (window, channel, time), in full float32, shape (window, class), on the CPU."""
    model.eval()
    with repeatable():
        parts = [model(view.of(values[i : i + batch_size])).float().cpu() for i in range(0, len(values), batch_size)]
    return torch.cat(parts)
