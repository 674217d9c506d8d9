"""How a recipe meets an array: compiled loops or NumPy on the CPU's cores, torch wherever the tensor is.

NumPy windows are painted in blocks that stay in the caches, one block per core at a time. Fields with a compiled
loop (`tsimage.kernels`) write straight into the output; the others, and everything under `engine="numpy"`, go
through their readable definition in float64.
"""

from __future__ import annotations

import math
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace, device

from tsimage.errors import UserError
from tsimage.fields import Layer
from tsimage.fields.gramian import angles, difference, summation
from tsimage.fields.markov import MERGE_BELOW, bin_edges, quantile_ranks
from tsimage.quantisation import LEVELS, encode
from tsimage.segments import segment_bounds

if TYPE_CHECKING:
    from tsimage.imager import Imager

_BLOCK_BYTES = 1 << 23
_SMALL_BYTES = 1 << 23  # of Gramian fields, which one core writes before another has woken up
_SORTED_BYTES = 1 << 18
_TORCH_BLOCK_BYTES = 3 << 20

_pool: ThreadPoolExecutor | None = None


def paint_array(
    imager: Imager,
    x: np.ndarray,
    limits: np.ndarray | None,
    out: np.ndarray,
    engine: str,
    check: Callable[[np.ndarray], None] | None,
) -> None:
    """Paint NumPy windows (window, channel, time) into `out`, on all cores this process may use.

    `check` is called with each block of windows before it is painted, or after by a loop that found a value not finite.
    """
    values = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    direct = out.flags.c_contiguous and imager.dtype != "float16"
    exact = imager.dtype == "float64"
    ends = None if imager.dtype not in LEVELS else imager.bounds_within(limits, x.shape[1])

    def block(start: int, stop: int) -> None:
        part = values[start:stop]
        if not (part.flags.c_contiguous and part.flags.aligned):  # a mapped .npz need not be
            part = np.require(part, requirements=["C", "A"])
        target = out[start:stop]
        images = target if direct else np.empty(target.shape, np.float32 if out.dtype.itemsize < 4 else out.dtype)
        first, checked = 0, check is None
        for layer in imager.layers:
            loop = _LOOPS.get(layer.field.name) if engine != "numpy" else None
            if check is not None and not checked and loop is not _gramian:
                check(part)
                checked = True
            end = first + (1 if layer.field.joint else x.shape[1])
            if loop is not None:
                finite = loop(imager, layer, part, limits, images, first)
                if check is not None and not checked and not finite:
                    check(part)
                checked = True
            else:
                precise = paint_layer(
                    imager, layer, part.astype(np.float64, copy=False), limits, np.float64 if exact else np.float32
                )
                if ends is not None and images is target:
                    images[:, first:end] = encode(precise, ends[first:end], out.dtype)
                else:
                    images[:, first:end] = precise
            if images is not target:
                part_of = slice(None), slice(first, end)
                _store(layer, images[part_of], None if ends is None else ends[first:end], target[part_of])
            first = end

    n_bytes = len(x) * 4 * (x.shape[1] * x.shape[2] + math.prod(out.shape[1:]))
    if n_bytes <= _SMALL_BYTES and all(_LOOPS.get(layer.field.name) is _gramian for layer in imager.layers):
        block(0, len(x))
        return
    # Two blocks or more for every core, since cores are not equally quick.
    painters = cores()
    blocks = max(-(-n_bytes // _BLOCK_BYTES), 2 * painters if painters > 1 else 1)
    in_blocks(block, len(x), -(-len(x) // blocks))


def paint_tensor(imager: Imager, x: Any, limits: np.ndarray | None) -> Any:
    """Paint a tensor (window, channel, time) on its device; differentiable where the fields are."""
    xp = array_namespace(x)
    # Apple's GPUs have no float64.
    precise = xp.float32 if str(device(x)).startswith("mps") else xp.float64
    dtype = getattr(xp, imager.dtype)
    work = xp.float32 if imager.dtype == "float16" else dtype

    channels = [1 if layer.field.joint else int(x.shape[1]) for layer in imager.layers]
    outer: dict[str, Callable[..., Any]] = {"gasf": summation, "gadf": difference}
    shared = sum(layer.field.name in outer for layer in imager.layers) > 1

    def images_of(part: Any) -> Iterator[Any]:
        part = xp.astype(part, precise, copy=False)
        known: tuple[Any, ...] = ()
        if shared:
            known = angles(part, imager.size, limits, imager.target, imager.order, imager.segmentation)
        for layer in imager.layers:
            if known and layer.field.name in outer:
                images = outer[layer.field.name](*known, work)
            else:
                images = paint_layer(imager, layer, part, limits, work)
            stored = xp.astype(images, dtype, copy=False)
            # Only images of no fixed range can leave float16: to look at the pixels of a GPU is to wait for it.
            unbounded = imager.dtype == "float16" and None in layer.field.bounds(layer.options, None)
            if unbounded and bool(xp.any(xp.isinf(stored))):
                raise _too_large(layer)
            yield stored

    n = int(x.shape[0])
    step = max(1, _TORCH_BLOCK_BYTES // (4 * int(x.shape[1]) * imager.size**2))
    if getattr(x, "requires_grad", False) or not str(device(x)).startswith("cpu") or (n <= step and len(channels) == 1):
        painted = list(images_of(x))
        return painted[0] if len(painted) == 1 else xp.concat(painted, axis=1)
    # On the CPU in blocks that stay in the caches, each field gone before the next is painted.
    out = xp.empty((n, sum(channels), imager.size, imager.size), dtype=dtype, device=device(x))
    for start in range(0, n, step):
        first = 0
        for images, count in zip(images_of(x[start : start + step]), channels, strict=True):
            out[start : start + step, first : first + count] = images
            first += count
    return out


def paint_layer(imager: Imager, layer: Layer, x: Any, limits: np.ndarray | None, dtype: Any) -> Any:
    """Paint one field of the recipe by its readable definition: (window, image channel, S, S)."""
    shared = {
        "limits": limits,
        "target": imager.target,
        "order": imager.order,
        "segmentation": imager.segmentation,
        "dtype": dtype,
        "model": imager.model(layer),
    }
    options = {name: value for name, value in layer.options.items() if name != "fit"}
    options |= {name: value for name, value in shared.items() if name in layer.field.parameters}
    images = layer.field.paint(x, imager.size, **options)
    return images[:, None] if layer.field.joint else images


def _store(layer: Layer, images: np.ndarray, ends: np.ndarray | None, out: np.ndarray) -> None:
    """Put the images of a layer into an output that no loop can write, as float16."""
    if ends is not None:
        out[...] = encode(images, ends, out.dtype)
        return
    try:
        with np.errstate(over="raise"):
            out[...] = images
    except FloatingPointError:
        raise _too_large(layer) from None


def _too_large(layer: Layer) -> UserError:
    return UserError(
        f"images {layer.label} hold values beyond {np.finfo(np.float16).max:.0f}, which float16 cannot store: choose dtype "
        "float32"
    )


def _gramian(
    imager: Imager, layer: Layer, x: np.ndarray, limits: np.ndarray | None, out: np.ndarray, first: int
) -> bool:
    from tsimage import kernels

    fixed = limits is not None
    ends = np.zeros((x.shape[1], 2)) if limits is None else limits
    return kernels.gramian(
        x,
        segment_bounds(x.shape[2], imager.size, imager.segmentation),
        np.ascontiguousarray(ends, dtype=np.float64),
        fixed,
        imager.order == "scale-then-paa",
        float(imager.target[0]),
        float(imager.target[1]),
        layer.field.name == "gadf",
        out,
        first,
        *_codes(out.dtype, -1.0, 1.0),
    )


def _markov(
    imager: Imager, layer: Layer, x: np.ndarray, limits: np.ndarray | None, out: np.ndarray, first: int
) -> bool:
    from tsimage import kernels

    model, bins, strategy = imager.model(layer), layer.options["bins"], layer.options["strategy"]
    bounds = segment_bounds(x.shape[2], imager.size, imager.segmentation)
    transitions = np.zeros((0, 0, 0)) if model is None else np.ascontiguousarray(model.transitions)
    left, fraction = quantile_ranks(x.shape[2], bins)
    codes = _codes(out.dtype, 0.0, 1.0)
    # Buffers that stay in the core's own cache: fresh memory for every sort would cost more than the sort.
    step = min(len(x), max(1, _SORTED_BYTES // x[0].nbytes))
    ordered = np.empty((step, *x.shape[1:]), x.dtype)
    edges = np.empty((step, x.shape[1], bins - 1), x.dtype)
    for start in range(0, len(x), step):
        part = x[start : start + step]
        n = len(part)
        if model is None and strategy == "quantile":
            np.copyto(ordered[:n], part)
            ordered[:n].sort(axis=-1)
            kernels.quantile_edges(ordered[:n], left, fraction, MERGE_BELOW, edges[:n])
        else:
            exact = model.edges if model is not None else bin_edges(part, bins, strategy, dtype=np.float64)
            edges[:n] = exact
            np.nextafter(edges[:n], x.dtype.type(-np.inf), out=edges[:n], where=edges[:n] > exact)
        kernels.markov(
            part, edges[:n], transitions, model is not None, bounds, out[start : start + step], first, *codes
        )
    return True


@lru_cache
def _codes(dtype: np.dtype, low: float, high: float) -> tuple[Any, Any, np.ndarray]:
    """Return scale and offset of whole numbers, and an empty array of the type that is computed in."""
    work = np.float64 if dtype == np.float64 else np.float32
    scale = LEVELS.get(dtype.name, 0) / (high - low)
    return work(scale), work(0.5 - low * scale), np.empty(0, work)


_LOOPS: dict[str, Callable[..., bool]] = {"gasf": _gramian, "gadf": _gramian, "mtf": _markov}


def in_blocks(work: Callable[[int, int], None], n: int, length: int) -> None:
    """Call `work(start, stop)` for blocks of `length` of n rows, side by side on the cores of this process.

    The calling thread takes blocks too. The first error ends the work and is raised here, once no thread works any more.
    """
    pending = deque((start, min(n, start + length)) for start in range(0, n, length))

    def take() -> None:
        while pending:
            try:
                span = pending.popleft()
            except IndexError:  # another thread was quicker
                return
            try:
                work(*span)
            except BaseException:
                pending.clear()
                raise

    others = min(cores(), len(pending)) - 1
    helping = [_threads().submit(take) for _ in range(others)]
    try:
        take()
    finally:
        # Who has not begun by now has nothing left to do, and may stand behind the work of another caller.
        errors = [helper.exception() for helper in helping if not helper.cancel()]
    for error in errors:
        if error is not None:
            raise error


def cores() -> int:
    """Return how many threads paint: the cores this process may use, but 1 in a worker of another process.

    Not more than the environment variable `TSIMAGE_THREADS` says, by which launched workers share the cores.
    """
    if multiprocessing.parent_process() is not None:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = os.environ.get("TSIMAGE_THREADS", "")
    return max(1, min(usable, int(most))) if most.isdecimal() else usable


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="tsimage")
    return _pool


def _forget_threads() -> None:
    """Let a forked child, in which the parent's threads do not exist, start its own."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
