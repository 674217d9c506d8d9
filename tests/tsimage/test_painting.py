"""The compiled loops against the readable definitions, and how work is spread over cores."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tsimage import Imager, painting
from tsimage.kernels import UNROLLED
from tsimage.quantisation import decode, encode, largest_error
from tsimage.segments import Segmentation

UNITS = ("g", "rad/s")
STACK = "gasf+gadf+mtf+mtf(bins=3,strategy=uniform)+mtf(bins=17)+mtf(strategy=normal)"
KINDS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "ties": lambda rng, shape: np.round(rng.normal(size=shape)),
    "constant": lambda rng, shape: np.full(shape, 9.81),
    "two-values": lambda rng, shape: rng.integers(0, 2, size=shape) * 3.0,
    "tiny": lambda rng, shape: rng.normal(size=shape) * 1e-12,
    "offset": lambda rng, shape: 1e6 + rng.normal(size=shape),
    "monotone": lambda rng, shape: np.sort(rng.normal(size=shape), axis=-1),
}


def both(imager, x, **options):
    return imager(x, UNITS, **options), imager(x, UNITS, engine="numpy", **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scaling", ["fixed", "window"])
@pytest.mark.parametrize("order", ["paa-then-scale", "scale-then-paa"])
def test_the_loops_equal_the_definitions(kind, dtype, scaling, order):
    x = KINDS[kind](np.random.default_rng(1), (7, 2, 50)).astype(dtype)
    for target in ((-1, 1), (0, 1)):
        for out in ("float32", "float64"):
            imager = Imager(stack=STACK, size=13, scaling=scaling, order=order, target=target, dtype=out)
            fast, exact = both(imager, x)
            # a mean of samples near 1e6 that move by 1 keeps ten digits of the movement, in whatever order it is taken
            atol = 5e-7 if out == "float32" else 2e-9 if kind == "offset" else 1e-14
            np.testing.assert_allclose(fast, exact, rtol=0, atol=atol)


@pytest.mark.parametrize("segmentation", Segmentation.__args__)
@pytest.mark.parametrize("length", [2, 3, 16, 33])
def test_the_loops_equal_the_definitions_at_every_size(segmentation, length):
    x = np.random.default_rng(length).normal(size=(3, 2, length)).astype(np.float32)
    for size in range(1, length + 1):
        fast, exact = both(Imager(stack=STACK, size=size, segmentation=segmentation, dtype="float64"), x)
        np.testing.assert_allclose(fast, exact, rtol=0, atol=1e-14)


@given(arrays(np.float32, (2, 2, 24), elements=st.floats(-1e3, 1e3, width=32)), st.integers(1, 24), st.booleans())
def test_the_loops_equal_the_definitions_on_any_values(x, size, fixed):
    imager = Imager(stack=STACK, size=size, scaling="fixed" if fixed else "window")
    fast, exact = both(imager, x)
    np.testing.assert_allclose(fast, exact, rtol=0, atol=1e-6)


@given(arrays(np.float32, (1, 2, 30), elements=st.floats(-4, 4, width=32)))
def test_symmetry_holds_to_the_last_bit(x):
    images = Imager(stack="gasf+gadf", size=11)(x, UNITS)
    np.testing.assert_array_equal(images[:, :2], images[:, :2].swapaxes(2, 3))
    np.testing.assert_array_equal(images[:, 2:], -images[:, 2:].swapaxes(2, 3))
    assert not images[:, 2:].diagonal(axis1=2, axis2=3).any()


def test_a_fitted_matrix_reaches_the_loops():
    rng = np.random.default_rng(4)
    imager = Imager(stack="mtf(fit=train,bins=5)", size=9).fit(rng.normal(size=(30, 2, 40)))
    fast, exact = both(imager, rng.normal(size=(4, 2, 33)).astype(np.float32))
    np.testing.assert_allclose(fast, exact, rtol=0, atol=5e-7)


def test_more_bins_than_one_step_of_the_product():
    x = np.random.default_rng(5).normal(size=(2, 2, 400))
    for bins in (UNROLLED - 1, UNROLLED, UNROLLED + 1, 3 * UNROLLED):
        fast, exact = both(Imager(stack=f"mtf(bins={bins})", size=20, dtype="float64"), x)
        np.testing.assert_allclose(fast, exact, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16"])
def test_whole_numbers_and_halves_lie_within_the_stated_error(dtype):
    x = np.random.default_rng(6).normal(size=(9, 2, 40)).astype(np.float32)
    stack = "gasf+gadf+mtf+rp+qgaf+pi"
    exact = Imager(stack=stack, size=16, dtype="float64")(x, UNITS)
    imager = Imager(stack=stack, size=16, dtype=dtype)
    bounds = imager.bounds(UNITS)
    ends = bounds[:, :, None, None]
    images = imager(x, UNITS)
    assert images.dtype == np.dtype(dtype)
    error = np.abs(decode(images, bounds) - np.clip(exact, ends[:, 0], ends[:, 1])).max(axis=(0, 2, 3))
    # half a unit in the last place of the largest value, just below the bound, or half a step
    most = 2.0**-12 * np.abs(bounds).max(axis=1) if dtype == "float16" else largest_error(bounds, dtype)
    most = 2.0 ** np.ceil(np.log2(most)) if dtype == "float16" else most
    assert (error <= most + 4e-7 * np.abs(bounds).max(axis=1)).all()
    assert error[0] > most[0] * 0.9  # the bound is no larger than it must be
    numpy = imager(x, UNITS, engine="numpy").astype(np.float64)
    assert np.abs(images.astype(np.float64) - numpy).max() <= (2**-11 if dtype == "float16" else 1)
    if dtype != "float16":
        assert (images == encode(exact, bounds, dtype)).mean() > 0.99


def test_an_output_of_any_layout_is_filled():
    x = np.random.default_rng(7).normal(size=(5, 2, 40)).astype(np.float32)
    for dtype in ("float32", "uint8", "float16"):
        imager = Imager(stack="gasf+mtf+rp", size=8, dtype=dtype)
        expected = imager(x, UNITS)
        scattered = np.zeros((8, 8, 6, 5), dtype=dtype).T
        assert imager(x, UNITS, out=scattered) is scattered
        np.testing.assert_array_equal(scattered, expected)
        np.testing.assert_array_equal(imager(np.asfortranarray(x), UNITS), expected)


def test_batches_of_any_size_give_the_same_bits(monkeypatch):
    x = np.random.default_rng(8).normal(size=(40, 2, 64)).astype(np.float32)
    imager = Imager(stack="gasf+gadf+mtf+rp+pi+scalogram", size=16)
    whole = imager(x, UNITS)
    np.testing.assert_array_equal(np.concatenate([imager(x[i : i + 7], UNITS) for i in range(0, 40, 7)]), whole)
    monkeypatch.setattr(painting, "cores", lambda: 1)
    np.testing.assert_array_equal(imager(x, UNITS), whole)


def test_painting_inside_a_painting_thread_ends(monkeypatch):
    """Every thread of the pool waits for blocks of its own: none may wait for a thread that never begins."""
    monkeypatch.setattr(painting, "cores", lambda: 2)
    monkeypatch.setattr(painting, "_pool", None)
    seen = np.zeros((8, 8), dtype=int)

    def outer(start, stop):
        for row in range(start, stop):
            painting.in_blocks(lambda a, b, row=row: seen[row].__setitem__(slice(a, b), 1), 8, 1)

    painter = threading.Thread(target=painting.in_blocks, args=(outer, 8, 1), daemon=True)
    painter.start()
    painter.join(timeout=20)
    assert not painter.is_alive()
    assert seen.all()


def test_blocks_cover_every_row_once_on_several_threads(monkeypatch):
    monkeypatch.setattr(painting, "cores", lambda: 3)
    monkeypatch.setattr(painting, "_pool", None)
    seen, names, together = np.zeros(100, dtype=int), set(), threading.Barrier(3, timeout=20)

    def work(start, stop):
        seen[start:stop] += 1
        names.add(threading.current_thread().name)
        if start < 24:
            together.wait()  # passes only when three blocks run side by side

    painting.in_blocks(work, 100, 8)
    assert (seen == 1).all()
    assert len(names) == 3


def test_an_error_in_a_block_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(painting, "cores", lambda: 2)
    seen = []

    def work(start, stop):
        seen.append(start)
        if start == 6:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        painting.in_blocks(work, 1000, 2)
    assert len(seen) < 500  # no block was begun after the error


def test_an_error_of_a_helping_thread_alone_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(painting, "cores", lambda: 2)
    monkeypatch.setattr(painting, "_pool", None)
    caller, together = threading.current_thread(), threading.Barrier(2, timeout=20)

    def work(start, stop):
        together.wait()  # a block for each of the two threads
        if threading.current_thread() is not caller:
            raise RuntimeError("broken beside the caller")

    with pytest.raises(RuntimeError, match="broken beside the caller"):
        painting.in_blocks(work, 2, 1)


def _paint_in_child(queue, x):
    queue.put(Imager(stack="gasf+mtf", size=8)(x, UNITS))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_paints_after_its_parent_did():
    x = np.random.default_rng(9).normal(size=(300, 2, 64)).astype(np.float32)
    expected = Imager(stack="gasf+mtf", size=8)(np.tile(x, (9, 1, 1)), UNITS)[:300]  # several blocks: threads exist
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_paint_in_child, args=(queue, x))
    child.start()
    got = queue.get(timeout=60)
    child.join(timeout=60)
    assert child.exitcode == 0
    np.testing.assert_array_equal(got, expected)


def test_workers_of_another_process_paint_on_one_core(monkeypatch):
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert painting.cores() == 1


@pytest.mark.parametrize(
    ("stack", "scaling"),
    [
        ("gasf+gadf", "fixed"),
        ("gasf+gadf", "window"),
        ("rp+rp(dimension=2)+qgaf", "fixed"),
        ("spectrogram+scalogram", "fixed"),
    ],
)
def test_gradients_equal_finite_differences(stack, scaling):
    rng = np.random.default_rng(10)
    x = torch.tensor(rng.uniform(-1.5, 1.5, size=(1, 2, 12)), requires_grad=True)
    imager = Imager(stack=stack, size=4, scaling=scaling, dtype="float64")
    assert torch.autograd.gradcheck(lambda t: imager(t, UNITS), (x,), eps=1e-7, atol=1e-4)


def test_gradients_stay_finite_at_the_ends_of_the_range():
    x = torch.tensor([[[2.0, -2.0, 2.5, -3.0, 0.0, 1.0]]], requires_grad=True)
    Imager(stack="gasf+gadf", size=6)(x, ("g",)).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad[0, 0, 2:4].tolist() == [0.0, 0.0]  # clipped: nothing moves


def test_a_new_process_needs_no_threading_layer_of_numba():
    code = (
        "import numpy as np, numba, tsimage\n"
        "tsimage.Imager(stack='gasf+gadf+mtf', size=8)(np.random.default_rng(0).normal(size=(9, 1, 30)), ('g',))\n"
        "try:\n    numba.threading_layer()\nexcept ValueError:\n    print('none')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["none"]
