"""One run, one directory: teachers, the student from scratch, the distilled student, and the table.

The directory is the truth. `run.json` says what the run is; each training leaves `weights.safetensors`,
`history.jsonl` and, last, `training.json`; `result.json` is written last of all. A finished run is only read;
a killed one continues with the trainings that are done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save as save_arrays
from safetensors.torch import save as save_tensors

from distill.assembly import teaching_of
from distill.config import RIDGES, Run
from distill.evaluate import metrics
from distill.finished import cached_teacher, live_teacher, predictions, trained_network
from distill.plan import Plan, Training
from distill.progress import Progress, describe_epoch
from distill.rocket import RidgeTeacher
from distill.selection import SCORE, Candidate, best, candidates, parse_select, share, with_values
from distill.splits import absent_classes, groups_of
from distill.table import format_table, table
from distill.train import DivergenceError, Samples, random_seed, train
from tsimage import atomic
from tsimage.datasets import load
from tsimage.errors import UserError
from tsimage.store import REPORT
from tsimage.windows import Windows

try:
    import fcntl
except ImportError:  # Windows: two processes in one run directory are not kept apart there
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished run: its directory and the content of its `result.json`."""

    folder: Path
    content: dict[str, Any]
    was_finished: bool

    def table(self, metric: str = "accuracy") -> pd.DataFrame:
        """Return one row per model; see `distill.table.table`."""
        return table(self.content, metric)

    def __str__(self) -> str:
        return format_table(self.content)


def run(
    run: Run, windows: Windows | None = None, folder: str | Path | None = None, progress: Progress | None = None
) -> Result:
    """Do a run, or what is missing of it, and return its result.

    Parameters
    ----------
    run : Run
    windows : Windows, optional
        In place of `run.data`; the read options that choose channels and classes still apply.
    folder : str or Path, optional
        The run directory; by default below `runs/`, named by the run and a hash of all its options.
    progress : Progress, Plain or Terminal, optional
        Who is told; by default nobody.

    Returns
    -------
    Result

    Raises
    ------
    UserError
        For anything wrong in the data, an impossible run, or a directory that holds another run.
    """
    folder = None if folder is None else Path(folder)
    if windows is None:
        windows = load(run.data, run.read)
    else:
        windows = load(windows, run.read)
        run = replace(run, data=windows.name)
        folder = folder or run.folder(windows.fingerprint())
    return execute(Plan(run, windows, folder), progress or Progress())


def execute(plan: Plan, progress: Progress) -> Result:
    """Do what is missing of a plan: choose what is to be selected, train, evaluate at the end, write the result."""
    if not plan.run.select:
        return _execute(plan, progress)
    check_folder(plan)
    tried: list[tuple[Candidate, float | None]] = []
    first: Plan | None = None
    everyone = candidates(plan.run)
    for number, candidate in enumerate(everyone, start=1):
        progress.say(f"Candidate {number} of {len(everyone)}: {candidate.name}, on validation subjects")
        trial = Plan(candidate.run, plan.windows, plan.folder / "select" / str(number))
        donor = trial.folder if first is None else first.folder
        begin = partial(share, candidate, trial.folder, everyone[0], donor)
        first = first or trial
        try:
            accuracy = float(_execute(trial, progress, begin=begin).table()["mean"].iloc[-1])
        except DivergenceError as error:
            progress.say(f"{candidate.name}: failed, {error}")
            tried.append((candidate, None))
            continue
        progress.say(f"{candidate.name}: accuracy {accuracy:.2f} on validation subjects")
        tried.append((candidate, accuracy))
    chosen = best(tried)
    progress.say(f"Chosen: {chosen.name}. Now on the whole training part; the test part is opened once.")
    final = Plan(with_values(plan.run, chosen.values), plan.windows, plan.folder, asked=plan.run)
    return _execute(final, progress, tried=[c.values | {SCORE: accuracy} for c, accuracy in tried])


