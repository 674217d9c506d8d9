"""What a run is: the same object is the Python call, the command line, and `run.json`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import tyro

from distill.augment import parse_augment
from distill.option_values import converted
from distill.rates import Course
from distill.teacher_names import Teacher, parse_teachers
from distill.views import SIGNAL
from tsimage.fields import parse_stack
from tsimage.imager import Imager
from tsimage.readers import ReadOptions

if TYPE_CHECKING:
    from distill.losses import Term

Optimizer = Literal["sgd", "adamw"]
Device = Literal["auto", "cuda", "mps", "cpu"]
Precision = Literal["auto", "bf16", "fp32"]
Part = Literal["test", "validation"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Train teachers, distil them into a small 1-D student, and compare with the student trained alone.

    The loss is L = (1 - lambda) CE + lambda T^2 (alpha KL(image teacher) + (1 - alpha) KL(signal teacher)).

    Values become those of the declared types: a list or a single value where several belong a tuple, numbers of NumPy
    Python's. A `UserError` refuses what is of another type, cannot work together, or would do nothing.

    Examples
    --------
    >>> Run(teacher="wrn16-1", seeds=range(2), lambda_=1).seeds
    (0, 1)
    """

    teacher: tuple[str, ...] = ("wrn28-3",)
    """Teachers (distill models lists networks). NETWORK alone means its GASF teacher and its signal teacher; NETWORK:VIEW names one, with view
    signal, gasf, gadf, mtf or a stack as gasf+gadf+mtf; NETWORK:VIEW=WEIGHT weighs it (all or none, summing to 1).
    minirocket:signal and hydra:signal are random convolutions with a ridge, whose logits are cross-fitted by subject
    (by recording where no subjects are known).
    NETWORK@DIR, NETWORK:VIEW@DIR and NETWORK:VIEW@DIR=WEIGHT take it from an earlier run on the same windows; the same
    NETWORK:VIEW may come from several."""
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
    as they are (cached, much faster); auto is cached wherever that is the same, but live for feature maps (at, sp, hint)."""
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
    alpha, epochs, learning-rate, weight-decay, loss, weighing, none of which is given a value besides. With folds, in each
    anew, out of those it trains on."""
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
        from distill.config_checks import check_run  # which imports this module

        for name, kind in _types().items():
            words = name.rstrip("_").replace("_", "-")
            object.__setattr__(self, name, converted(kind, getattr(self, name), words))
        object.__setattr__(self, "data", self.data.rstrip("/") or self.data)  # folder/ and folder are the same run
        if self.protocol == "lab" and "reduction" not in self.loss:
            self.terms()  # refuses what it cannot read before anything is written into it
            mended = re.sub(r"(^|\+)(\s*)kd\s*(\(\s*\)|\()?", _elementwise, self.loss)
            object.__setattr__(self, "loss", mended)
        check_run(self)

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
        return parse_teachers(self.teacher, self.alpha)

    def terms(self) -> tuple[Term, ...]:
        """Return the losses that the student takes from its teachers."""
        from distill.losses import parse_losses

        return parse_losses(self.loss)

    @property
    def effective_course(self) -> Course:
        """The course of the learning rate, where `auto` depends on the protocol."""
        if self.course != "auto":
            return self.course
        return "steps" if self.protocol == "lab" else "cosine"

    @property
    def is_live(self) -> bool:
        """Whether teachers are run in every step."""
        return self.teaching == "live" or (self.teaching == "auto" and self.why_live() != "")

    def why_live(self) -> str:
        """Return why teachers cannot be asked once and for all; empty where they can."""
        maps = [term.loss.name for term in self.terms() if term.loss.needs == "maps"]
        if maps:  # which of all windows do not fit
            return f"loss {maps[0]} compares feature maps"
        changes = [step.name for step in parse_augment(self.augment).steps if step.place == "signal"]
        return f"augmentation {changes[0]} changes the windows" if changes else ""

    @property
    def compares_embeddings(self) -> bool:
        """Whether teachers are asked for their embeddings too."""
        return any(term.loss.needs == "embedding" for term in self.terms())

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

    @property
    def slug(self) -> str:
        """Data, teachers and student in words, to begin the name of a folder with."""
        words = [Path(self.data).name.split(".")[0], *self.teacher, "to", self.student]
        return re.sub(r"[^a-z0-9.+-]+", "_", "-".join(words).lower())[:80]

    def folder(self, data: str = "") -> Path:
        """Return the default run directory: what the run is in words, and a hash that covers every option."""
        return Path("runs") / f"{self.slug}-{self.hash(data)[:8]}"


@cache
def _types() -> dict[str, Any]:
    """Return the type of each field of a run."""
    return get_type_hints(Run)


def _elementwise(match: re.Match[str]) -> str:
    """Write the kd of a sum of losses with the mean over classes that published wearable-KD code has."""
    return f"{match[1]}{match[2]}kd(reduction=elementmean" + (", " if match[3] == "(" else ")")


def _course(start: float, end: float | None) -> str:
    return f"{start:.4g}" if end is None else f"({start:.4g} to {end:.4g})"
