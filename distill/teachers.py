"""Frozen teachers: their logits on the training windows are computed once, kept on disk, and keyed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from distill.prediction import predict
from distill.sealed import pack, unpack
from distill.splits import ids_hash
from distill.views import View
from tsimage import atomic
from tsimage.errors import UserError
from tsimage.locks import locked
from tsimage.unfinished import silent


def cached_logits(
    path: Path,
    model: torch.nn.Module,
    weights_sha256: str,
    view: View,
    values: torch.Tensor,
    ids: np.ndarray,
    say: Callable[[str], None] = silent,
) -> torch.Tensor:
    """Return the logits of a frozen teacher, from the cache if its key fits, else computed and cached.

    Processes that want the same logits at once wait for the one that computes them.

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
    say : callable, optional
        Is told of a cache that is damaged.

    Returns
    -------
    Tensor of float32, shape (window, class), on the CPU, in the order of `ids`
    """
    key = hashlib.sha256("|".join([weights_sha256, view.key(), ids_hash(ids)]).encode()).hexdigest()
    with locked(path.with_name(f".{path.name}.lock")):
        if path.exists():
            try:
                tensors, about = unpack(path)
                if about["key"] == key:
                    return tensors["logits"]
            except (UserError, KeyError):
                say(f"'{path}' is not as it was written: these logits are computed anew")
        for left_over in path.parent.glob(f".{path.name}.*.partial"):  # of a process that was killed while it wrote
            left_over.unlink()
        logits = predict(model, view, values)
        atomic.write_bytes(path, pack({"logits": logits}, {"key": key}))
    return logits
