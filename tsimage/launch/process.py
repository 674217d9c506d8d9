"""One start of a worker as a process: what it finds in its environment, where its output goes, how it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tsimage.launch import bound

GRACE_S = 4.5
"""How long a worker that was asked to end may take before it is killed."""
WORKER = "TSIMAGE_WORKER"
"""The environment variable that tells a process that it is a worker, and which."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "TSIMAGE_THREADS")
"""The environment variables that say how many threads a process starts."""


def is_worker() -> bool:
    """Tell whether this process was started as a worker, and so shares its work with others."""
    return WORKER in os.environ


def variables(worker: int, threads: int) -> dict[str, str]:
    """Return what a worker finds in its environment beside what is there.

    >>> variables(2, 4)["TSIMAGE_WORKER"], variables(2, 4)["OMP_NUM_THREADS"]
    ('2', '4')
    """
    return {WORKER: str(worker)} | dict.fromkeys(THREADS, str(threads))


def spawn(
    command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command that dies with this process, and append all that it says to a file.

    It has a process group of its own: Ctrl-C on a terminal reaches this process alone, which then ends the command.

    Parameters
    ----------
    command : sequence of str
    log : Path
    environment : mapping of str
        Added to the environment of this process.
    folder : Path, optional
        Where it runs; here unless given.
    """
    starter = [sys.executable, "-I", "-S", bound.__file__, str(os.getpid())]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*starter, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=folder,
            process_group=0,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it and the processes of its group when it has not after `GRACE_S`."""
    if process.poll() is not None:
        return
    try:
        process.terminate()
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that has not ended and the processes of its group."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path) -> int:
    """Run a command on the machine of the caller, and end it with whatever interrupts the caller.

    Parameters
    ----------
    command, log, environment, folder
        As for `spawn`.

    Returns
    -------
    int
        Its exit code, -N if signal N killed it.
    """
    return attend(spawn(command, log, environment, folder))


def attend(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process and return its exit code; end it with whatever interrupts the wait."""
    try:
        while process.poll() is None:  # unlike wait(), this sees an interruption by another thread
            time.sleep(0.1)
        return process.returncode
    finally:
        end(process)
