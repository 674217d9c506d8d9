"""One image store painted by several workers: copies of one `tsimage convert`, which share its chunks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tsimage.conversion import progress
from tsimage.errors import UserError
from tsimage.launch import Ended, Launch, start
from tsimage.store import ImageStore, is_store, open_store
from tsimage.unfinished import silent

_TAIL_BYTES = 4096


def convert_with_workers(
    command: Sequence[str],
    output: Path,
    launch: Launch,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = silent,
) -> ImageStore:
    """Let workers run a command that converts to `output`, and return the store once they have ended.

    What they say is in `.NAME.workers/logs` beside the output, which stays where something went wrong.

    Parameters
    ----------
    command : sequence of str
        The conversion; with the environment of a worker it shares its work (see `tsimage.convert`).
    output : Path
    launch : Launch
    on_progress : callable, optional
        Receives the number of windows painted, by all workers, and of all.
    say : callable, optional
        Receives sentences: how many workers there are, which of them did not end well.

    Returns
    -------
    ImageStore

    Raises
    ------
    UserError
        If no worker finished the store: what the first of them said at last.
    """
    if launch.gpus:
        raise UserError(f"gpus {launch.gpus:g} has no meaning here, as images are painted on CPUs: leave it out")
    folder = output.with_name(f".{output.name}.workers")
    seen = (0, 0)

    def on_poll() -> None:
        nonlocal seen
        now = progress(output)
        if now is not None and now != seen and on_progress is not None:
            seen = now
            on_progress(*now)

    say(f"{launch.workers} workers ({launch.launch}) paint '{output}'; what they say is in '{folder}'")
    ended = start(command, replace(launch, gpus=0), folder=folder, on_poll=on_poll)
    failed = [worker for worker in ended if not worker.well]
    if len(failed) == len(ended) or not is_store(output):
        raise UserError(_last_words(failed[0]) if failed else f"no worker made '{output}': see '{folder}'")
    for worker in failed:
        say(f"{worker}; the others did its part")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return open_store(output)


def _last_words(worker: Ended) -> str:
    """Return how a worker ended, and the last line that it said."""
    if not worker.log.exists():
        return f"{worker}; it said nothing"
    with worker.log.open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - _TAIL_BYTES))
        lines = log.read().decode(errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
    return f"{worker}; it said: {said}"