def _execute(
    plan: Plan,
    progress: Progress,
    *,
    begin: Callable[[], None] | None = None,
    tried: list[dict[str, Any]] | None = None,
) -> Result:
    """Train what is missing, evaluate everything at the end, and write the result; `begin` is called in the folder."""
    result_path = plan.folder / "result.json"
    check_folder(plan)
    if result_path.exists():
        made_by = atomic.read_json(plan.folder / "run.json")["environment"].get("code_sha256")
        if made_by != plan.environment()["code_sha256"]:
            progress.say("This result was made by another version of the code.")
        return Result(folder=plan.folder, content=atomic.read_json(result_path), was_finished=True)
    plan.folder.mkdir(parents=True, exist_ok=True)
    with _alone(plan.folder):
        for left_over in plan.folder.rglob(".*.partial"):  # of a process that was killed while it wrote
            if left_over.is_dir():  # a training that was being copied
                shutil.rmtree(left_over)
            else:
                left_over.unlink()
        if not (plan.folder / "run.json").exists():
            atomic.write_json(plan.folder / "run.json", plan.describe())
        if begin is not None:
            begin()
        report = plan.windows.read_report
        if report is not None and report.faults and not (plan.folder / REPORT).exists():
            report.write(plan.folder / REPORT)
        trainings = plan.trainings()
        split = samples = None
        for number, training in enumerate(trainings, start=1):
            title = f"[{number}/{len(trainings)}] {training.title}"
            if training.is_done:
                progress.say(f"{title}  is done already")
                continue
            if samples is None or split is not training.split:
                split, samples = training.split, plan.samples(training.split.train)
            if training.network in RIDGES:
                _fit_ridge(plan, training, title, progress)
                continue
            try:
                _train(plan, training, samples, title, progress)
            finally:
                progress.stop()
        content = _evaluate(plan) | {"candidates": tried}
        atomic.write_json(result_path, content)
    return Result(folder=plan.folder, content=content, was_finished=False)


def check_folder(plan: Plan) -> None:
    """See that the run directory is new, or holds this very run; write nothing.

    Raises
    ------
    UserError
        If it holds another run, a run half done in another environment, or something else.
    """
    path = plan.folder / "run.json"
    mend = "choose another folder or remove it"
    if plan.folder.exists() and not plan.folder.is_dir():
        raise UserError(f"'{plan.folder}' is a file: choose a folder")
    if not path.exists():
        if plan.folder.exists() and any(not _is_ours(entry) for entry in plan.folder.iterdir()):
            raise UserError(f"'{plan.folder}' is not empty and holds no run: choose another folder")
        return
    before, now = atomic.read_json(path), plan.describe()
    chosen = set(parse_select(plan.run.select))  # what the folder holds of these was chosen
    try:
        compared = (
            ("options", _without(before["run"], chosen), _without(now["run"], chosen)),
            ("data", before["data"]["windows_sha256"], now["data"]["windows_sha256"]),
            ("split", before["split"]["parts"], now["split"]["parts"]),
            ("teachers", before["taken"], now["taken"]),
        )
        environment = before["environment"]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' describes no run of distill: {mend}") from error
    for what, then, wanted in compared:
        if then != wanted:
            names = sorted(k for k in wanted if wanted[k] != then.get(k)) if isinstance(wanted, dict) else []
            differ = f" ({', '.join(names)})" if names else ""
            raise UserError(f"'{plan.folder}' holds another run, with other {what}{differ}: {mend}")
    if (plan.folder / "result.json").exists():
        return
    for key in ("code_sha256", "torch", "device_type", "precision"):
        if environment.get(key) != now["environment"][key]:
            raise UserError(
                f"'{plan.folder}' holds this run half done with {key} {environment.get(key)}, here it is "
                f"{now['environment'][key]}: one table must not mix them; {mend}"
            )


