"""How a recipe meets an array: compiled loops or NumPy on the CPU's cores, torch wherever the tensor is.

NumPy windows are painted in blocks that stay in the caches, one block per core at a time. Fields with a compiled
loop (`tsimage.kernels`) write straight into the output; the others, and everything under `engine="numpy"`, go
through their readable definition in float64.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import array_namespace, device

from tsimage.fields import Layer
from tsimage.fields.markov import bin_edges
from tsimage.quantisation import LEVELS, encode
from tsimage.segments import segment_bounds

if TYPE_CHECKING:
    from tsimage.imager import Imager

_BLOCK_BYTES = 1 << 21
_TORCH_BLOCK_BYTES = 1 << 23

_pool: ThreadPoolExecutor | None = None


def paint_array(imager: Imager, x: np.ndarray, limits: np.ndarray | None, out: np.ndarray, engine: str) -> None:
    """Paint NumPy windows (window, channel, time) into `out`, on all cores this process may use."""
    values = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    direct = out.flags.c_contiguous and out.dtype != np.float16
    exact = out.dtype == np.float64
    ends = None if out.dtype.name not in LEVELS else imager.bounds_within(limits, x.shape[1])

    def block(start: int, stop: int) -> None:
        part = np.require(values[start:stop], requirements=["C", "A"])  # a mapped .npz need not be aligned
        target = out[start:stop]
        images = target if direct else np.empty(target.shape, np.float32 if out.dtype.itemsize < 4 else out.dtype)
        first = 0
        for layer in imager.layers:
            end = first + (1 if layer.field.joint else x.shape[1])
            loop = _LOOPS.get(layer.field.name) if engine != "numpy" else None
            if loop is not None:
                loop(imager, layer, part, limits, images, first)
            else:
                precise = paint_layer(
                    imager, layer, part.astype(np.float64, copy=False), limits, np.float64 if exact else np.float32
                )
                if ends is not None and images is target:
                    images[:, first:end] = encode(precise, ends[first:end], out.dtype)
                else:
                    images[:, first:end] = precise
            first = end
        if images is not target:
            target[...] = images if ends is None else encode(images, ends, out.dtype)

    per_window = max(x.shape[2] * x.shape[1] * 4, 4 * int(np.prod(out.shape[1:])))
    in_blocks(block, len(x), max(1, _BLOCK_BYTES // per_window))


def paint_tensor(imager: Imager, x: Any, limits: np.ndarray | None) -> Any:
    """Paint a tensor (window, channel, time) on its device; differentiable where the fields are."""
    xp = array_namespace(x)
    # Apple's GPUs have no float64.
    precise = xp.float32 if str(device(x)).startswith("mps") else xp.float64
    dtype = getattr(xp, imager.dtype)
    work = xp.float32 if imager.dtype == "float16" else dtype

    def all_layers(part: Any) -> Any:
        part = xp.astype(part, precise, copy=False)
        images = [paint_layer(imager, layer, part, limits, work) for layer in imager.layers]
        return xp.astype(images[0] if len(images) == 1 else xp.concat(images, axis=1), dtype, copy=False)

    n, n_channels = int(x.shape[0]), len(imager.channel_names([""] * int(x.shape[1])))
    step = max(1, _TORCH_BLOCK_BYTES // (4 * n_channels * imager.size**2))
    if n <= step or getattr(x, "requires_grad", False) or not str(device(x)).startswith("cpu"):
        return all_layers(x)
    out = xp.empty((n, n_channels, imager.size, imager.size), dtype=dtype, device=device(x))
    for start in range(0, n, step):
        out[start : start + step] = all_layers(x[start : start + step])
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


def _gramian(
    imager: Imager, layer: Layer, x: np.ndarray, limits: np.ndarray | None, out: np.ndarray, first: int
) -> None:
    from tsimage import kernels

    fixed = limits is not None
    ends = np.zeros((x.shape[1], 2)) if limits is None else limits
    kernels.gramian(
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
        *_codes(out, (-1.0, 1.0)),
    )


def _markov(
    imager: Imager, layer: Layer, x: np.ndarray, limits: np.ndarray | None, out: np.ndarray, first: int
) -> None:
    from tsimage import kernels

    model = imager.model(layer)
    if model is None:
        exact = bin_edges(x, layer.options["bins"], layer.options["strategy"], dtype=np.float64)
        transitions = np.zeros((0, 0, 0))
    else:
        exact = np.broadcast_to(model.edges, (len(x), *model.edges.shape))
        transitions = model.transitions
    edges = exact.astype(x.dtype)
    if x.dtype != exact.dtype:  # x > edge in float64 is x > the float32 at or below the edge
        edges = np.where(edges > exact, np.nextafter(edges, x.dtype.type(-np.inf)), edges)
    kernels.markov(
        x,
        np.ascontiguousarray(edges),
        np.ascontiguousarray(transitions),
        model is not None,
        segment_bounds(x.shape[2], imager.size, imager.segmentation),
        out,
        first,
        *_codes(out, (0.0, 1.0)),
    )


def _codes(out: np.ndarray, ends: tuple[float, float]) -> tuple[Any, Any, np.ndarray]:
    """Return scale and offset of whole numbers, and an empty array of the type that is computed in."""
    work = np.float64 if out.dtype == np.float64 else np.float32
    levels = LEVELS.get(out.dtype.name, 0)
    scale = levels / (ends[1] - ends[0])
    return work(scale), work(0.5 - ends[0] * scale), np.empty(0, work)


_LOOPS: dict[str, Callable[..., None]] = {"gasf": _gramian, "gadf": _gramian, "mtf": _markov}


def in_blocks(work: Callable[[int, int], None], n: int, length: int) -> None:
    """Call `work(start, stop)` for blocks of `length` of n rows, side by side on the cores of this process."""
    starts = range(0, n, length)
    spans: Sequence[tuple[int, int]] = [(start, min(n, start + length)) for start in starts]
    if len(spans) < 2 or cores() < 2:
        for start, stop in spans:
            work(start, stop)
        return
    for done in [_threads().submit(work, *span) for span in spans]:
        done.result()


def cores() -> int:
    """Return how many threads paint: the cores this process may use, but 1 in a worker of another process."""
    if multiprocessing.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(cores(), thread_name_prefix="tsimage")
    return _pool


def _forget_threads() -> None:
    """Let a forked child, in which the parent's threads do not exist, start its own."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
