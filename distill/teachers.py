"""Frozen teachers: their logits on the training windows are computed once, kept on disk, and keyed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from distill.splits import ids_hash
from distill.train import predict
from distill.views import View
from tsimage import atomic


def cached_logits(
    path: Path, model: torch.nn.Module, weights_sha256: str, view: View, values: torch.Tensor, ids: np.ndarray
) -> torch.Tensor:
    """Return the logits of a frozen teacher, from the cache if its key fits, else computed and cached.

    Parameters
    ----------
    path : Path
        Of the cache, a safetensors file.
    model : Module
        The trained teacher.
    weights_sha256 : str
        Of the teacher's weights file.
    view : View
    values : Tensor, shape (window, channel, time)
        Raw windows on the device of the model.
    ids : ndarray of str, shape (window,)

    Returns
    -------
    Tensor of float32, shape (window, class), on the CPU, in the order of `ids`
    """
    key = hashlib.sha256("|".join([weights_sha256, view.key(), ids_hash(ids)]).encode()).hexdigest()
    if path.exists():
        try:
            with safe_open(path, framework="pt") as cache:
                logits, metadata = cache.get_tensor("logits"), cache.metadata() or {}
            if metadata.get("key") == key and metadata.get("sha256") == _sha256(logits):
                return logits
        except (SafetensorError, OSError):
            pass  # a damaged cache, like one of other windows, is computed anew
    logits = predict(model, view, values)
    atomic.write_bytes(path, save({"logits": logits}, metadata={"key": key, "sha256": _sha256(logits)}))
    return logits


def _sha256(logits: torch.Tensor) -> str:
    return hashlib.sha256(logits.numpy().tobytes()).hexdigest()
