"""A run bound to its windows: what will be trained, from what, on what; nothing is trained or written here."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from distill.assembly import augmenter_of, network_of, schedule_of, teaching_of
from distill.augment import Augmenter
from distill.batching import Samples
from distill.certificate import certificate, ids_hash
from distill.config import Run
from distill.device import choose_device, choose_precision
from distill.environment import environment_of
from distill.selection import with_values
from distill.sources import check_apart, check_source, read_source
from distill.splits import Split, cross_validation, split_windows, with_stopping
from distill.teacher_names import RIDGES, Teacher
from distill.teaching import live
from distill.views import SIGNAL, View
from tsimage.errors import UserError
from tsimage.windows import Windows

Role = Literal["teacher", "scratch", "control", "student"]
"""A control goes on from its from-scratch weights as a student with a warm start does, but without teachers."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a run: which model, on which seed, in which folder."""

    role: Role
    network: str
    view: View
    split: Split
    seed: int
    folder: Path
    apart: str = ""
    """As of a `Teacher`."""

    @property
    def model(self) -> str:
        """Network and view, as no other model of its role is called in its run."""
        return f"{self.network}:{self.view.name}{self.apart}"

    @property
    def name(self) -> str:
        """What it is, whatever the fold."""
        label = {
            "teacher": "teacher",
            "scratch": "from scratch",
            "control": "from scratch, trained on",
            "student": "distilled",
        }[self.role]
        return f"seed {self.seed}  {label} {self.model}"

    @property
    def title(self) -> str:
        return f"without {self.split.fold}  {self.name}" if self.split.fold else self.name

    @property
    def is_done(self) -> bool:
        """Whether its last file is written."""
        return (self.folder / "training.json").exists()


