"""What a run is: the same object is the Python call, the command line, and `run.json`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from distill.augment import parse_augment
from distill.models import check_model, parse_model
from distill.rates import Course, check_course
from distill.views import SIGNAL, check_view
from tsimage.errors import UserError, unknown
from tsimage.fields import parse_stack
from tsimage.imager import Imager
from tsimage.readers import ReadOptions

if TYPE_CHECKING:
    from distill.losses import Term

Optimizer = Literal["sgd", "adamw"]
Device = Literal["auto", "cuda", "mps", "cpu"]
Precision = Literal["auto", "bf16", "fp32"]
Part = Literal["test", "validation"]

GAF_VIEW = "gasf"
"""The image view of a teacher that is named without a view: one GASF per axis, stacked as channels."""
RIDGES = ("minirocket", "hydra")
"""Teachers of random convolutions and a ridge (`distill.rocket`), which look at the signal and give cross-fitted logits."""
DEFAULT_ALPHA = 0.3
_Named = tuple[str, str, str, float | None]


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A teacher: its network, what it looks at, and its weight w_k among the teachers."""

    network: str
    view: str
    weight: float
    source: str = ""
    """Directory of the earlier run that it comes from; empty if it is trained here."""

    @property
    def name(self) -> str:
        return f"{self.network}:{self.view}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Train teachers, distil them into a small 1-D student, and compare with the student trained alone.

    The loss is L = (1 - lambda) CE + lambda T^2 (alpha KL(image teacher) + (1 - alpha) KL(signal teacher)).
    """

    teacher: tuple[str, ...] = ("wrn28-3",)
    """Teachers (distill models lists networks). NETWORK alone means its GASF teacher and its signal teacher; NETWORK:VIEW names one, with view
    signal, gasf, gadf, mtf or a stack as gasf+gadf+mtf; NETWORK:VIEW=WEIGHT weighs it (all or none, summing to 1).
    minirocket:signal and hydra:signal are random convolutions with a ridge, whose logits are cross-fitted by subject.
    NETWORK@DIR, NETWORK:VIEW@DIR and NETWORK:VIEW@DIR=WEIGHT take it from an earlier run on the same windows."""
    student: str = "wrn16-1"
    """Network of the student (distill models lists them all); it sees only the raw signal."""
    data: str = "basic-motions"
    """Data set of the catalogue (basic-motions, hapt), or a file or folder of recordings or windows."""
    read: Annotated[ReadOptions, tyro.conf.arg(name="")] = field(default_factory=ReadOptions)
    lambda_: Annotated[float, tyro.conf.arg(name="lambda")] = 0.7
    """Weight of the loss of logits, 0 (labels) to 1 (teachers); losses of features have their own, beta."""
    lambda_to: float | None = None
    """Lambda of the last step, where it moves in a straight line."""
    temperature: float | None = None
    """T > 0; softens the logits of teachers and student. The published one of the loss unless given: 4 for kd."""
    temperature_to: float | None = None
    """T of the last step, where it moves in a straight line."""
    loss: str = "kd"
    """What the student takes from its teachers: one loss of logits (kd, lskd, dkd, dist) and any of features (at, sp,
    rkd, dcd, hint) with its weight beta, joined by +: kd+sp(beta=700)."""
    weighing: str = "fixed"
    """How teachers are weighed: fixed (alpha, or NETWORK:VIEW=WEIGHT), aver, ebkd, ca-mkd or ae-kd."""
    warm_start: bool = False
    """The student starts from its own from-scratch weights; a control does so too and trains as long without teachers."""
    alpha: float | None = None
    """Weight of the IMAGE teacher, 1 - alpha that of the signal teacher, where there is one of each; 0.3 unless given."""
    image_size: int = 32
    """Side of the images in pixels, at most the samples of a window."""
    scaling: str = "fixed"
    """Scaling of Gramian fields: fixed (physical range by unit: 2 g, 10 rad/s), fixed:g=4, or window (own minimum
    and maximum of each window's axis, which hides gravity and amplitude)."""
    epochs: int = 100
    """Epochs of every training; the last one counts, unless patience or protocol lab keeps another."""
    batch_size: int = 64
    """Largest batch."""
    learning_rate: float = 0.05
    """The highest rate; course cosine begins with it and falls along a half cosine to 0.0001 (or stays, if lower)."""
    weight_decay: float = 1e-4
    """Weight decay."""
    optimizer: Optimizer = "sgd"
    """SGD with Nesterov momentum 0.9, or AdamW."""
    course: Course = "auto"
    """How the learning rate goes: cosine (auto, but under protocol lab), one-cycle, steps (the published course of
    wearable-KD) or constant."""
    warmup_epochs: int = 0
    """Epochs in which the rate rises to where its course begins."""
    label_smoothing: float = 0.0
    """Share of a label's probability that all classes have in common; a smoothed teacher distils worse."""
    balanced: bool = False
    """Weigh classes in the cross entropy so that each counts alike."""
    ema: float = 0.0
    """Keep running means of the weights, to which the mean so far counts this much in every step; 0 does not."""
    augment: str = ""
    """Changes of training windows, drawn anew in every epoch: rotation(degrees=15)+jitter+mixup; others are scaling, shift,
    time_warp, magnitude_warp, permutation, channel_dropout, cutmix, and erasing for images. All trainings have them."""
    teaching: Literal["auto", "cached", "live"] = "auto"
    """Whether teachers look at every batch (live), as augmented as the student sees it, or were asked once about the windows
    as they are (cached, much faster); auto is cached wherever that is the same."""
    patience: int = 0
    """Stop after so many epochs without a better accuracy on validation subjects, who are taken out of the training part,
    and keep the best epoch; 0 trains to the end on everybody."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; each trains its own teachers, so the deviation covers the whole way."""
    shared_teachers: bool = False
    """Train the teachers once, with the first seed, and share them among all seeds."""
    folds: str = ""
    """Instead of one split: loso leaves one subject out in turn, a number makes so many folds of subjects; everybody is
    evaluated once, by models that never saw them."""
    select: tuple[str, ...] = ()
    """What to choose on validation subjects before the test part is opened once: lambda=0.1,0.5 temperature=2,4; also
    alpha, epochs, learning-rate, weight-decay, loss, weighing."""
    protocol: Literal["clean", "lab"] = "clean"
    """clean chooses nothing on the test part. lab reproduces published tables: the epoch that is best on the test part,
    the step course and a kd divided by the number of classes; its rows are marked optimistic."""
    evaluate: Part = "test"
    """Part the table is about. Choose settings with validation (subjects inside the training part), then report test."""
    device: Device = "auto"
    """auto takes CUDA, else MPS, else the CPU."""
    precision: Precision = "auto"
    """Of training; auto takes bf16 where the hardware computes in it. Logits of teachers and evaluation are float32."""

    def __post_init__(self) -> None:
        if isinstance(self.teacher, str):
            object.__setattr__(self, "teacher", (self.teacher,))
        object.__setattr__(self, "data", self.data.rstrip("/") or self.data)  # folder/ and folder are the same run
        object.__setattr__(self, "select", (self.select,) if isinstance(self.select, str) else tuple(self.select))
        self._follow_protocol()
        check_model(self.student, dims=1)
        if self.folds not in ("", "loso") and not (self.folds.isdecimal() and int(self.folds) >= 2):
            raise UserError(
                f"folds '{self.folds}' are not allowed: give loso (leave one subject out) or a number from 2 on"
            )
        if not 0 <= self.lambda_ <= 1:
            raise UserError(f"lambda {self.lambda_} is not allowed: it is the weight of distillation, from 0 to 1")
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise UserError(f"alpha {self.alpha} is not allowed: it is the weight of the image teacher, from 0 to 1")
        if self.lambda_to is not None and not 0 <= self.lambda_to <= 1:
            raise UserError(f"lambda-to {self.lambda_to} is not allowed: it is a weight of distillation, from 0 to 1")
        for name in ("temperature", "temperature_to"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name.replace('_', '-')} {getattr(self, name)} is not allowed: it must be positive")
        for name in ("epochs", "batch_size"):
            if not isinstance(getattr(self, name), Integral):
                raise UserError(f"{name.replace('_', '-')} {getattr(self, name)!r} is not allowed: give a whole number")
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name.replace('_', '-')} {getattr(self, name)} is not allowed: it must be positive")
        if not 0 <= self.weight_decay < math.inf:
            raise UserError(f"weight-decay {self.weight_decay} is not allowed: it must be at least 0")
        for name in ("label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', '-')} {getattr(self, name)} is not allowed: from 0 to less than 1")
        if self.patience < 0:
            raise UserError(f"patience {self.patience} is not allowed: give a number of epochs, or 0 for none")
        if self.optimizer not in get_args(Optimizer):
            raise unknown("optimizer", self.optimizer, get_args(Optimizer))
        check_course(self.course, self.epochs, self.warmup_epochs)
        self._check_loss()
        self._check_augment()
        if self.batch_size < 2:
            raise UserError("batch-size 1 is not allowed: batch normalisation needs more than one window")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"seeds {list(self.seeds)} are not allowed: give at least one, each once")
        views = [teacher.view for teacher in self.teachers()]
        layers = [layer for view in views if view != SIGNAL for layer in parse_stack(view)]
        uses = {"image_size": layers, "scaling": [layer for layer in layers if layer.field.scaled]}
        for name, used_by in uses.items():
            if not used_by and getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise UserError(
                    f"{name.replace('_', '-')} {getattr(self, name)} does nothing for teachers on {', '.join(views)}: leave it out"
                )
        for view in views:
            self.imager(view)

    def imager(self, view: str) -> Imager | None:
        """Return the recipe of an image view; None for the signal."""
        if view == SIGNAL:
            return None
        scaled = any(layer.field.scaled for layer in parse_stack(view))
        return Imager(stack=view, size=self.image_size, scaling=self.scaling if scaled else "fixed")

    def teachers(self) -> tuple[Teacher, ...]:
        """Return the teachers with their effective weights.

        Raises
        ------
        UserError
            For an unknown network or view, a teacher named twice, or weights that do not fit.

        Examples
        --------
        >>> [(t.name, t.weight) for t in Run(teacher=("wrn16-1",)).teachers()]
        [('wrn16-1:gasf', 0.3), ('wrn16-1:signal', 0.7)]
        """
        if not self.teacher:
            raise UserError("no teacher is named: give at least one, as wrn28-3 or wrn28-3:gasf")
        named: list[_Named] = []
        for text in self.teacher:
            named += _parse_teacher(text)
        names = [f"{network}:{view}" for network, view, *_ in named]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"teacher '{name}' is named twice: name it once and give it the weight of both")
        weights = self._weights(named, names)
        return tuple(
            Teacher(network=network, view=view, weight=weight, source=source)
            for (network, view, source, _), weight in zip(named, weights, strict=True)
        )

    def _weights(self, named: list[_Named], names: list[str]) -> list[float]:
        given = [weight for *_, weight in named if weight is not None]
        images = sum(view != SIGNAL for _, view, *_ in named)
        pair = len(named) == 2 and images == 1
        if given:
            if self.alpha is not None:
                raise UserError(
                    "alpha and weights of teachers (NETWORK:VIEW=WEIGHT) say the same thing: give one of them"
                )
            if len(given) < len(named):
                raise UserError(
                    f"{len(given)} of {len(named)} teachers have a weight: weigh all of them ({', '.join(names)}) or none"
                )
            if not math.isclose(sum(given), 1.0, abs_tol=1e-6):
                total = sum(given)
                mended = ", ".join(f"{n}={w / total:.4g}" for n, w in zip(names, given, strict=True)) if total else ""
                raise UserError(
                    f"the weights of the teachers sum to {total:.6g}, not 1" + (f": give {mended}" if mended else "")
                )
            return given
        if pair:
            alpha = DEFAULT_ALPHA if self.alpha is None else self.alpha
            return [alpha if view != SIGNAL else 1 - alpha for _, view, *_ in named]
        if self.alpha is not None:
            raise UserError(
                f"alpha weighs one image teacher against one signal teacher, but the teachers are {', '.join(names)}: "
                "weigh them as NETWORK:VIEW=WEIGHT"
            )
        return [1 / len(named)] * len(named)

    def terms(self) -> tuple[Term, ...]:
        """Return the losses that the student takes from its teachers."""
        from distill.losses import parse_losses

        return parse_losses(self.loss)

    def _check_loss(self) -> None:
        from distill.weighing import WEIGHINGS

        if self.weighing not in ("fixed", *WEIGHINGS):
            raise unknown("weighing", self.weighing, ["fixed", *WEIGHINGS])
        weighed = any(weight is not None for text in self.teacher for *_, weight in _parse_teacher(text))
        if self.weighing != "fixed" and (weighed or self.alpha is not None):
            raise UserError(
                f"weighing {self.weighing} finds the weights of teachers by itself, so alpha and NETWORK:VIEW=WEIGHT do nothing: "
                "leave them out, or take weighing fixed"
            )
        logits = [term for term in self.terms() if term.loss.kind == "logits"]
        if not logits and (self.lambda_ != 0.7 or any(text.startswith("lambda=") for text in self.select)):
            raise UserError(f"lambda does nothing for loss '{self.loss}', which has no part of logits: leave it out")
        if self.weighing != "fixed" and len(self.teachers()) == 1:
            raise UserError(f"weighing {self.weighing} does nothing for one teacher: leave it out or name more")
        for name in ("lambda_to", "temperature", "temperature_to"):
            if getattr(self, name) is not None and not logits:
                raise UserError(
                    f"{name.replace('_', '-')} does nothing for loss '{self.loss}', which has no part of logits"
                )
        if (self.temperature, self.temperature_to) != (None, None):
            if not {"temperature", "tau"} & {*logits[0].loss.options}:
                raise UserError(f"temperature does nothing for loss '{self.loss}': leave it out")
            if {"temperature", "tau"} & dict(logits[0].given).keys():
                raise UserError(f"temperature and loss '{self.loss}' say the same thing: give one of them")

    def _follow_protocol(self) -> None:
        if self.protocol not in ("clean", "lab"):
            raise unknown("protocol", self.protocol, ["clean", "lab"])
        if self.protocol == "lab":
            for name in ("select", "patience"):
                if getattr(self, name):
                    raise UserError(
                        f"{name} has no place in protocol lab, which chooses the epoch on the test part: leave it out"
                    )
            if "reduction" not in self.loss:
                mended = re.sub(r"(^|\+)(\s*kd)(\((?=[^)]))?", _elementwise, self.loss)
                object.__setattr__(self, "loss", mended)
        if self.warm_start and self.patience:
            raise UserError(
                "warm-start compares with a control that was trained for as long, and patience makes their lengths differ: "
                "leave out one of them"
            )
        if self.select:
            if any("@" in teacher for teacher in self.teacher):
                raise UserError(
                    "select trains on two splits, first without the validation subjects, and a teacher of an earlier run was "
                    "trained on one: name the teachers without @DIR"
                )
            if self.folds:
                raise UserError(
                    "select inside every fold is not done: choose with --select on one split, then give folds"
                )
            if self.evaluate == "validation":
                raise UserError("select chooses on validation subjects already: leave out evaluate validation")
            from distill.selection import candidates

            candidates(self)

    @property
    def effective_course(self) -> Course:
        """The course of the learning rate, where `auto` depends on the protocol."""
        if self.course != "auto":
            return self.course
        return "steps" if self.protocol == "lab" else "cosine"

    @property
    def is_live(self) -> bool:
        """Whether teachers are run in every step."""
        return self.teaching == "live" or (self.teaching == "auto" and self._live_for() != "")

    def _live_for(self) -> str:
        """Return why teachers cannot be asked once and for all; empty where they can."""
        features = [term.loss.name for term in self.terms() if term.loss.needs != "logits"]
        if features:
            return f"loss {features[0]} compares more than logits"
        changes = [step.name for step in parse_augment(self.augment).steps if step.place == "signal"]
        return f"augmentation {changes[0]} changes the windows" if changes else ""

    def _check_augment(self) -> None:
        if self.teaching not in ("auto", "cached", "live"):
            raise unknown("teaching", self.teaching, ["auto", "cached", "live"])
        why = self._live_for()
        if self.teaching == "cached" and why:
            raise UserError(f"teaching cached is not possible, as {why} in every step: take live, or auto")
        ridges = [teacher.name for teacher in self.teachers() if teacher.network in RIDGES]
        if ridges and self.is_live:
            why = why or "teaching is live"
            raise UserError(
                f"teacher {ridges[0]} has cross-fitted logits of the training windows as they are, and {why}: leave out one of them"
            )
        recipe = parse_augment(self.augment)
        if recipe.mixes == "signal":
            needy = [term.loss.name for term in self.terms() if term.loss.name == "dkd"]
            needy += [self.weighing] if self.weighing == "ca-mkd" else []
            if needy:
                raise UserError(
                    f"mixed windows have two labels and {needy[0]} needs one: leave out the mixing or {needy[0]}"
                )
        views = [teacher.view for teacher in self.teachers() if not teacher.source]
        images = [step.name for step in recipe.steps if step.place == "image"]
        if images and all(view == SIGNAL for view in views):
            raise UserError(
                f"augmentation {images[0]} changes images, and no teacher that is trained looks at any: leave it out"
            )

    def formula(self) -> str:
        """Write the loss with its effective numbers."""
        fixed = self.weighing == "fixed"
        weights = [f"{t.weight:.4g}" if fixed else f"w{k}" for k, t in enumerate(self.teachers())]
        named = list(zip(weights, (t.name for t in self.teachers()), strict=True))
        labels, added = "CE", []
        for term in self.terms():
            if term.loss.kind == "features":
                inner = " + ".join(f"{w} {term.loss.name.upper()}({name})" for w, name in named)
                added.append(f"{term.weight:g} x [{inner}]")
                continue
            labels = f"{_course(1 - self.lambda_, None if self.lambda_to is None else 1 - self.lambda_to)} CE"
            name = next((n for n in ("temperature", "tau") if n in term.options), "")
            start = term.options.get(name) if self.temperature is None else self.temperature
            heat = "" if start is None else f"{_course(start, self.temperature_to)}^2 x "
            inner = " + ".join(
                f"{w} {'KL' if term.loss.name == 'kd' else term.loss.name.upper()}({name})" for w, name in named
            )
            of_classes = "/C" if term.options.get("reduction") == "elementmean" else ""
            scale = f"{term.options['weight']:g} x " if "weight" in term.options else ""
            added.append(f"{_course(self.lambda_, self.lambda_to)} x {scale}{heat}[{inner}]{of_classes}")
        return " + ".join([f"L = {labels}", *added]) + ("" if fixed else f", w by {self.weighing}")

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON types."""
        content = dataclasses.asdict(self)
        content["lambda"] = content.pop("lambda_")
        return json.loads(json.dumps(content))

    def hash(self, data: str = "") -> str:
        """Return the sha256 of the run and of `data`, the fingerprint of windows that come from memory."""
        return hashlib.sha256((json.dumps(self.to_json(), sort_keys=True) + data).encode()).hexdigest()

    def folder(self, data: str = "") -> Path:
        """Return the default run directory: what the run is in words, and a hash that covers every option."""
        words = [Path(self.data).name.split(".")[0], *self.teacher, "to", self.student]
        slug = re.sub(r"[^a-z0-9.+-]+", "_", "-".join(words).lower())[:80]
        return Path("runs") / f"{slug}-{self.hash(data)[:8]}"


def _elementwise(match: re.Match[str]) -> str:
    """Write the kd of a sum of losses with the mean over classes that published wearable-KD code has."""
    return f"{match[1]}{match[2]}(reduction=elementmean" + (", " if match[3] else ")")


def _course(start: float, end: float | None) -> str:
    return f"{start:.4g}" if end is None else f"({start:.4g} to {end:.4g})"


def _parse_teacher(text: str) -> list[_Named]:
    """Split NETWORK, NETWORK:VIEW or NETWORK:VIEW=WEIGHT, the first two perhaps followed by @DIR."""
    name, at, source = text.partition("@")
    if at:  # a folder may have = in its name
        folder, equals, weight_text = source.rpartition("=")
        is_weight = bool(equals) and re.fullmatch(r"[-+.\deE]*|nan|inf", weight_text) is not None
        source, equals, weight_text = (folder, equals, weight_text) if is_weight else (source, "", "")
    else:
        match = re.fullmatch(r"((?:[^=()]|\([^)]*\))*)(=?)(.*)", text, re.DOTALL)
        name, equals, weight_text = match.groups() if match else (text, "", "")
    if at and not source:
        raise UserError(f"teacher '{text}' names no folder after @: give the directory of the run that it comes from")
    network, colon, view = name.partition(":")
    if network in RIDGES:
        if view != SIGNAL:
            raise UserError(f"teacher '{text}': {network} looks at the raw signal alone: name it {network}:{SIGNAL}")
    else:
        parse_model(network)
    if not colon:
        if equals:
            raise UserError(
                f"teacher '{text}' means two teachers, {network}:{GAF_VIEW} and {network}:{SIGNAL}: weigh each of them, or "
                "use alpha"
            )
        check_model(network, dims=2)
        check_model(network, dims=1)
        return [(network, GAF_VIEW, source, None), (network, SIGNAL, source, None)]
    check_view(view)
    if network not in RIDGES:
        check_model(network, dims=1 if view == SIGNAL else 2)
    if not equals:
        return [(network, view, source, None)]
    try:
        weight = float(weight_text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight <= 1:
        raise UserError(f"teacher '{text}' has the weight '{weight_text}': give a number from 0 to 1")
    return [(network, view, source, weight)]
