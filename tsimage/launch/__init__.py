"""Workers on one machine or many: copies of one command that share its work by locks on a file system that all see.

The unit is a command that can be started again at any time, as often as one likes: it takes pieces of the work under locks,
does what is not done, and ends when all is. So a worker that dies loses nothing but its piece, and the engine has nothing
to do but to start commands: as processes here, as jobs of Slurm (submitit), or as tasks of Ray.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tsimage.errors import UserError, unknown
from tsimage.launch.process import is_worker
from tsimage.launch.supervision import Attempt, Ended, supervise, terminable

__all__ = ["Ended", "Engine", "Launch", "is_worker", "resolve", "start"]

Engine = Literal["local", "slurm", "ray"]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Where workers run, how many, and what each has."""

    launch: Engine = "local"
    """Where workers run: local (processes of this machine), slurm (jobs, pip install 'tsimage[slurm]') or ray (tasks of a Ray
    cluster, pip install 'tsimage[ray]'). All see the same files, and share the work among themselves by locks on them."""
    workers: int | None = None
    """How many. On this machine one for each GPU, or where there is none for every 4 cores, unless given; images are painted
    by this one process unless given."""
    threads: int | None = None
    """CPU threads of each. On this machine OMP_NUM_THREADS, or its share of the cores, elsewhere 1, unless given."""
    gpus: float | None = None
    """GPUs of each; 0.5 puts two workers on one. On this machine they take GPUs in turn, elsewhere they have none, unless
    given; 0 hides GPUs from them."""
    slurm: tuple[str, ...] = ()
    """With launch slurm: what submitit hands to Slurm, NAME=VALUE: partition=gpu time=90 mem_gb=8. cluster=local tries it out
    on this machine."""
    ray: str | None = None
    """With launch ray: address of the cluster, HOST:PORT; that in RAY_ADDRESS, that of this machine, or a new one on this
    machine, unless given."""

    def __post_init__(self) -> None:
        if self.launch not in ("local", "slurm", "ray"):
            raise unknown("engine to launch on", self.launch, ["local", "slurm", "ray"])
        for name in ("workers", "threads"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise UserError(f"{name} {number} is not allowed: give a whole number from 1 on")
        if self.gpus is not None and not (
            math.isfinite(self.gpus) and self.gpus >= 0 and (self.gpus <= 1 or self.gpus == int(self.gpus))
        ):
            raise UserError(f"gpus {self.gpus:g} is not allowed: give 0, a fraction of 1, or a whole number")
        for name in ("slurm", "ray"):
            if getattr(self, name) and self.launch != name:
                raise UserError(
                    f"{name} has no meaning with launch {self.launch}: leave it out, or choose launch {name}"
                )
        if self.launch != "local" and self.workers is None:
            raise UserError(f"launch {self.launch} cannot tell how many workers there should be: give --workers")
        if self.launch == "slurm":
            from tsimage.launch.slurm import parameters

            parameters(self.slurm)
            if self.gpus is not None and self.gpus != int(self.gpus):
                raise UserError(
                    f"gpus {self.gpus:g} is not allowed with launch slurm, which lends whole GPUs: give 1, or launch local "
                    "workers that share a GPU inside a job"
                )

    @property
    def is_alone(self) -> bool:
        """Whether nothing asks for more than the process that is there: launch local, and not several workers."""
        return self.launch == "local" and self.workers in (None, 1)


def resolve(launch: Launch) -> Launch:
    """Fill in how many workers and threads there are where that was left to this machine.

    Raises
    ------
    UserError
        If there are fewer GPUs than the workers are to have.
    """
    if launch.launch != "local":
        return launch
    from tsimage.launch import local

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = [] if launch.gpus == 0 else local.devices()
    return local.resolve(launch, cores, found, local.asked_threads(os.environ))


def start(
    command: Sequence[str], launch: Launch, *, folder: Path, on_poll: Callable[[], None] | None = None
) -> list[Ended]:
    """Run copies of a command until all have ended.

    A copy that a signal kills or whose machine is lost is started again, at most 3 times; one that ends by itself is not,
    whatever its exit code. A copy knows that it is one from the environment variable `TSIMAGE_WORKER`, its number, and how
    many threads to start from `OMP_NUM_THREADS` and the like.

    Local and Ray workers die with this process, even when it is killed (on Linux); jobs of Slurm go on.

    Parameters
    ----------
    command : sequence of str
        Program and arguments, the same for all, run in the working folder of this process.
    launch : Launch
    folder : Path
        What a worker says is appended to `folder/logs/worker-K.log`. Made if need be; on a file system that all
        machines share.
    on_poll : callable, optional
        Called about every half second, and once when all have ended. What it raises ends the workers.

    Returns
    -------
    list of Ended
        How each worker ended, in their order.

    Raises
    ------
    UserError
        If an engine is not installed or not reached, or an option does not fit it.
    KeyboardInterrupt, SystemExit
        After Ctrl-C and SIGTERM (with code 143, unless the caller handles that signal itself), once the workers, which get
        SIGTERM, have ended or were killed after 4.5 s.
    """
    if os.name == "nt":
        raise UserError(
            "workers share their work by locks that Windows does not have: leave out --launch and --workers"
        )
    from tsimage.launch import local, ray, slurm

    engines: dict[str, Callable[..., AbstractContextManager[Callable[[int], Attempt]]]] = {
        "local": local.engine,
        "slurm": slurm.engine,
        "ray": ray.engine,
    }
    launch = resolve(launch)
    assert launch.workers is not None
    logs = [folder.absolute() / "logs" / f"worker-{worker}.log" for worker in range(launch.workers)]
    logs[0].parent.mkdir(parents=True, exist_ok=True)
    with terminable(), engines[launch.launch](command, launch, logs) as begin:
        return supervise(begin, logs, on_poll)
