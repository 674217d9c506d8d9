"""Frozen teachers: their logits and embeddings of the training windows are computed once, kept on disk, and keyed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from distill.certificate import ids_hash
from distill.prediction import embed, predict
from distill.sealed import pack, unpack
from distill.trace import Trace
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

    Raises
    ------
    DiskFullError
        If there is no room for the file.
    """
    key = _key(weights_sha256, view, ids)
    (logits,) = _cached(path, key, "logits", ("logits",), lambda: (predict(model, view, values),), say)
    return logits


def cached_embeddings(
    path: Path,
    model: torch.nn.Module,
    weights_sha256: str,
    view: View,
    values: torch.Tensor,
    ids: np.ndarray,
    say: Callable[[str], None] = silent,
) -> Trace:
    """Return the logits and the embeddings of a frozen teacher, kept as `cached_logits` keeps logits, in a file of their own.

    A file of logits alone stays as it is, so that a student which went half its way with it goes on with the same.

    Parameters
    ----------
    path, model, weights_sha256, view, values, ids, say
        As `cached_logits` takes them; the model shows an embedding.

    Returns
    -------
    Trace of float32, on the CPU, in the order of `ids`
        Without maps; (window, feature) numbers of 4 bytes beside the logits.

    Raises
    ------
    DiskFullError
        If there is no room for the file.
    """

    def shown() -> tuple[torch.Tensor, ...]:
        trace = embed(model, view, values)
        assert trace.embedding is not None  # a run with a teacher that has none is refused before
        return trace.logits, trace.embedding

    key = _key(weights_sha256, view, ids)
    logits, embedding = _cached(path, key, "embeddings", ("logits", "embedding"), shown, say)
    return Trace(logits=logits, embedding=embedding)


def _key(weights_sha256: str, view: View, ids: np.ndarray) -> str:
    return hashlib.sha256("|".join([weights_sha256, view.key(), ids_hash(ids)]).encode()).hexdigest()


def _cached(
    path: Path,
    key: str,
    what: str,
    names: tuple[str, ...],
    compute: Callable[[], tuple[torch.Tensor, ...]],
    say: Callable[[str], None],
) -> tuple[torch.Tensor, ...]:
    """Return the tensors of these names, from the file if its key fits, else computed and kept."""
    with locked(path.with_name(f".{path.name}.lock")):
        if path.exists():
            try:
                tensors, about = unpack(path)
                if about["key"] == key:
                    return tuple(tensors[name] for name in names)
            except (UserError, KeyError):
                say(f"'{path}' is not as it was written: these {what} are computed anew")
        for left_over in path.parent.glob(f".{path.name}.*.partial"):  # of a process that was killed while it wrote
            left_over.unlink()
        made = compute()
        atomic.write_bytes(path, pack(dict(zip(names, made, strict=True)), {"key": key}))
    return made