class Plan:
    """A run bound to its windows: everything is checked, nothing is trained or written yet.

    Parameters
    ----------
    run : Run
    windows : Windows
        As `tsimage.load(run.data, run.read)` returns them.
    folder : Path, optional
        The run directory; by default below `runs/`.
    asked : Run, optional
        What was asked for, where values of it were to be chosen and `run` has those.
    splits : tuple of Split, optional
        In place of those that the run would make; whoever decides when training stops is taken out of them already.
    chosen : mapping of str to dict, optional
        The values that were chosen in each fold, by its name; `run` is what was asked for.
    pool : Path, optional
        Where the trainings of several runs lie, each in a folder named by what it is, so that equal ones are done once; by
        default they lie in the run directory.

    Raises
    ------
    UserError
        For anything wrong in the data or impossible in the run.
    """

    def __init__(
        self,
        run: Run,
        windows: Windows,
        folder: Path | None = None,
        *,
        asked: Run | None = None,
        splits: tuple[Split, ...] | None = None,
        chosen: Mapping[str, dict[str, Any]] | None = None,
        pool: Path | None = None,
    ) -> None:
        self.run, self.windows, self.asked, self.pool = run, windows, asked or run, pool
        self._views: dict[tuple[str, str], View] = {}
        self._hashes: dict[str, list[str | None]] = {}
        if len(self.windows.class_names) < 2:
            raise UserError(
                f"{self.windows.name}: there is only the class '{self.windows.class_names[0]}': nothing to learn"
            )
        if self.windows.has_missing():
            raise UserError(
                f"{self.windows.name}: samples are missing, and a network on the signal needs them all: load with missing "
                "'0.2s' to fill gaps up to 0.2 s, or leave such windows out"
            )
        self.fingerprint = self.windows.fingerprint()
        self.folder = folder or run.folder()
        self.device = choose_device(run.device)
        self.precision = choose_precision(run.precision, self.device)
        self.splits: tuple[Split, ...]
        if splits is not None:
            self.splits = splits
        elif run.folds:
            self.splits = cross_validation(self.windows, run.folds, run.evaluate)
        else:
            self.splits = (split_windows(self.windows, run.evaluate),)
        self.augmenter(self.samples(self.splits[0].train[:1]), 0)  # refuses what it cannot do
        if run.patience and splits is None:
            self.splits = tuple(with_stopping(self.windows, split) for split in self.splits)
        self.certificates = [certificate(self.windows, split) for split in self.splits]
        fewest = min(len(split.train) for split in self.splits)
        if fewest < 2:
            raise UserError(f"{self.windows.name}: {fewest} window is left to train: at least 2 are needed")
        self.teachers: tuple[Teacher, ...] = run.teachers()
        self.sources = {t.source: read_source(t) for t in self.teachers if t.source}
        self.taken = {t.name: check_source(self, t) for t in self.teachers if t.source}
        check_apart(self.teachers, self.taken)
        for teacher in self.teachers:
            imager = run.imager(teacher.view)
            if imager is not None:
                imager.check(self.windows.length, self.windows.units)
        self.schedule = schedule_of(run)
        self.check_losses()
        self.chosen = None if chosen is None else dict(chosen)
        self._of_folds = tuple(
            Plan(with_values(run, chosen[split.fold]), windows, self.folder, splits=(split,))
            for split in self.splits
            if chosen is not None
        )

    @property
    def parts(self) -> tuple[Plan, ...]:
        """The plans that do the trainings, fold by fold where each fold has values of its own; else this one."""
        return self._of_folds or (self,)

    def check_losses(self) -> None:
        """See on untrained networks and two windows that teachers show what the losses compare.

        Raises
        ------
        UserError
            If one does not.
        """
        if all(term.loss.needs == "logits" for term in self.run.terms()):
            return
        split = self.splits[0]
        few = self.samples(split.train[:2])
        student = self.student_training("student", split, self.run.seeds[0])
        speakers = []
        for teacher in self.teachers:
            training = self.teacher_training(teacher, split, self.run.seeds[0])
            speakers.append(live(self.build(training, few), training.view))
        teaching_of(self.run, speakers).ready(self.build(student, few), student.view, few)

    @property
    def smoothed(self) -> list[str]:
        """Names of the teachers that were or will be trained with label smoothing."""
        return [
            t.name
            for t in self.teachers
            if (self.sources[t.source]["run"]["label_smoothing"] if t.source else self.run.label_smoothing)
            and t.network not in RIDGES
        ]

    def view(self, name: str, split: Split) -> View:
        """Return a view of the windows of this run by name; what images learn, they learn on the training part."""
        if (name, split.fold) not in self._views:
            imager = self.run.imager(name)
            if imager is not None and imager.needs_fit:
                imager = imager.fit(self.windows.select(split.train))
            self._views[name, split.fold] = View(imager=imager, units=self.windows.units)
        return self._views[name, split.fold]

    def teacher_training(self, teacher: Teacher, split: Split, seed: int) -> Training:
        """Return the training of a teacher that a seed's student learns from."""
        folder, shared = self.folder, self.run.shared_teachers
        if shared:
            seed = self.run.seeds[0]
        if teacher.source:
            before, folder = self.sources[teacher.source]["run"], Path(teacher.source)
            shared = before["shared_teachers"]
            seed = before["seeds"][0] if shared else seed
        parent = "shared" if shared else f"seed-{seed}"
        training = Training(
            role="teacher",
            network=teacher.network,
            view=self.view(teacher.view, split),
            split=split,
            seed=seed,
            folder=self._fold_folder(folder, split) / parent / f"teacher-{teacher.network}-{teacher.view}",
            apart=teacher.apart,
        )
        return training if teacher.source else self._pooled(training)

    def needs(self, training: Training) -> list[Training]:
        """Return the trainings of this run that must be done before one can begin."""
        needed: list[Training] = []
        if training.role == "student":
            mine = [teacher for teacher in self.teachers if not teacher.source]
            needed += [self.teacher_training(teacher, training.split, training.seed) for teacher in mine]
        if self.run.warm_start and training.role in ("control", "student"):
            needed.append(self.student_training("scratch", training.split, training.seed))
        return needed

    def cache_path(self, teacher: Teacher, split: Split, seed: int) -> Path:
        """Return where what a teacher says of the training windows is kept: here, even if it comes from another run."""
        folder = self.teacher_training(replace(teacher, source=""), split, seed).folder
        if teacher.source and (self.pool is not None or teacher.apart):
            key = self.teacher_training(teacher, split, seed).folder.relative_to(teacher.source).as_posix()
            slug = re.sub(r"[^A-Za-z0-9.+-]+", "_", f"taken-{teacher.network}-{teacher.view}")[:100]
            parent = self.pool or folder.parent  # beside the trainings, of which none may be at work there
            folder = parent / f"{slug}-{self.taken[teacher.name][key][:16]}"
        return folder / ("embeddings.safetensors" if self.run.compares_embeddings else "logits.safetensors")

    def student_training(self, role: Role, split: Split, seed: int) -> Training:
        """Return the training of the student from scratch, distilled, or as the control of a warm start."""
        training = Training(
            role=role,
            network=self.run.student,
            view=self.view(SIGNAL, split),
            split=split,
            seed=seed,
            folder=self._fold_folder(self.folder, split) / f"seed-{seed}" / f"{role}-{self.run.student}",
        )
        return self._pooled(training)

    def identity(self, training: Training) -> dict[str, Any]:
        """Return, as JSON types, all that decides how a training of this run comes out, but for code and libraries."""
        run, split = self.run, training.split
        made: dict[str, Any] = {
            "windows": self.fingerprint,
            "parts": self._parts(split),
            "role": training.role,
            "network": training.network,
            "view": training.view.key(),
            "seed": training.seed,
        }
        if training.network in RIDGES:  # which no epochs, no augmentation and no device touch
            return made | {"parts": self._parts(split)[:1]}
        made |= {
            "schedule": asdict(self.schedule),
            "augment": run.augment,
            "device": self.device.type,
            "precision": self.precision,
        }
        if training.role in ("control", "student"):
            made["warm_start"] = run.warm_start
        if training.role == "student":
            of_student = ("lambda_", "lambda_to", "temperature", "temperature_to", "loss", "weighing")
            made |= {name: getattr(run, name) for name in of_student} | {"live": run.is_live, "teachers": []}
            for teacher in self.teachers:
                trained = self.teacher_training(teacher, split, training.seed)
                key = trained.folder.relative_to(teacher.source).as_posix() if teacher.source else ""
                which = self.taken[teacher.name][key] if teacher.source else self.identity(trained)
                made["teachers"].append([which, teacher.weight])
        return made

    def _parts(self, split: Split) -> list[str | None]:
        """Return the hashes of the windows that a training of a split sees: to learn from, and to choose an epoch on."""
        if split.fold not in self._hashes:
            chosen_on = split.evaluation if self.run.protocol == "lab" else split.stopping
            self._hashes[split.fold] = [
                None if index is None else ids_hash(self.windows.ids[index]) for index in (split.train, chosen_on)
            ]
        return self._hashes[split.fold]

    def key(self, training: Training) -> str:
        """Return the sha256 of the identity of a training."""
        return hashlib.sha256(json.dumps(self.identity(training), sort_keys=True).encode()).hexdigest()

    def _pooled(self, training: Training) -> Training:
        if self.pool is None:
            return training
        words = f"{training.role}-{training.network}-{training.view.name}-seed-{training.seed}"
        slug = re.sub(r"[^A-Za-z0-9.+-]+", "_", words)[:100]
        return replace(training, folder=self.pool / f"{slug}-{self.key(training)[:16]}")

    def trainings(self) -> list[Training]:
        """Return all trainings in order, fold by fold, each once."""
        ordered: dict[Path, Training] = {}
        roles: list[Role] = ["scratch", "control", "student"] if self.run.warm_start else ["scratch", "student"]
        for split in self.splits:
            for seed in self.run.seeds:
                for training in (
                    *(self.teacher_training(teacher, split, seed) for teacher in self.teachers),
                    *(self.student_training(role, split, seed) for role in roles),
                ):
                    ordered.setdefault(training.folder, training)
        return list(ordered.values())

    def tasks(self) -> list[tuple[Plan, Training]]:
        """Return all trainings in order, each with the plan that does it."""
        return [(part, training) for part in self.parts for training in part.trainings()]

    def _fold_folder(self, run: Path, split: Split) -> Path:
        """Return where the trainings of a split lie; a fold has a folder by its number, since names may be anything."""
        return run / f"fold-{split.number}" if split.fold else run

    def samples(self, index: np.ndarray) -> Samples:
        """Return windows of this run on its device."""
        return Samples(
            values=torch.from_numpy(self.windows.values[index]).to(self.device),
            labels=torch.from_numpy(self.windows.labels[index]).to(self.device),
            ids=self.windows.ids[index],
        )

    def build(self, training: Training, samples: Samples) -> nn.Module:
        """Build the network of a training; see `distill.assembly.network_of`."""
        return network_of(
            training.network,
            training.view,
            samples,
            classes=len(self.windows.class_names),
            seed=training.seed,
            is_teacher=training.role == "teacher",
        )

    def augmenter(self, samples: Samples, seed: int) -> Augmenter | None:
        """Return what changes the windows of a training, None where nothing does."""
        windows = self.windows
        return augmenter_of(self.run, samples, windows.channels, windows.units, seed, windows.rate_hz)

    def formula(self) -> str:
        """Write the loss of the student; where every fold has values of its own, with how many folds have which."""
        if self.chosen is None:
            return self.run.formula()
        counted = Counter(part.run.formula() for part in self.parts).most_common()
        folds = (f"{formula} in {n} fold{'s' * (n > 1)}" for formula, n in counted)
        return f"with the values chosen in each fold, {'; '.join(folds)}"

    def weights(self) -> dict[str, float | str]:
        """Return, by teacher, its weight, or how it is weighed anew in every window; `varies` where folds differ."""
        found: dict[str, set[float | str]] = {}
        for part in self.parts:
            fixed = part.run.weighing == "fixed"
            for teacher in part.teachers:
                found.setdefault(teacher.name, set()).add(teacher.weight if fixed else part.run.weighing)
        return {name: values.pop() if len(values) == 1 else "varies" for name, values in found.items()}

    def describe(self) -> dict[str, Any]:
        """Return the content of `run.json`; what was chosen in every fold stands there fold by fold, not in the run."""
        per_fold = {name for values in (self.chosen or {}).values() for name in values}
        run = self.run.to_json() | {"select": list(self.asked.select)}
        return {
            "run": {name: value for name, value in run.items() if name not in per_fold},
            "chosen": self.chosen,
            "data": {
                "name": self.windows.name,
                "summary": str(self.windows),
                "windows_sha256": self.fingerprint,
                "cut": None if self.windows.cut_report is None else str(self.windows.cut_report),
                "classes": list(self.windows.class_names),
                "rows": None if self.windows.read_report is None else self.windows.read_report.as_dict(),
            },
            "teachers": self.weights(),
            "taken": self.taken,
            "formula": self.formula(),
            "trainings": [os.path.relpath(training.folder, self.folder) for _, training in self.tasks()],
            "split": self.split_record(),
            "environment": self.environment(),
        }

    def split_record(self) -> dict[str, Any]:
        """Return the certificate of the split, or those of all folds by name."""
        if not self.run.folds:
            return self.certificates[0]
        folds = {split.fold: made["parts"] for split, made in zip(self.splits, self.certificates, strict=True)}
        return self.certificates[0] | {"parts": folds}

    def environment(self) -> dict[str, str]:
        """Return what, besides the run and its data, decides the numbers: code, libraries, device, precision."""
        return environment_of(self.device, self.precision)
