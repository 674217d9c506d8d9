"""Workers as jobs of Slurm, through submitit, which starts a job again that Slurm takes from its node."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from tsimage.errors import UserError, unknown
from tsimage.launch.extras import extra, not_shared
from tsimage.launch.process import attend, spawn, variables
from tsimage.launch.supervision import Outcome, outcome

if TYPE_CHECKING:
    from tsimage.launch import Launch

LATE_S = 15.0
"""How much later than the end of a job its result may be seen on a file system that machines share."""
_GENERIC = ("name", "timeout_min", "mem_gb")
_OURS = {
    "nodes": "--workers",
    "tasks_per_node": "--workers",
    "ntasks_per_node": "--workers",
    "cpus_per_task": "--threads",
    "gpus_per_node": "--gpus",
}


def parameters(texts: Sequence[str]) -> dict[str, int | bool | str]:
    """Read parameters written NAME=VALUE.

    Raises
    ------
    UserError
        If one is not written so, or says what another option says.

    Examples
    --------
    >>> parameters(["partition=gpu", "time=90", "exclusive=true"])
    {'partition': 'gpu', 'time': 90, 'exclusive': True}
    """
    read: dict[str, int | bool | str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UserError(f"slurm '{text}' is not allowed: write NAME=VALUE, as in partition=gpu or time=90")
        if name in _OURS:
            raise UserError(f"slurm '{text}' is not allowed: {_OURS[name]} says that")
        if value.isdecimal():
            read[name] = int(value)
        else:
            read[name] = value == "true" if value in ("true", "false") else value
    return read


class Task:
    """The command of a worker as submitit takes it: a callable that can be pickled and tells how it goes on elsewhere."""

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str], folder: Path) -> None:
        self.given = command, log, environment, folder
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._pass_on)  # which submitit would ignore
        self.process = spawn(*self.given)
        return attend(self.process)

    def checkpoint(self) -> Any:
        """Ask the command to end and return what is to be done in the next start: the same, as it goes on by itself.

        submitit calls it from the handler of a signal, and then leaves, which waits for the command.
        """
        self._pass_on(signal.SIGTERM, None)
        return extra("submitit", "slurm").helpers.DelayedSubmission(Task(*self.given))

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self.process is not None:
            self.process.terminate()


class Job:
    """A worker as a job."""

    def __init__(self, job: Any, folder: Path) -> None:
        self.job, self.folder = job, folder
        self.gone: float | None = None
        self.stopped = False

    def poll(self) -> Outcome | None:
        if not self.job.done():
            return None
        if not self.job.paths.result_pickle.exists():
            self.gone = self.gone or time.monotonic()
            if not self.stopped and time.monotonic() - self.gone < LATE_S:
                return None
            state = str(self.job.state)
            return Outcome(killed_by=f"Slurm ({state})", again=not state.startswith("CANCELLED"))
        error = self.job.exception()
        if error is None:
            ended = outcome(self.job.result())
            return replace(ended, again=ended.again and not str(self.job.state).startswith("CANCELLED"))
        if "FileNotFoundError" in str(error):
            raise not_shared(self.folder) from error
        last = str(error).strip().splitlines()[-1:] or ["no reason was given"]
        return Outcome(killed_by=f"Slurm ({last[0]})", again=False)

    def stop(self) -> None:
        self.stopped = True
        self.job.cancel(check=False)

    def kill(self) -> None:
        if not self.job.done():
            self.job.cancel(check=False)


@contextmanager
def engine(command: Sequence[str], launch: Launch, logs: Sequence[Path]) -> Iterator[Callable[[int], Job]]:
    """Give what submits the worker of a number as a job."""
    given = parameters(launch.slurm)
    cluster = given.pop("cluster", "slurm")
    if cluster not in ("slurm", "local"):
        raise unknown("slurm cluster", str(cluster), ["slurm", "local"])
    submitit = extra("submitit", "slurm")
    known = {*_GENERIC, *submitit.SlurmExecutor._valid_parameters()} - set(_OURS)
    for name in given:
        if name not in known:
            raise unknown("slurm parameter", name, sorted(known))
    try:
        executor = submitit.AutoExecutor(logs[0].parent / "submitit", cluster=cluster)
    except RuntimeError as error:
        raise UserError(
            "launch slurm finds no Slurm on this machine (there is no srun): start it where jobs are submitted, or try it out "
            "here with --slurm cluster=local"
        ) from error
    threads = launch.threads or 1
    settings = {name if name in _GENERIC else f"slurm_{name}": value for name, value in given.items()}
    executor.update_parameters(**{"name": "tsimage", **settings}, cpus_per_task=threads)
    if launch.gpus:
        executor.update_parameters(gpus_per_node=int(launch.gpus))
    here = Path.cwd()

    def begin(worker: int) -> Job:
        task = Task(tuple(command), logs[worker], variables(worker, threads), here)
        return Job(executor.submit(task), logs[0].parent)

    yield begin
