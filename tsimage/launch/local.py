"""Workers as processes of this machine, each with its threads and its turn of the GPUs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tsimage.errors import UserError
from tsimage.launch.process import kill, spawn, variables
from tsimage.launch.supervision import Outcome, outcome

if TYPE_CHECKING:
    from tsimage.launch import Launch

CORES_PER_WORKER = 4
"""Where there is no GPU, there is a worker for so many cores unless a number is given."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


def resolve(launch: Launch, cores: int, devices: Sequence[str], threads: int | None = None) -> Launch:
    """Fill in what was left to this machine.

    Parameters
    ----------
    launch : Launch
    cores : int
        That this process may use.
    devices : sequence of str
        GPUs that this process may use.
    threads : int, optional
        Of each worker where `launch` gives no number, in place of its share of the cores: see `asked_threads`.

    Raises
    ------
    UserError
        If there are fewer GPUs than the workers are to have.

    Examples
    --------
    >>> from tsimage.launch import Launch
    >>> chosen = resolve(Launch(gpus=0.5), 16, ["0", "1"])
    >>> chosen.workers, chosen.threads
    (4, 4)
    >>> resolve(Launch(), 8, []).workers
    2
    """
    gpus = launch.gpus
    if gpus is None:
        room = len(devices)
    elif not gpus:
        room = 0
    else:
        room = len(devices) * int(1 / gpus + 1e-9) if gpus <= 1 else len(devices) // int(gpus)
        if room < (launch.workers or 1):
            raise UserError(
                f"{launch.workers or 1} workers with {gpus:g} GPUs each do not fit on the {len(devices)} GPUs of this machine: "
                "give fewer workers, or a smaller --gpus"
            )
    workers = launch.workers or room or max(1, cores // (launch.threads or CORES_PER_WORKER))
    return replace(launch, workers=workers, threads=launch.threads or threads or max(1, cores // workers))


def asked_threads(environment: Mapping[str, str]) -> int | None:
    """Return the threads that `OMP_NUM_THREADS` asks for, of nested loops those of the outer one; None where it says nothing.

    >>> asked_threads({"OMP_NUM_THREADS": "2"}), asked_threads({"OMP_NUM_THREADS": "4,1"}), asked_threads({})
    (2, 4, None)
    """
    first = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) or None if first.isdecimal() else None


def share(launch: Launch, worker: int, devices: Sequence[str]) -> dict[str, str]:
    """Return the environment variable that gives a worker its GPUs: one in turn, or several of its own.

    >>> from tsimage.launch import Launch
    >>> [share(Launch(gpus=0.5), k, ["0", "3"])["CUDA_VISIBLE_DEVICES"] for k in range(4)]
    ['0', '3', '0', '3']
    >>> share(Launch(gpus=2), 1, ["0", "1", "2", "3"])
    {'CUDA_VISIBLE_DEVICES': '2,3'}
    >>> share(Launch(), 0, [])
    {}
    """
    if launch.gpus == 0:
        return {VISIBLE: ""}
    if not devices:
        return {}
    several = max(1, int(launch.gpus or 1))
    first = worker * several
    return {VISIBLE: ",".join(devices[(first + i) % len(devices)] for i in range(several))}


def devices() -> list[str]:
    """Return the NVIDIA GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    if VISIBLE in os.environ:
        named = [name.strip() for name in os.environ[VISIBLE].split(",")]
        return [name for name in named if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return listed_devices(listed.stdout) if listed.returncode == 0 else []


def listed_devices(text: str) -> list[str]:
    """Read what `nvidia-smi -L` lists: parts of GPUs where these are divided, else GPUs by number.

    >>> listed_devices("GPU 0: NVIDIA H200 (UUID: GPU-6f)\\nGPU 1: NVIDIA H200 (UUID: GPU-7a)\\n")
    ['0', '1']
    >>> listed_devices("GPU 0: A100 (UUID: GPU-6f)\\n  MIG 1g.5gb Device 0: (UUID: MIG-1b)\\n")
    ['MIG-1b']
    """
    return re.findall(r"UUID: (MIG-[\w/-]+)", text) or re.findall(r"^GPU (\d+):", text, re.MULTILINE)


class Process:
    """A worker on this machine."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def poll(self) -> Outcome | None:
        code = self.process.poll()
        return None if code is None else outcome(code)

    def stop(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        kill(self.process)


@contextmanager
def engine(command: Sequence[str], launch: Launch, logs: Sequence[Path]) -> Iterator[Callable[[int], Process]]:
    """Give what starts the worker of a number on this machine."""
    assert launch.threads is not None
    threads, found = launch.threads, [] if launch.gpus == 0 else devices()

    def begin(worker: int) -> Process:
        return Process(spawn(command, logs[worker], variables(worker, threads) | share(launch, worker, found)))

    yield begin
