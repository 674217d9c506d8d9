"""One run, one directory: teachers, the student from scratch, the distilled student, and the table.

The directory is the truth. `run.json` says what the run is; each training leaves `weights.safetensors`,
`history.jsonl` and, last, `training.json`; `result.json` is written last of all. A finished run is only read;
a killed one continues with the trainings that are done.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

import tsimage
from distill.config import Run, Teacher
from distill.device import choose_device, choose_precision, describe
from distill.evaluate import metrics
from distill.models import build_model
from distill.models.standardize import Standardize
from distill.progress import Silent, describe_epoch
from distill.splits import Split, certificate, split_windows
from distill.table import format_table, table
from distill.teachers import cached_logits
from distill.train import Samples, Schedule, Teaching, initialised, predict, train
from distill.views import SIGNAL, View
from tsimage import atomic
from tsimage.datasets import load
from tsimage.errors import UserError
from tsimage.windows import Windows


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a run: which model, on which seed, in which folder."""

    role: Literal["teacher", "scratch", "student"]
    network: str
    view: View
    seed: int
    folder: Path

    @property
    def title(self) -> str:
        label = {"teacher": "teacher", "scratch": "from scratch", "student": "distilled"}[self.role]
        return f"seed {self.seed}  {label} {self.network}:{self.view.name}"


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


class Plan:
    """A run bound to its windows: everything is checked, nothing is trained or written yet.

    Parameters
    ----------
    run : Run
    windows : Windows, optional
        In place of `run.data`; the read options that choose channels and classes still apply.
    folder : Path, optional
        The run directory; by default below `runs/`.

    Raises
    ------
    UserError
        For anything wrong in the data or impossible in the run.
    """

    def __init__(self, run: Run, windows: Windows | None = None, folder: Path | None = None) -> None:
        self.run = run
        self.windows = load(run.data if windows is None else windows, run.read)
        if len(self.windows.class_names) < 2:
            raise UserError(
                f"{self.windows.name}: there is only the class '{self.windows.class_names[0]}': nothing to learn"
            )
        self.fingerprint = self.windows.fingerprint()
        self.folder = folder or run.folder(self.fingerprint if windows is not None else "")
        self.device = choose_device(run.device)
        self.precision = choose_precision(run.precision, self.device)
        self.split: Split = split_windows(self.windows, run.evaluate)
        self.certificate = certificate(self.windows, self.split)
        if len(self.split.train) < 2:
            raise UserError(
                f"{self.windows.name}: {len(self.split.train)} window is left to train: at least 2 are needed"
            )
        self.teachers: tuple[Teacher, ...] = run.teachers()
        for teacher in self.teachers:
            imager = run.imager(teacher.view)
            if imager is not None:
                imager.check(self.windows.length, self.windows.units)
        self.schedule = Schedule(
            epochs=run.epochs,
            batch_size=run.batch_size,
            learning_rate=run.learning_rate,
            weight_decay=run.weight_decay,
        )

    def view(self, name: str) -> View:
        """Return a view of the windows of this run by name."""
        return View(imager=self.run.imager(name), units=self.windows.units)

    def teacher_training(self, teacher: Teacher, seed: int) -> Training:
        """Return the training of a teacher that a seed's student learns from."""
        seed = self.run.seeds[0] if self.run.shared_teachers else seed
        parent = "shared" if self.run.shared_teachers else f"seed-{seed}"
        return Training(
            role="teacher",
            network=teacher.network,
            view=self.view(teacher.view),
            seed=seed,
            folder=self.folder / parent / f"teacher-{teacher.network}-{teacher.view}",
        )

    def student_training(self, role: Literal["scratch", "student"], seed: int) -> Training:
        """Return the training of the student from scratch or distilled."""
        folder = self.folder / f"seed-{seed}" / f"{role}-{self.run.student}"
        return Training(role=role, network=self.run.student, view=self.view(SIGNAL), seed=seed, folder=folder)

    def trainings(self) -> list[Training]:
        """Return all trainings in order, each once."""
        ordered: dict[Path, Training] = {}
        for seed in self.run.seeds:
            for training in (
                *(self.teacher_training(teacher, seed) for teacher in self.teachers),
                self.student_training("scratch", seed),
                self.student_training("student", seed),
            ):
                ordered.setdefault(training.folder, training)
        return list(ordered.values())

    def samples(self, index: np.ndarray) -> Samples:
        """Return windows of this run on its device."""
        return Samples(
            values=torch.from_numpy(self.windows.values[index]).to(self.device),
            labels=torch.from_numpy(self.windows.labels[index]).to(self.device),
            ids=self.windows.ids[index],
        )

    def build(self, training: Training, samples: Samples) -> nn.Module:
        """Build the network of a training; signals are standardised with the training windows' mean and deviation.

        Scratch and distilled student of one seed start from the same weights.
        """
        make = partial(
            build_model,
            training.network,
            dims=training.view.dims,
            in_channels=training.view.channels,
            classes=len(self.windows.class_names),
        )
        role = training.title if training.role == "teacher" else "student"
        network = initialised(make, training.seed, role)
        if training.view.dims == 1:
            network = nn.Sequential(Standardize.fit(samples.values), network)
        return network.to(self.device)

    def describe(self) -> dict[str, Any]:
        """Return the content of `run.json`."""
        return {
            "run": self.run.to_json(),
            "data": {
                "name": self.windows.name,
                "summary": str(self.windows),
                "windows_sha256": self.fingerprint,
                "cut": None if self.windows.cut_report is None else str(self.windows.cut_report),
            },
            "teachers": {t.name: t.weight for t in self.teachers},
            "formula": self.run.formula(),
            "split": self.certificate,
            "environment": {
                "tsimage": tsimage.__version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "device": describe(self.device),
                "precision": self.precision,
            },
        }


