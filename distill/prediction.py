"""What a network says of windows, in full float32."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from distill.device import free_memory, is_out_of_memory
from distill.views import View


def repeatable() -> AbstractContextManager[None]:
    """Make cuDNN choose deterministic algorithms and full float32, so that a seed repeats; nothing on other devices."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


@torch.inference_mode()
def predict(model: nn.Module, view: View, values: Tensor, batch_size: int = 256) -> Tensor:
    """Return the logits of raw windows (window, channel, time), in full float32, shape (window, class), on the CPU.

    Batches become smaller where memory does not suffice.
    """
    model.eval()
    parts: list[Tensor] = []
    start, is_short = 0, False
    while start < len(values):
        if is_short:  # here, where no traceback holds tensors any more
            free_memory()
            batch_size //= 2
        try:
            with repeatable():
                parts.append(model(view.of(values[start : start + batch_size])).float().cpu())
        except (RuntimeError, MemoryError) as error:
            is_short = batch_size > 1 and is_out_of_memory(error)
            if not is_short:
                raise
        else:
            is_short = False
            start += batch_size
    return torch.cat(parts)
