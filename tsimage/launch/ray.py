"""Workers as tasks of a Ray cluster, each a command in a process that dies with its task."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsimage.errors import UserError
from tsimage.launch.extras import extra, not_shared
from tsimage.launch.process import run, variables
from tsimage.launch.supervision import Outcome, outcome

if TYPE_CHECKING:
    from types import ModuleType

    from tsimage.launch import Launch


class RemoteTask:
    """A worker as a task of Ray."""

    def __init__(self, ray: ModuleType, reference: Any, folder: Path) -> None:
        self.ray, self.reference, self.folder = ray, reference, folder

    def poll(self) -> Outcome | None:
        if not self.ray.wait([self.reference], timeout=0)[0]:
            return None
        known = self.ray.exceptions
        try:
            return outcome(self.ray.get(self.reference))
        except known.TaskCancelledError:
            return Outcome(killed_by="being cancelled", again=False)
        except known.RayTaskError as error:
            if isinstance(error.cause, OSError):
                raise not_shared(self.folder) from error
            raise
        except known.NodeDiedError:
            return Outcome(killed_by="the loss of its node")
        except known.OutOfMemoryError:
            return Outcome(killed_by="Ray, for want of memory")
        except known.WorkerCrashedError:
            return Outcome(killed_by="the end of its Ray process")
        except known.RayError as error:
            return Outcome(killed_by=f"Ray ({type(error).__name__})")

    def stop(self) -> None:
        with suppress(self.ray.exceptions.RayError):
            self.ray.cancel(self.reference)

    def kill(self) -> None:
        with suppress(self.ray.exceptions.RayError):
            self.ray.cancel(self.reference, force=True)


@contextmanager
def engine(command: Sequence[str], launch: Launch, logs: Sequence[Path]) -> Iterator[Callable[[int], RemoteTask]]:
    """Give what starts the worker of a number on a cluster: at an address, in `RAY_ADDRESS`, or begun on this machine.

    The program of the cluster's machines must be able to import this package.
    """
    ray = extra("ray", "ray")
    joins = not ray.is_initialized()
    if joins:
        _join(ray, launch.ray)
    try:
        threads = launch.threads or 1
        # Starting again is left to whoever counts it, for every engine alike.
        remote = ray.remote(
            num_cpus=threads, num_gpus=launch.gpus or 0, max_retries=0, max_calls=1, scheduling_strategy="SPREAD"
        )(run)
        here = Path.cwd()

        def begin(worker: int) -> RemoteTask:
            reference = remote.remote(tuple(command), logs[worker], variables(worker, threads), here)
            return RemoteTask(ray, reference, logs[worker].parent)

        yield begin
    finally:
        if joins:
            ray.shutdown()


def _join(ray: ModuleType, address: str | None) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"at '{address}'" if address else "at RAY_ADDRESS or on this machine"
        raise UserError(
            f"launch ray reaches no Ray cluster {where}: give the address that ray start --head tells, as --ray HOST:PORT"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray sets one that ends this process without ending its workers