def run(
    run: Run, windows: Windows | None = None, folder: str | Path | None = None, progress: Silent | None = None
) -> Result:
    """Do a run, or what is missing of it, and return its result.

    Parameters
    ----------
    run : Run
    windows : Windows, optional
        In place of `run.data`.
    folder : str or Path, optional
        The run directory; by default below `runs/`, named by the run and a hash of all its options.
    progress : Silent, Plain or Terminal, optional
        Who is told; by default nobody.

    Returns
    -------
    Result

    Raises
    ------
    UserError
        For anything wrong in the data, an impossible run, or a directory that holds another run.
    """
    return execute(Plan(run, windows, None if folder is None else Path(folder)), progress or Silent())


def execute(plan: Plan, progress: Silent) -> Result:
    """Train what is missing of a plan, evaluate everything at the end, and write the result."""
    result_path = plan.folder / "result.json"
    _claim(plan)
    if result_path.exists():
        return Result(folder=plan.folder, content=json.loads(result_path.read_text()), was_finished=True)
    samples = plan.samples(plan.split.train)
    trainings = plan.trainings()
    for number, training in enumerate(trainings, start=1):
        title = f"[{number}/{len(trainings)}] {training.title}"
        if (training.folder / "training.json").exists():
            progress.say(f"{title}  is done already")
            continue
        try:
            _train(plan, training, samples, title, progress)
        finally:
            progress.stop()
    content = _evaluate(plan, samples)
    atomic.write_json(result_path, content)
    return Result(folder=plan.folder, content=content, was_finished=False)


def _claim(plan: Plan) -> None:
    """Write `run.json`, or see that the directory holds this very run."""
    path = plan.folder / "run.json"
    now = plan.describe()
    for left_over in plan.folder.rglob(".*.partial"):  # of a process that was killed while it wrote
        left_over.unlink()
    if path.exists():
        before = json.loads(path.read_text())
        for what, then, wanted in (
            ("options", before["run"], now["run"]),
            ("data", before["data"]["windows_sha256"], now["data"]["windows_sha256"]),
            ("split", before["split"]["parts"], now["split"]["parts"]),
        ):
            if then != wanted:
                names = sorted(k for k in wanted if wanted[k] != then.get(k)) if isinstance(wanted, dict) else []
                differ = f" ({', '.join(names)})" if names else ""
                raise UserError(
                    f"'{plan.folder}' holds another run, with other {what}{differ}: choose another folder or remove it"
                )
        return
    if plan.folder.exists() and any(plan.folder.iterdir()):
        raise UserError(f"'{plan.folder}' is not empty and holds no run: choose another folder")
    plan.folder.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, now)


def _train(plan: Plan, training: Training, samples: Samples, title: str, progress: Silent) -> None:
    began = time.monotonic()
    model = plan.build(training, samples)
    teaching = None
    if training.role == "student":
        teaching = Teaching(
            logits=[_teacher_logits(plan, teacher, training.seed, samples) for teacher in plan.teachers],
            weights=[teacher.weight for teacher in plan.teachers],
            lambda_=plan.run.lambda_,
            temperature=plan.run.temperature,
        )
    training.folder.mkdir(parents=True, exist_ok=True)
    progress.begin(title, plan.schedule.epochs)
    row: dict[str, float] = {}
    with (training.folder / "history.jsonl").open("w") as history:

        def on_epoch(epoch: dict[str, float]) -> None:
            row.update(epoch)
            history.write(json.dumps(epoch) + "\n")
            history.flush()
            progress.epoch(epoch)

        train(
            model,
            training.view,
            samples,
            plan.schedule,
            seed=training.seed,
            teaching=teaching,
            precision=plan.precision,
            on_epoch=on_epoch,
        )
    weights = save_tensors({k: v.contiguous() for k, v in model.state_dict().items()})
    atomic.write_bytes(training.folder / "weights.safetensors", weights)
    seconds = time.monotonic() - began
    record = {
        "role": training.role,
        "network": training.network,
        "view": training.view.name,
        "seed": training.seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "seconds": round(seconds, 2),
        "last_epoch": row,
    }
    atomic.write_json(training.folder / "training.json", record)
    progress.end(f"{title}  {plan.schedule.epochs} epochs in {seconds:.1f} s  {describe_epoch(row)}")


