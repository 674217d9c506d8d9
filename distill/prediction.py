"""What a network says of windows, in full float32."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from distill.device import free_memory, is_out_of_memory
from distill.trace import Trace
from distill.views import View


def repeatable() -> AbstractContextManager[None]:
    """Make cuDNN choose deterministic algorithms and full float32, so that a seed repeats; nothing on other devices."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def predict(model: nn.Module, view: View, values: Tensor, batch_size: int = 256) -> Tensor:
    """Return the logits of raw windows (window, channel, time), in full float32, shape (window, class), on the CPU.

    Batches become smaller where memory does not suffice.
    """
    model.eval()
    return _in_batches(lambda inputs: (model(inputs),), view, values, batch_size)[0]


def embed(model: nn.Module, view: View, values: Tensor, batch_size: int = 256) -> Trace:
    """Return logits and embedding of raw windows (window, channel, time) from one pass, in full float32, on the CPU.

    The logits are those of `predict`; the embedding is None where the network has none. Feature maps last as long as their
    batch: of a 32 x 32 image a WRN28-3 has 192 numbers in its embedding, and 86,016 in its maps.
    """
    model.eval()

    def shown(inputs: Tensor) -> tuple[Tensor, ...]:
        trace: Trace = model.trace(inputs)  # type: ignore[operator]
        return (trace.logits,) if trace.embedding is None else (trace.logits, trace.embedding)

    logits, *embedding = _in_batches(shown, view, values, batch_size)
    return Trace(logits=logits, embedding=embedding[0] if embedding else None)


@torch.inference_mode()
def _in_batches(
    of: Callable[[Tensor], tuple[Tensor, ...]], view: View, values: Tensor, batch_size: int
) -> tuple[Tensor, ...]:
    """Return what a function gives of the view of all windows, a batch at a time, smaller where memory does not suffice."""
    parts: list[tuple[Tensor, ...]] = []
    start, is_short = 0, False
    while start < len(values):
        if is_short:  # here, where no traceback holds tensors any more
            free_memory()
            batch_size //= 2
        try:
            with repeatable():
                parts.append(tuple(x.float().cpu() for x in of(view.of(values[start : start + batch_size]))))
        except (RuntimeError, MemoryError) as error:
            is_short = batch_size > 1 and is_out_of_memory(error)
            if not is_short:
                raise
        else:
            is_short = False
            start += batch_size
    return tuple(torch.cat(of_batches) for of_batches in zip(*parts, strict=True))
