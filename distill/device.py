"""Where training runs, and in which precision."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from distill.config import Device, Precision
from tsimage.errors import UserError, unknown

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Options of glibc's mallopt."""


def choose_device(name: Device = "auto") -> torch.device:
    """Return the device by name; `auto` takes CUDA, else MPS, else the CPU.

    Raises
    ------
    UserError
        If the device is not there.
    """
    if name not in get_args(Device):
        raise unknown("device", name, get_args(Device))
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if not there[name]:
        raise UserError(f"device '{name}' is not available here: use auto or {', '.join(k for k in there if there[k])}")
    return torch.device(name)


def choose_precision(name: Precision, device: torch.device) -> Literal["bf16", "fp32"]:
    """Return the precision of training; `auto` takes bfloat16 autocast where the hardware computes in it."""
    if name not in get_args(Precision):
        raise unknown("precision", name, get_args(Precision))
    if name != "auto":
        return name
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch has no public question for it
        native = device.type == "cpu" and any(getattr(torch.cpu, check, lambda: False)() for check in checks)
    return "bf16" if native else "fp32"


def describe(device: torch.device) -> str:
    """Name the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type} {platform.machine()}, {threads} thread{'s' * (threads != 1)}"


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for the next step of training instead of returning them to the system.

    Activations of a few MB are otherwise mapped, zeroed page by page, and unmapped in every step. It changes
    the whole process, so only the command line calls it. Elsewhere than on glibc it does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the device or in the address space of the process."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = (
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "could not create a",
        "ALLOC_FAILED",
        "bad_alloc",
    )
    is_unsupported = "primitive descriptor" in str(error)  # oneDNN says nearly the same of both
    return isinstance(error, RuntimeError) and not is_unsupported and any(words in str(error) for words in said)


def free_memory() -> None:
    """Give memory that nothing uses any more back to the device and to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def out_of_memory() -> Iterator[None]:
    """Turn running out of memory into one sentence."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError("memory ran out: lower the batch-size or the image-size, or use another device") from error