def _trained(plan: Plan, training: Training, samples: Samples) -> tuple[nn.Module, dict[str, Any]]:
    """Load a finished training, and see that its weights are the ones that were written."""
    record = json.loads((training.folder / "training.json").read_text())
    path = training.folder / "weights.safetensors"
    content = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(content).hexdigest() != record["weights_sha256"]:
        raise UserError(
            f"'{path}' is missing or not as it was written (its sha256 differs): remove the folder "
            f"'{training.folder}' and run again to train it anew"
        )
    model = plan.build(training, samples)
    model.load_state_dict(load_tensors(content))
    return model.requires_grad_(False).eval(), record


def _teacher_logits(plan: Plan, teacher: Teacher, seed: int, samples: Samples) -> torch.Tensor:
    training = plan.teacher_training(teacher, seed)
    model, record = _trained(plan, training, samples)
    path = training.folder / "logits.safetensors"
    logits = cached_logits(path, model, record["weights_sha256"], training.view, samples.values, samples.ids)
    if not bool(torch.isfinite(logits).all()):
        window = samples.ids[int(torch.argmin(torch.isfinite(logits).all(dim=1).int()))]
        raise UserError(
            f"teacher {teacher.name}, seed {seed}: logits of window '{window}' are not finite: train it anew"
        )
    return logits.to(samples.values.device)


def _evaluate(plan: Plan, samples: Samples) -> dict[str, Any]:
    """Look at the evaluation part for the first time, with every model of the run."""
    held_out = plan.samples(plan.split.evaluation)
    labels = plan.windows.labels[plan.split.evaluation]
    names = np.array(plan.windows.class_names)
    predictions = {"window": plan.windows.ids[plan.split.evaluation], "label": names[labels]}
    models: dict[tuple[str, str, str], dict[str, Any]] = {}
    weights = {(t.network, t.view): t.weight for t in plan.teachers}
    for training in plan.trainings():
        model, record = _trained(plan, training, samples)
        predicted = predict(model, training.view, held_out.values).argmax(1).numpy()
        key = (training.role, training.network, training.view.name)
        entry = models.setdefault(
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
        entry["seeds"][str(training.seed)] = metrics(labels, predicted)
        predictions[f"{training.role} {training.network}:{training.view.name} seed {training.seed}"] = names[predicted]
    csv = pd.DataFrame(predictions).to_csv(index=False, lineterminator="\n")
    atomic.write_bytes(plan.folder / "predictions.csv", csv.encode())
    order = {"teacher": 0, "scratch": 1, "student": 2}
    return {
        "data": plan.windows.name,
        "part": plan.split.part,
        "windows": {"train": len(plan.split.train), plan.split.part: len(plan.split.evaluation)},
        "formula": plan.run.formula(),
        "split": {"basis": plan.split.basis},
        "shared_teachers": plan.run.shared_teachers,
        "models": sorted(models.values(), key=lambda m: order[m["role"]]),
    }


def estimate(plan: Plan, steps: int = 3) -> list[tuple[Training, float]]:
    """Return each training that is missing with the seconds it will take, from timing a few real steps here."""
    samples = plan.samples(plan.split.train)
    per_epoch = -(-len(samples.ids) // plan.schedule.batch_size)
    seconds: dict[tuple[str, str], float] = {}
    missing = [t for t in plan.trainings() if not (t.folder / "training.json").exists()]
    for training in missing:
        key = (training.network, training.view.name)
        if key in seconds:
            continue
        size = min(len(samples.ids), plan.schedule.batch_size)
        few = Samples(values=samples.values[:size], labels=samples.labels[:size], ids=samples.ids[:size])
        times: list[float] = []
        train(
            plan.build(training, samples),
            training.view,
            few,
            Schedule(epochs=1 + steps, batch_size=size, learning_rate=plan.schedule.learning_rate),
            seed=training.seed,
            precision=plan.precision,
            on_epoch=lambda _, times=times: times.append(time.monotonic()),  # type: ignore[misc]
        )
        seconds[key] = float(np.median(np.diff(times)))
    return [(t, seconds[t.network, t.view.name] * per_epoch * plan.schedule.epochs) for t in missing]
