"""A training under way: its networks and optimizer, what they are given, and how far it has come."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from distill.augment import Augmenter, hash_ids
from distill.batching import Samples, batches
from distill.checkpoint import Checkpoints
from distill.divergence import DivergenceError, few, not_finite
from distill.feeding import Batch, augmented
from distill.models.standardize import name_in_network
from distill.prediction import predict
from distill.rates import learning_rate
from distill.schedule import Schedule, class_weights, optimizer_of
from distill.seeds import initialised
from distill.standing import optimizer_sha256, restore, state_of
from distill.teaching import Teaching
from distill.trace import Trace
from distill.views import View

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
    together: int
    """Trainings that went through the steps at once, this one included; the most there were."""


class Learner:
    """A network that is being trained: what it learns from, its optimizer, and how far it has come.

    It stands at the beginning, or where its checkpoint was written.

    How steps are done is no matter of it: `distill.train.train` does those of one learner, and
    `distill.together.train_together` those of several at once.

    Parameters
    ----------
    model : Module
    view : View
    samples : Samples
        The training windows.
    schedule : Schedule
    seed : int
    teaching : Teaching, optional
        Made `ready` for the shapes of the model; the first weights of its adapters come from the seed.
    augmenter : Augmenter, optional
    checkpoints : Checkpoints, optional
    micro_batches, together : int
        See `Trained`; what a checkpoint says of them counts if it is more.

    Raises
    ------
    UserError
        If a loss compares what a network does not show, or the checkpoint is damaged or of another training.
    """

    def __init__(
        self,
        model: nn.Module,
        view: View,
        samples: Samples,
        schedule: Schedule,
        *,
        seed: int,
        teaching: Teaching | None = None,
        augmenter: Augmenter | None = None,
        checkpoints: Checkpoints | None = None,
        micro_batches: int = 1,
        together: int = 1,
    ) -> None:
        if samples.values.device.type != "mps" and view.dims == 2:
            model.to(memory_format=torch.channels_last)
        if teaching is not None:
            teaching = initialised(partial(teaching.ready, model, view, samples), seed, "adapters")
        self.model, self.view, self.samples, self.schedule, self.seed = model, view, samples, schedule, seed
        self.teaching, self.augmenter, self.checkpoints = teaching, augmenter, checkpoints
        self.micro_batches, self.together = micro_batches, together
        self.adapters = nn.ModuleDict() if teaching is None else teaching.modules
        self.optimizer = optimizer_of([*model.parameters(), *self.adapters.parameters()], schedule)
        self.mean = averaged(model, schedule.ema) if schedule.ema else None
        self.class_weights = class_weights(samples.labels).to(samples.values.dtype) if schedule.balanced else None
        self.classes = int(samples.labels.max()) + 1  # all classes are in the training part
        self.steps_per_epoch = math.ceil(len(samples.ids) / schedule.batch_size)
        self.hashes = hash_ids(samples.ids)
        self.best = _Best()
        self.epoch, self.batch, self.step = 1, 0, 0
        self.sums: dict[str, Tensor] = {}
        """Of each part of the loss over the windows of the epoch so far."""
        self.norms: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        kept = None if checkpoints is None else checkpoints.read()
        if kept is not None:
            restore(self, *kept)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.schedule.epochs * self.steps_per_epoch

    @property
    def has_ended(self) -> bool:
        """Whether no epoch is left, or no better one came for as long as the schedule is patient."""
        patience = self.schedule.patience
        is_stopped = bool(patience) and self.epoch - 1 - self.best.epoch >= patience
        return self.epoch > self.schedule.epochs or is_stopped

    @property
    def wants_norms(self) -> bool:
        """Whether the norms of the gradients of this step are to be logged."""
        is_logged = self.epoch in (1, self.schedule.epochs) or self.epoch % LOGGED_EPOCHS == 0
        return is_logged and not self.norms and self.teaching is not None

    @property
    def rate(self) -> float:
        """The learning rate of this step."""
        return learning_rate(
            self.step,
            self.steps,
            self.schedule.learning_rate,
            course=self.schedule.course,
            final=self.schedule.final_rate,
            warmup=self.schedule.warmup_epochs * self.steps_per_epoch,
        )

    def habits(self, targets: Tensor | None) -> dict[str, Any]:
        """Return what changes the cross entropy, as `distill.losses.combine` takes it."""
        return {
            "label_smoothing": self.schedule.label_smoothing,
            "class_weights": self.class_weights,
            "targets": targets,
        }

    def left(self) -> Iterator[np.ndarray]:
        """Yield the positions of each batch that is left of this epoch."""
        for number, batch in enumerate(batches(self.samples.ids, self.schedule.batch_size, self.seed, self.epoch)):
            if number >= self.batch:
                yield batch

    def feed(self, positions: np.ndarray) -> Batch:
        """Return what the network is given of some windows in this epoch."""
        index = torch.from_numpy(positions).to(self.samples.values.device)
        values, labels, targets = self.samples.values[index], self.samples.labels[index], None
        if self.augmenter is None:
            inputs = self.view.of(values)
        else:
            values, inputs, labels, targets = augmented(
                self.augmenter, self.view, values, labels, self.hashes[positions], self.epoch, self.classes
            )
        return Batch(positions=positions, index=index, values=values, inputs=inputs, labels=labels, targets=targets)

    def begin_step(self) -> None:
        """Set the learning rate of the step."""
        rate = self.rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def end_step(self) -> None:
        """Stand before the next step."""
        self.batch, self.step = self.batch + 1, self.step + 1

    def end_epoch(self, validation: Samples | None) -> dict[str, float]:
        """Return the row of an epoch that ended, and stand before the next."""
        means = {name: float(total) / len(self.samples.ids) for name, total in self.sums.items()}
        rate = self.optimizer.param_groups[0]["lr"]
        row: dict[str, float] = {"epoch": self.epoch, "learning_rate": rate, **means, **self.norms}
        now = self.model if self.mean is None else self.mean.module
        if validation is not None:
            logits = predict(now, self.view, validation.values)
            broken = ~torch.isfinite(logits).all(dim=1)
            if bool(broken.any()):
                raise DivergenceError(
                    f"training of view '{self.view.name}' stopped after epoch {self.epoch}: the logits of validation windows "
                    f"{few(validation.ids[broken.numpy()])} are not finite: lower the learning rate, or look at these windows"
                )
            right = logits.argmax(1) == validation.labels.cpu()
            row["validation_accuracy"] = float(right.float().mean())
            self.best.see(row["validation_accuracy"], self.epoch, now)
        self.history.append(row)
        self.epoch, self.batch, self.sums, self.norms = self.epoch + 1, 0, {}, {}
        return row

    def finish(self) -> Trained:
        """Leave in the model the weights that count, and say how the training ended.

        Raises
        ------
        DivergenceError
            If one of them is not finite.
        """
        if self.schedule.patience:
            self.model.load_state_dict(self.best.state)
        elif self.mean is not None:
            self.model.load_state_dict(self.mean.module.state_dict())
        broken = [name for name, tensor in self.model.state_dict().items() if not bool(torch.isfinite(tensor).all())]
        if broken:
            named = few(name_in_network(self.model, name) for name in broken)
            raise DivergenceError(
                f"training of view '{self.view.name}' ended with weights that are not finite ({named}): "
                "lower the learning rate"
            )
        return Trained(
            epoch=self.best.epoch if self.schedule.patience else self.epoch - 1,
            optimizer_sha256=optimizer_sha256(self),
            micro_batches=self.micro_batches,
            together=self.together,
        )

    def diverged(self, batch: Batch, student: Trace, parts: dict[str, Tensor]) -> DivergenceError:
        """Say which tensor of a step is not finite."""
        said = [("the samples", batch.values), ("the images", batch.inputs)]
        teachers = [] if self.teaching is None else zip(self.teaching.names, self.teaching.teachers, strict=True)
        for name, speak in teachers:
            heard = speak(batch.index, batch.values)
            said += [(f"the logits of teacher {name}", heard.logits)]
            said += [(f"the feature maps of teacher {name}", m) for m in heard.maps]
            if heard.embedding is not None:
                said.append((f"the embeddings of teacher {name}", heard.embedding))
        said.append(("the student's logits", student.logits))
        return DivergenceError(f"{self._where}: {not_finite(said, parts, self.samples.ids[batch.positions])}")

    def exploded(self, names: Sequence[str], positions: np.ndarray) -> DivergenceError:
        """Say of which parameters the gradient of a step is not finite."""
        called = [name_in_network(self.model, name) for name in names]
        mend = "lower the learning rate" + (" or the weight of a loss" if self.teaching else "")
        return DivergenceError(
            f"{self._where}: the gradient of {few(called)} is not finite on windows {few(self.samples.ids[positions])}: {mend}"
        )

    @property
    def _where(self) -> str:
        return f"training of view '{self.view.name}' stopped at epoch {self.epoch}, step {self.step + 1}"

    def replayed(self, positions: np.ndarray, error: DivergenceError) -> DivergenceError:
        """Write the state before a failed step, and what it saw, where checkpoints are; return the error that says so.

        Its forward passes have changed running statistics, which do not count while training, and, where a batch goes in
        parts, the losses told of the epoch.
        """
        if self.checkpoints is None:
            return error
        tensors, about = state_of(self)
        seen = {"batch/values": self.samples.values[torch.from_numpy(positions).to(self.samples.values.device)]}
        ids = self.samples.ids[positions].tolist()
        self.checkpoints.write_replay({**tensors, **seen}, {**about, "windows": ids, "error": str(error)})
        return DivergenceError(f"{error}; the step can be done again from '{self.checkpoints.replay_path}'")


def averaged(model: nn.Module, ema: float) -> AveragedModel:
    """Return running means of the weights and buffers of a model, to which the mean so far counts `ema` in every update."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True)


class _Best:
    """The weights of the epoch with the best accuracy on validation windows; of equals the first."""

    def __init__(self) -> None:
        self.accuracy, self.epoch = -1.0, 0
        self.state: dict[str, Tensor] = {}

    def see(self, accuracy: float, epoch: int, model: nn.Module) -> None:
        if accuracy > self.accuracy:
            self.accuracy, self.epoch = accuracy, epoch
            self.state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