def _without(options: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


def _is_ours(entry: Path) -> bool:
    if entry.name == "select":  # the candidates of a selection that was broken off
        return (entry / "1" / "run.json").exists()
    return entry.name == LOCK or (entry.name.startswith(".run.json.") and entry.suffix == ".partial")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second process out of a run directory; a killed process keeps nobody out."""
    with (folder / LOCK).open("a") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    f"another process is at work in '{folder}': wait for it or choose another folder"
                ) from error
        yield


def _fit_ridge(plan: Plan, training: Training, title: str, progress: Progress) -> None:
    """Fit a random-convolution teacher, with logits that are cross-fitted by subject."""
    began = time.monotonic()
    index = training.split.train
    teacher = RidgeTeacher(training.network, seed=training.seed)
    _, groups = groups_of(plan.windows, index)
    teacher.fit(plan.windows.values[index], plan.windows.labels[index], groups)
    arrays, metadata = teacher.state()
    right = float((teacher.training_logits.argmax(1) == plan.windows.labels[index]).mean())
    size = arrays["weight"].size + arrays["bias"].size
    seconds = time.monotonic() - began
    _keep(plan, training, save_arrays(arrays, metadata), size, seconds, {"cross_fitted_accuracy": right})
    progress.say(f"{title}  in {seconds:.1f} s  accuracy on subjects left out {100 * right:.1f} %")


def _keep(
    plan: Plan, training: Training, weights: bytes, parameters: int, seconds: float, more: dict[str, Any]
) -> None:
    """Write the weights of a training and, last, its record."""
    training.folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(training.folder / "weights.safetensors", weights)
    record = {
        "role": training.role,
        "network": training.network,
        "view": training.view.name,
        "seed": training.seed,
        "parameters": parameters,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "seconds": round(seconds, 2),
        **more,
        "environment": plan.environment(),
    }
    atomic.write_json(training.folder / "training.json", record)


def _train(plan: Plan, training: Training, samples: Samples, title: str, progress: Progress) -> None:
    began = time.monotonic()
    model, seed = plan.build(training, samples), training.seed
    if plan.run.warm_start and training.role in ("control", "student"):
        scratch = plan.student_training("scratch", training.split, training.seed)
        model.load_state_dict(trained_network(plan, scratch, samples)[0].state_dict())
        seed = random_seed(seed, "warm start")  # another order of the batches than that which led there
    teaching, stopping, schedule = None, None, plan.schedule
    if training.split.stopping is not None:
        stopping = plan.samples(training.split.stopping)
    if plan.run.protocol == "lab":
        stopping = plan.samples(training.split.evaluation)
        schedule = replace(schedule, patience=schedule.epochs)  # never stops, keeps the best
    if training.role == "student":
        speak = live_teacher if plan.run.is_live else cached_teacher
        teaching = teaching_of(plan.run, [speak(plan, teacher, training, samples) for teacher in plan.teachers])
    training.folder.mkdir(parents=True, exist_ok=True)
    progress.begin(title, plan.schedule.epochs)
    row: dict[str, float] = {}
    with (training.folder / "history.jsonl").open("w", encoding="utf-8") as history:

        def on_epoch(epoch: dict[str, float]) -> None:
            row.clear()
            row.update(epoch)
            history.write(json.dumps(epoch) + "\n")
            history.flush()
            progress.epoch(epoch)

        kept = train(
            model,
            training.view,
            samples,
            schedule,
            seed=seed,
            teaching=teaching,
            validation=stopping,
            augmenter=plan.augmenter(samples, seed),
            precision=plan.precision,
            on_epoch=on_epoch,
        )
    weights = save_tensors({k: v.contiguous() for k, v in model.state_dict().items()})
    seconds = time.monotonic() - began
    parameters = sum(p.numel() for p in model.parameters())
    _keep(plan, training, weights, parameters, seconds, {"kept_epoch": kept, "last_epoch": row})
    epochs = f"{row['epoch']:.0f} epochs" + (f", kept {kept}," if kept != row["epoch"] else "")
    progress.end(f"{title}  {epochs} in {seconds:.1f} s  {describe_epoch(row)}")


def _evaluate(plan: Plan) -> dict[str, Any]:
    """Look at the evaluation part for the first time, with every model of the run; folds are put together."""
    fixed = plan.run.weighing == "fixed"
    weights = {(t.network, t.view): t.weight if fixed else None for t in plan.teachers}
    entries: dict[tuple[str, str, str], dict[str, Any]] = {}
    predicted: dict[tuple[tuple[str, str, str], int], list[np.ndarray]] = {}
    split = samples = held_out = None
    for training in plan.trainings():
        if samples is None or held_out is None or split is not training.split:
            split = training.split
            samples, held_out = plan.samples(split.train), plan.samples(split.evaluation)
        made, record = predictions(plan, training, samples, held_out)
        key = (training.role, training.network, training.view.name)
        entries.setdefault(
            key,
            {
                "role": training.role,
                "network": training.network,
                "view": training.view.name,
                "weight": weights.get(key[1:]) if training.role == "teacher" else None,
                "parameters": record["parameters"],
                "seeds": {},
            },
        )
        predicted.setdefault((key, training.seed), []).append(made)
    index = np.concatenate([split.evaluation for split in plan.splits])
    labels, subjects = plan.windows.labels[index], plan.windows.subjects[index]
    names = np.array(plan.windows.class_names)
    columns = {"window": plan.windows.ids[index], "subject": subjects}
    if plan.run.folds:
        columns["fold"] = np.concatenate([np.full(len(s.evaluation), s.fold) for s in plan.splits])
    columns["label"] = names[labels]
    for (which, seed), parts in predicted.items():
        made = np.concatenate(parts)
        entries[which]["seeds"][str(seed)] = metrics(labels, made, subjects)
        columns["{} {}:{} seed {}".format(*which, seed)] = names[made]
    csv = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
    atomic.write_bytes(plan.folder / "predictions.csv", csv.encode())
    order = {"teacher": 0, "scratch": 1, "control": 2, "student": 3}
    part = plan.run.evaluate
    trained = [len(split.train) for split in plan.splits]
    return {
        "data": plan.windows.name,
        "part": part,
        "windows": {"train": max(trained), part: len(index)},
        "folds": len(plan.splits) if plan.run.folds else None,
        "subjects": len(set(subjects.tolist()) - {""}),
        "formula": plan.run.formula(),
        "protocol": plan.run.protocol,
        "patience": plan.run.patience,
        "ema": plan.run.ema,
        "split": {"basis": plan.splits[0].basis, "absent_classes": absent_classes(plan.windows, index)},
        "shared_teachers": plan.run.shared_teachers,
        "models": sorted(entries.values(), key=lambda m: order[m["role"]]),
    }
