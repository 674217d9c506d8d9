"""Finished trainings, read back: networks and ridges, and what they say to a student."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load as load_tensors
from torch import nn

from distill.batching import Samples
from distill.divergence import DivergenceError
from distill.prediction import predict
from distill.rocket import RidgeTeacher
from distill.teacher_names import RIDGES, Teacher
from distill.teachers import cached_embeddings, cached_logits
from distill.teaching import Speaker, cached, live
from distill.trace import Trace
from tsimage import atomic
from tsimage.errors import UserError
from tsimage.unfinished import silent

if TYPE_CHECKING:
    from distill.plan import Plan, Training


def _weights(training: Training) -> tuple[bytes, dict[str, Any]]:
    """Return the weights file of a finished training, seen to be the one that was written, and its record."""
    if not training.is_done:
        raise UserError(
            f"'{training.folder}' holds no finished training, though it did: see where it went, or train it anew"
        )
    record = atomic.read_json(training.folder / "training.json")
    path = training.folder / "weights.safetensors"
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != record["weights_sha256"]:
        raise UserError(
            f"'{path}' is missing or not as it was written (its sha256 differs): remove the folder "
            f"'{training.folder}' and run again to train it anew"
        )
    return content, record


def ridge_of(training: Training) -> tuple[RidgeTeacher, dict[str, Any]]:
    """Load a finished random-convolution teacher and its record."""
    _, record = _weights(training)
    with safe_open(training.folder / "weights.safetensors", framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
        return RidgeTeacher.from_state(arrays, file.metadata() or {}), record


def bytes_of(training: Training) -> int:
    """Return the bytes of all that a finished training needs to speak: weights, running statistics, kernels."""
    with safe_open(training.folder / "weights.safetensors", framework="numpy") as file:
        arrays = [file.get_tensor(name) for name in file.keys() if name != "training_logits"]  # noqa: SIM118
    return sum(array.nbytes for array in arrays)


def logits_of(plan: Plan, training: Training, samples: Samples, held_out: Samples) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the logits (window, class) that a finished training gives the windows of `held_out`, and its record."""
    if training.network in RIDGES:
        ridge, record = ridge_of(training)
        return ridge.logits(held_out.values.cpu().numpy()), record
    model, record = trained_network(plan, training, samples)
    if plan.pool in training.folder.parents:  # several runs ask
        path = training.folder / "evaluation.safetensors"
        logits = cached_logits(path, model, record["weights_sha256"], training.view, held_out.values, held_out.ids)
    else:
        logits = predict(model, training.view, held_out.values)
    return logits.numpy(), record


def trained_network(plan: Plan, training: Training, samples: Samples) -> tuple[nn.Module, dict[str, Any]]:
    """Load a finished training, and see that its weights are the ones that were written."""
    content, record = _weights(training)
    model = plan.build(training, samples)
    model.load_state_dict(load_tensors(content))
    return model.requires_grad_(False).eval(), record


def live_teacher(plan: Plan, teacher: Teacher, student: Training, samples: Samples) -> Speaker:
    """Return a teacher that is run in every step, for losses that compare feature maps and windows that are augmented."""
    training = plan.teacher_training(teacher, student.split, student.seed)
    model, _ = trained_network(plan, training, samples)
    return live(model, training.view)


def cached_teacher(
    plan: Plan, teacher: Teacher, student: Training, samples: Samples, say: Callable[[str], None] = silent
) -> Speaker:
    """Return a teacher whose logits of all training windows, and embeddings if a loss compares them, are computed once.

    A damaged cache is told to `say`.
    """
    training = plan.teacher_training(teacher, student.split, student.seed)
    if training.network in RIDGES:
        return cached(torch.from_numpy(ridge_of(training)[0].training_logits).to(samples.values.device))
    model, record = trained_network(plan, training, samples)
    path = plan.cache_path(teacher, student.split, student.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    sought = (path, model, record["weights_sha256"], training.view, samples.values, samples.ids, say)
    shown = cached_embeddings(*sought) if plan.run.compares_embeddings else Trace(logits=cached_logits(*sought))
    finite = torch.isfinite(shown.logits).all(dim=1)  # and so are the embeddings, of which they are linear functions
    if not bool(finite.all()):
        window = samples.ids[int(torch.argmin(finite.int()))]
        raise DivergenceError(
            f"teacher {teacher.name}, seed {training.seed}: logits of window '{window}' are not finite: train it with a lower "
            "learning rate"
        )
    device = samples.values.device
    return cached(shown.logits.to(device), None if shown.embedding is None else shown.embedding.to(device))
