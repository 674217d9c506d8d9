import pytest
import torch

from distill.device import choose_device, choose_precision, describe, is_out_of_memory
from tsimage.errors import UserError


@pytest.fixture
def hardware(monkeypatch):
    """Pretend that this machine has these devices and instructions."""

    def _set(*, cuda=False, mps=False, avx512_bf16=False, amx=False, capability=(8, 0)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)

    return _set


@pytest.mark.parametrize(
    ("there", "chosen"),
    [({"cuda": True, "mps": True}, "cuda"), ({"mps": True}, "mps"), ({}, "cpu")],
)
def test_auto_takes_cuda_then_mps_then_the_cpu(hardware, there, chosen):
    hardware(**there)
    assert choose_device("auto").type == chosen


def test_a_device_that_is_not_there_is_refused(hardware):
    hardware(mps=True)
    with pytest.raises(UserError) as error:
        choose_device("cuda")
    assert str(error.value) == "device 'cuda' is not available here: use auto or mps, cpu"


@pytest.mark.parametrize(
    ("device", "there", "chosen"),
    [
        ("cpu", {"avx512_bf16": True}, "bf16"),
        ("cpu", {"amx": True}, "bf16"),
        ("cpu", {}, "fp32"),
        ("mps", {"avx512_bf16": True}, "fp32"),
        ("cuda", {"capability": (8, 0)}, "bf16"),
        ("cuda", {"capability": (7, 5)}, "fp32"),
    ],
)
def test_bf16_is_chosen_where_the_hardware_computes_in_it(hardware, device, there, chosen):
    hardware(**there)
    assert choose_precision("auto", torch.device(device)) == chosen
    assert choose_precision("fp32", torch.device(device)) == "fp32"


@pytest.mark.parametrize(
    ("error", "is_short"),
    [
        (torch.OutOfMemoryError("whatever"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_says_that_memory_ran_out(error, is_short):
    assert is_out_of_memory(error) is is_short


@pytest.mark.parametrize(("threads", "said"), [(1, "1 thread"), (2, "2 threads")])
def test_a_cpu_is_named_with_its_threads(monkeypatch, threads, said):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert describe(torch.device("cpu")).endswith(f", {said}")
