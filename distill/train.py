"""The training loop: from a network, windows and perhaps teachers to trained weights, and on from a checkpoint."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from distill import interrupts
from distill.augment import Augmenter, hash_ids
from distill.batching import Samples, batches, random_seed
from distill.checkpoint import Checkpoints
from distill.divergence import DivergenceError, not_finite
from distill.losses import combine
from distill.prediction import predict, repeatable
from distill.rates import learning_rate
from distill.schedule import Schedule, class_weights, optimizer_of
from distill.teaching import Teaching, gradient_norms
from distill.trace import Trace
from distill.views import View

Built = TypeVar("Built")
LOGGED_EPOCHS = 10
"""Gradient norms of the parts of the loss are taken in the first and the last epoch, and once in so many."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How a training ended."""

    epoch: int
    """The epoch whose weights were kept: the last one, or the best with patience."""
    optimizer_sha256: str
    """Of the state of the optimizer at the end, to compare trainings by."""
    micro_batches: int
    """Parts in which batches went through the networks."""


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
    micro_batches: int = 1,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Trained:
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
    micro_batches : int
        Parts in which every batch goes through the networks, for less memory; their gradients add up to that of the batch.
        Batch normalisation, class weights and losses that compare windows see a part at a time, so that more than one
        trains differently.
    checkpoints : Checkpoints, optional
        Where the state is kept while training; one that is there is gone on from, and the end is the same to the bit. It is
        the caller's to remove it.
    on_epoch : callable, optional
        Receives, for every epoch, those before a checkpoint too, epoch (from 1), learning rate, the mean of each part of the loss, training accuracy, with `validation` the
        accuracy there, and in some epochs the effective weight and the gradient norm of each part.

    Returns
    -------
    Trained

    Raises
    ------
    DivergenceError
        When the loss is no longer finite, with epoch, step and window ids, or a weight at the end.
    UserError
        If a checkpoint is damaged or of another training.
    Interrupted
        After a checkpoint, where `distill.interrupts` holds a signal.
    """
    device = samples.values.device
    if device.type != "mps" and view.dims == 2:
        model.to(memory_format=torch.channels_last)
    if teaching is not None:
        few = torch.arange(min(2, len(samples.ids)), device=device)
        ready = partial(teaching.ready, model, view, few, samples.values[few])
        teaching = initialised(ready, seed, "adapters")
    training = _Training(model, view, samples, schedule, seed, teaching, augmenter, precision, micro_batches)
    return training.run(validation, checkpoints, on_epoch or (lambda row: None))


class _Training:
    """A training under way: its networks and optimizer, and how far it has come."""

    def __init__(
        self,
        model: nn.Module,
        view: View,
        samples: Samples,
        schedule: Schedule,
        seed: int,
        teaching: Teaching | None,
        augmenter: Augmenter | None,
        precision: Literal["bf16", "fp32"],
        micro_batches: int,
    ) -> None:
        self.model, self.view, self.samples, self.schedule, self.seed = model, view, samples, schedule, seed
        self.teaching, self.augmenter, self.precision, self.micro_batches = (
            teaching,
            augmenter,
            precision,
            micro_batches,
        )
        self.adapters = nn.ModuleDict() if teaching is None else teaching.modules
        self.optimizer = optimizer_of([*model.parameters(), *self.adapters.parameters()], schedule)
        self.mean = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema), use_buffers=True)
            if schedule.ema
            else None
        )
        self.class_weights = class_weights(samples.labels) if schedule.balanced else None
        self.classes = int(samples.labels.max()) + 1  # all classes are in the training part
        self.steps_per_epoch = math.ceil(len(samples.ids) / schedule.batch_size)
        self.hashes = hash_ids(samples.ids)
        self.best = _Best()
        self.epoch, self.batch, self.step = 1, 0, 0
        self.sums: dict[str, Tensor] = {}
        self.norms: dict[str, float] = {}
        self.history: list[dict[str, float]] = []

    def run(
        self,
        validation: Samples | None,
        checkpoints: Checkpoints | None,
        on_epoch: Callable[[dict[str, float]], None],
    ) -> Trained:
        """Train from here to the end."""
        kept = None if checkpoints is None else checkpoints.read()
        if kept is not None:
            self.restore(*kept)
        for row in self.history:
            on_epoch(row)
        schedule = self.schedule
        with interrupts.held():
            while self.epoch <= schedule.epochs and not self._is_stopped():
                self._train_epoch(checkpoints)
                row = self._end_epoch(validation)
                on_epoch(row)
                self._keep(checkpoints, ended=int(row["epoch"]))
        if schedule.patience:
            self.model.load_state_dict(self.best.state)
        elif self.mean is not None:
            self.model.load_state_dict(self.mean.module.state_dict())
        broken = [name for name, tensor in self.model.state_dict().items() if not bool(torch.isfinite(tensor).all())]
        if broken:
            raise DivergenceError(
                f"training of view '{self.view.name}' ended with weights that are not finite ({', '.join(broken[:3])}): "
                "lower the learning rate"
            )
        return Trained(
            epoch=self.best.epoch if schedule.patience else self.epoch - 1,
            optimizer_sha256=_sha256(self._optimizer_state()),
            micro_batches=self.micro_batches,
        )

    def _is_stopped(self) -> bool:
        return bool(self.schedule.patience) and self.epoch - 1 - self.best.epoch >= self.schedule.patience

    def _train_epoch(self, checkpoints: Checkpoints | None) -> None:
        """Do what is left of an epoch."""
        self.model.train()
        for number, batch in enumerate(batches(self.samples.ids, self.schedule.batch_size, self.seed, self.epoch)):
            if number < self.batch:
                continue
            try:
                self._train_step(batch)
            except DivergenceError as error:
                if checkpoints is None:
                    raise
                self._write_replay(checkpoints, batch, error)
                raise DivergenceError(f"{error}; the step can be done again from '{checkpoints.replay_path}'") from None
            self.batch, self.step = number + 1, self.step + 1
            if number + 1 < self.steps_per_epoch:
                self._keep(checkpoints)

    def _train_step(self, batch: np.ndarray) -> None:
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        index = torch.from_numpy(batch).to(self.samples.values.device)
        values, labels, targets = self.samples.values[index], self.samples.labels[index], None
        if self.augmenter is None:
            inputs = self.view.of(values)
        else:
            values, inputs, labels, targets = _augmented(
                self.augmenter, self.view, values, labels, self.hashes[batch], self.epoch, self.classes
            )
        self.optimizer.zero_grad(set_to_none=True)
        if self.micro_batches == 1:
            self._learn(batch, index, values, inputs, labels, targets, share=1.0)
        else:
            cuts = np.linspace(0, len(batch), self.micro_batches + 1).round().astype(int)
            for start, stop in itertools.pairwise(cuts):
                part = slice(start, stop)
                soft = None if targets is None else targets[part]
                of_part = (batch[part], index[part], values[part], inputs[part], labels[part], soft)
                self._learn(*of_part, share=(stop - start) / len(batch))
        self.optimizer.step()
        if self.mean is not None:
            self.mean.update_parameters(self.model)

    def _learn(
        self,
        batch: np.ndarray,
        index: Tensor,
        values: Tensor,
        inputs: Tensor,
        labels: Tensor,
        targets: Tensor | None,
        *,
        share: float,
    ) -> None:
        """Add the gradient of a batch, or of a part of one, and its losses to what the epoch has of them."""
        with repeatable(), torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            student: Trace = self.model.trace(inputs)  # type: ignore[operator]
        habits = {
            "label_smoothing": self.schedule.label_smoothing,
            "class_weights": self.class_weights,
            "targets": targets,
        }
        weights: dict[str, float | Tensor] = {}
        if self.teaching is None:
            parts = combine((), student, (), labels, labels.new_zeros(0), **habits)  # type: ignore[arg-type]
        else:
            steps = self.schedule.epochs * self.steps_per_epoch
            with repeatable():
                parts, weights = self.teaching.losses(
                    student,
                    index,
                    values,
                    labels,
                    epoch=self.epoch,
                    step=self.step,
                    steps=steps,
                    **habits,  # type: ignore[arg-type]
                )
        if not math.isfinite(parts["loss"].item()):
            raise self._diverged(batch, index, values, inputs, student, parts)
        if not self.norms and self.teaching is not None and self._is_logged():
            with repeatable():
                norms = gradient_norms(parts, weights, self.model)
            self.norms = {f"weight {name}": float(weight) for name, weight in weights.items()}
            self.norms |= {f"gradient {name}": norm for name, norm in norms.items()}
        with repeatable():
            (parts["loss"] if share == 1 else share * parts["loss"]).backward()
        parts["accuracy"] = (student.logits.detach().argmax(1) == labels).float().mean()
        for name, part in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + part.detach().float() * len(batch)

    def _is_logged(self) -> bool:
        return self.epoch in (1, self.schedule.epochs) or self.epoch % LOGGED_EPOCHS == 0

    def _rate(self) -> float:
        schedule = self.schedule
        return learning_rate(
            self.step,
            schedule.epochs * self.steps_per_epoch,
            schedule.learning_rate,
            course=schedule.course,
            final=schedule.final_rate,
            warmup=schedule.warmup_epochs * self.steps_per_epoch,
        )

    def _end_epoch(self, validation: Samples | None) -> dict[str, float]:
        """Return the row of an epoch that ended, and stand before the next."""
        means = {name: float(total) / len(self.samples.ids) for name, total in self.sums.items()}
        rate = self.optimizer.param_groups[0]["lr"]
        row: dict[str, float] = {"epoch": self.epoch, "learning_rate": rate, **means, **self.norms}
        now = self.model if self.mean is None else self.mean.module
        if validation is not None:
            right = predict(now, self.view, validation.values).argmax(1) == validation.labels.cpu()
            row["validation_accuracy"] = float(right.float().mean())
            self.best.see(row["validation_accuracy"], self.epoch, now)
        self.history.append(row)
        self.epoch, self.batch, self.sums, self.norms = self.epoch + 1, 0, {}, {}
        return row

    def _keep(self, checkpoints: Checkpoints | None, ended: int | None = None) -> None:
        """Write a checkpoint where one is due, or where the process was asked to stop, and then leave."""
        if checkpoints is not None and (interrupts.asked() or checkpoints.is_due(ended)):
            checkpoints.write(*self.state())
        interrupts.leave()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and numbers that say how far the training has come."""
        holders = {
            "model": self.model.state_dict(),
            "adapters": self.adapters.state_dict(),
            "mean": {} if self.mean is None else self.mean.state_dict(),
            "optimizer": self._optimizer_state(),
            "best": self.best.state,
            "sums": self.sums,
        }
        tensors = {f"{holder}/{name}": tensor for holder, held in holders.items() for name, tensor in held.items()}
        about = {
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "micro_batches": self.micro_batches,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "norms": self.norms,
            "parts": list(self.sums),
            "best": [self.best.accuracy, self.best.epoch],
            "history": self.history,
        }
        return tensors, about

    def restore(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Stand where `state` was taken."""
        device = self.samples.values.device

        def held(holder: str) -> dict[str, Tensor]:
            return {
                name.partition("/")[2]: t.to(device) for name, t in tensors.items() if name.startswith(f"{holder}/")
            }

        self.model.load_state_dict(held("model"))
        self.adapters.load_state_dict(held("adapters"))
        if self.mean is not None:
            self.mean.load_state_dict(held("mean"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in held("optimizer").items():
            number, _, what = name.partition(".")
            state.setdefault(int(number), {})[what] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        for group in self.optimizer.param_groups:
            group["lr"] = about["learning_rate"]
        self.best.accuracy, self.best.epoch = about["best"]
        self.best.state, sums = held("best"), held("sums")
        self.sums = {name: sums[name] for name in about["parts"]}  # in their order, which a file does not keep
        self.epoch, self.batch, self.step = about["epoch"], about["batch"], about["step"]
        self.micro_batches = max(self.micro_batches, about["micro_batches"])
        self.norms, self.history = about["norms"], about["history"]

    def _optimizer_state(self) -> dict[str, Tensor]:
        return {
            f"{number}.{name}": tensor
            for number, of_parameter in self.optimizer.state_dict()["state"].items()
            for name, tensor in of_parameter.items()
            if tensor is not None
        }

    def _diverged(
        self, batch: np.ndarray, index: Tensor, values: Tensor, inputs: Tensor, student: Trace, parts: dict[str, Tensor]
    ) -> DivergenceError:
        """Say which tensor of a step is not finite."""
        said = [("the samples", values), ("the images", inputs)]
        teachers = [] if self.teaching is None else zip(self.teaching.names, self.teaching.teachers, strict=True)
        for name, speak in teachers:
            heard = speak(index, values)
            said += [(f"the logits of teacher {name}", heard.logits)]
            said += [(f"the feature maps of teacher {name}", m) for m in heard.maps]
            if heard.embedding is not None:
                said.append((f"the embedding of teacher {name}", heard.embedding))
        said.append(("the student's logits", student.logits))
        where = f"training of view '{self.view.name}' stopped at epoch {self.epoch}, step {self.step + 1}"
        return DivergenceError(f"{where}: {not_finite(said, parts, self.samples.ids[batch])}")

    def _write_replay(self, checkpoints: Checkpoints, batch: np.ndarray, error: DivergenceError) -> None:
        """Write the state before a failed step, and what it saw.

        Its forward passes have changed running statistics, which do not count while training, and, where a batch goes in
        parts, the losses told of the epoch.
        """
        tensors, about = self.state()
        seen = {"batch/values": self.samples.values[torch.from_numpy(batch).to(self.samples.values.device)]}
        ids = self.samples.ids[batch].tolist()
        checkpoints.write_replay({**tensors, **seen}, {**about, "windows": ids, "error": str(error)})


def _sha256(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


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
