"""The commands of grids: parse, call, print."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from distill.keeping import Keeping
from distill.layout import LOCK
from tsimage.errors import UserError
from tsimage.launch import Launch

if TYPE_CHECKING:
    from rich.console import RenderableType

    from distill.grid import GridPlan
    from distill.progress import Progress


class FailedTrainingsError(UserError):
    """A grid that ended, but not with all its runs."""

    exit_code = 1


def grid(
    file: Annotated[Path, tyro.conf.Positional],
    launch: Annotated[Launch, tyro.conf.arg(name="")] = Launch(),  # noqa: B008  frozen
    keeping: Annotated[Keeping, tyro.conf.arg(name="")] = Keeping(),  # noqa: B008
    together: int = 1,
    out: Path | None = None,
    dry_run: bool = False,
    prepare: bool = False,
    retry_failed: bool = False,
    debug: bool = False,
) -> None:
    """Do all runs of a TOML file, or what is missing of them; trainings that several runs need are done once.

    Killed and started again it goes on from the last checkpoints. Several processes on the same grid share its work.

    Args:
        file: the grid: options of all runs in [run], lists of values to combine in [[grid]].
        launch: where it runs.
        keeping: how trainings are kept.
        together: train up to so many networks of one kind at once, in the same steps, to results that differ by rounding; meant
            for GPUs, where small networks are bound by launches (measured on a CPU only, where it loses a tenth).
        out: folder of the grid; by default below runs/, named by the file.
        dry_run: print the plan with an estimate of time, and train nothing.
        prepare: write the plan to the folder for processes of `distill work`, and train nothing.
        retry_failed: try trainings again that failed before.
        debug: show the traceback of an error.
    """
    from rich.console import Console
    from torch import get_num_threads, set_num_threads

    from distill import interrupts
    from distill.device import keep_freed_memory, out_of_memory
    from distill.grid import GridPlan, retry
    from distill.grid import prepare as write_plan
    from distill.gridfile import read_grid
    from distill.live import CountLines, LiveTable
    from distill.progress import Plain
    from distill.worker import Worker, check_together
    from tsimage.launch import resolve, start

    check_together(together)

    if launch.gpus == 0:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    cells = read_grid(file)
    folder = out or Path("runs") / cells.name
    console = Console()
    plain = Plain(sys.stdout)
    plan = GridPlan(cells.runs, folder)
    asked, launch = launch, resolve(launch)
    if plan.plans[0].device.type == "cpu":
        keep_freed_memory()
    with out_of_memory(), interrupts.handled(at_last=launch.is_alone):
        _tell_plan(plan, launch.workers or 1, plain)
        if dry_run:
            plain.say("Nothing was trained.")
            return
        gone = write_plan(plan)
        if gone:
            plain.say(f"{gone} runs that {folder} held are not in {file}: they stay there, but not in the table")
        if retry_failed:
            plain.say(f"{retry(folder)} trainings that failed are tried again")
        if prepare:
            plain.say(f"Prepared: distill work {folder} takes part, wherever the folder is seen.")
            return
        watch = LiveTable(console, folder) if console.is_terminal else CountLines(sys.stdout, folder)
        try:
            if launch.is_alone:
                set_num_threads(asked.threads or get_num_threads())
                Worker(plan, watch if isinstance(watch, LiveTable) else plain, keeping, watch.look, together).work()
            else:
                options = ["--checkpoint-every", keeping.checkpoint_every, "--track", keeping.track]
                options += ["--together", str(together)]
                command = [sys.executable, "-P", "-m", "distill", "work", str(folder), *options]
                for worker in start(command, launch, folder=folder, on_poll=watch.look):
                    if not worker.well:
                        plain.say(str(worker))
        except KeyboardInterrupt:
            watch.stop()
            plain.say("Broken off: the same command goes on from the last checkpoints.")
            raise
        finally:
            watch.stop()
    _tell_end(plan, cells.axes)


def work(
    folder: Annotated[Path, tyro.conf.Positional],
    keeping: Annotated[Keeping, tyro.conf.arg(name="")] = Keeping(),  # noqa: B008
    together: int = 1,
    debug: bool = False,
) -> None:
    """Take part in a grid that `distill grid` began, on any machine that sees its folder, until nothing is left to do.

    Args:
        folder: of the grid.
        keeping: how trainings are kept.
        together: as of `distill grid`.
        debug: show the traceback of an error.
    """
    from contextlib import chdir

    from distill import interrupts
    from distill.device import keep_freed_memory, out_of_memory
    from distill.grid import GridPlan, cells_of, home_of, join
    from distill.progress import Plain
    from distill.worker import Worker

    folder = folder.absolute()
    with chdir(home_of(folder)), out_of_memory(), interrupts.handled():
        plan = GridPlan(cells_of(folder), folder)
        join(plan)
        if plan.plans[0].device.type == "cpu":
            keep_freed_memory()
        Worker(plan, Plain(sys.stdout), keeping, together=together).work()


def status(folder: Annotated[Path, tyro.conf.Positional], json: bool = False, debug: bool = False) -> None:
    """Tell how far a grid or a run is: what is done, running, failed and waiting.

    Args:
        folder: of the grid or run.
        json: write everything as JSON.
        debug: show the traceback of an error.
    """
    import json as writer

    from rich.console import Console

    from distill.status import as_table
    from distill.status import status as status_of

    found = status_of(folder)
    if json:
        sys.stdout.write(writer.dumps(found.to_json(), indent=1) + "\n")
        return
    console = Console()
    if console.is_terminal:
        console.print(as_table(found))
    else:
        _write_plainly(as_table(found))


def _tell_plan(plan: GridPlan, workers: int, progress: Progress) -> None:
    from distill.device import describe, free_memory
    from distill.durations import in_words
    from distill.estimate import estimate_all

    first = plan.plans[0]
    students = sum(len(p.run.seeds) * len(p.splits) for p in plan.plans)
    jobs = list(plan.jobs.values())
    done = sum(job.training.is_done for job in jobs)
    progress.say(f"Grid of {len(plan.cells)} runs with {students} students in all; folder {plan.folder}")
    progress.say(
        f"{len(jobs)} trainings, since {plan.trainings_alone - len(jobs)} of {plan.trainings_alone} are shared; {done} are done"
    )
    roles = ("teacher", "scratch", "control", "student")
    counts = {role: sum(job.training.role == role for job in jobs) for role in roles}
    named = ("teachers", "students from scratch", "controls", "distilled students")
    progress.say(", ".join(f"{n} {name}" for name, n in zip(named, counts.values(), strict=True) if n))
    progress.say(f"On {describe(first.device)} in {first.precision}, {workers} worker{'s' if workers > 1 else ''}")
    missing = [(job.plan, job.training) for job in jobs if not job.training.is_done]
    if missing:
        times = [seconds for seconds in estimate_all(missing) if seconds == seconds]
        free_memory()  # of a device that workers share with this process
        unknown = f", and {len(missing) - len(times)} whose time is not estimated" if len(times) < len(missing) else ""
        total = in_words(sum(times) / workers)
        progress.say(f"About {total} for {len(times)} trainings{unknown}, from timing a few steps of each kind")


def _write_plainly(table: RenderableType) -> None:
    """Write a table with whole lines, however long."""
    import io

    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=10_000, color_system=None).print(table)
    sys.stdout.write("\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines()) + "\n")


def _tell_end(plan: GridPlan, axes: tuple[str, ...]) -> None:
    import json

    from distill.grid_table import as_table, grid_table
    from distill.status import status as status_of
    from tsimage import atomic
    from tsimage.locks import locked

    folder, content = plan.folder, plan.describe()
    frame = grid_table(folder, content=content)
    if "seeds" in frame:
        frame["seeds"] = [json.dumps(values) if isinstance(values, dict) else "" for values in frame["seeds"]]
    path, csv = folder / "table.csv", frame.to_csv(index=False, lineterminator="\n").encode()
    with locked(folder / LOCK):
        if not path.exists() or path.read_bytes() != csv:
            atomic.write_bytes(path, csv)
    _write_plainly(as_table(frame, axes))
    sys.stdout.write(f"\nAll models: {path}\n")
    found = status_of(folder, content)
    failed = [training for training in found.trainings if training.state == "failed"]
    unread = [run for run in found.runs if run.error]
    if failed:
        raise FailedTrainingsError(
            f"{len(failed)} trainings failed (first {failed[0].title}: {failed[0].error}): see distill status {folder}; "
            "--retry-failed tries them again"
        )
    if unread:
        raise FailedTrainingsError(
            f"{len(unread)} runs could not be evaluated (first {unread[0].name}: {unread[0].error}): see distill status {folder}"
        )
    missing = sum(run.state != "done" for run in found.runs)
    if missing:
        raise FailedTrainingsError(
            f"{missing} of {len(found.runs)} runs are not done, as their workers ended: see {folder / 'logs'}; the same command "
            "goes on"
        )
