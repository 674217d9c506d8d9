"""Runs that cannot be, and options that would do nothing, are refused before anything is read or trained."""

from __future__ import annotations

import math

from distill.augment import parse_augment
from distill.config import Run
from distill.models import check_model, list_models
from distill.rates import check_course
from distill.selection import candidates, check_unchosen, selectors
from distill.teacher_names import RIDGES, parse_teacher
from distill.views import SIGNAL
from tsimage.errors import UserError, unknown
from tsimage.fields import parse_stack


def check_run(run: Run) -> None:
    """Refuse a run that is impossible, or one of whose options does nothing.

    Raises
    ------
    UserError
        At the first mistake: the option, what it is, and what is allowed.
    """
    _check_protocol(run)
    if run.student in RIDGES:
        raise UserError(
            f"student {run.student} is not allowed, as it can only teach: choose one of {', '.join(list_models(1))}"
        )
    check_model(run.student, dims=1)
    _check_ranges(run)
    check_course(run.course, run.epochs, run.warmup_epochs)
    _check_loss(run)
    _check_augment(run)
    if run.batch_size < 2:
        raise UserError("batch-size 1 is not allowed: batch normalisation needs more than one window")
    if not run.seeds or len(set(run.seeds)) < len(run.seeds):
        raise UserError(f"seeds {list(run.seeds)} are not allowed: give at least one, each once")
    _check_views(run)


def _check_protocol(run: Run) -> None:
    if run.protocol == "lab":
        for name in ("select", "patience"):
            if getattr(run, name):
                raise UserError(
                    f"{name} has no place in protocol lab, which chooses the epoch on the test part: leave it out"
                )
    if run.warm_start and run.patience:
        raise UserError(
            "warm-start compares with a control that was trained for as long, and patience makes their lengths differ: "
            "leave out one of them"
        )
    if run.select:
        if any("@" in teacher for teacher in run.teacher):
            raise UserError(
                "select trains on two splits, first without the validation subjects, and a teacher of an earlier run was "
                "trained on one: name the teachers without @DIR"
            )
        if run.evaluate == "validation":
            raise UserError("select chooses on validation subjects already: leave out evaluate validation")
        check_unchosen(run, selectors(run.select))
        candidates(run)


def _check_ranges(run: Run) -> None:
    if run.folds not in ("", "loso") and not (run.folds.isdecimal() and int(run.folds) >= 2):
        raise UserError(f"folds '{run.folds}' are not allowed: give loso (leave one subject out) or a number from 2 on")
    if not 0 <= run.lambda_ <= 1:
        raise UserError(f"lambda {run.lambda_} is not allowed: it is the weight of distillation, from 0 to 1")
    if run.alpha is not None and not 0 <= run.alpha <= 1:
        raise UserError(f"alpha {run.alpha} is not allowed: it is the weight of the image teacher, from 0 to 1")
    if run.lambda_to is not None and not 0 <= run.lambda_to <= 1:
        raise UserError(f"lambda-to {run.lambda_to} is not allowed: it is a weight of distillation, from 0 to 1")
    for name in ("temperature", "temperature_to"):
        if getattr(run, name) is not None and not 0 < getattr(run, name) < math.inf:
            raise UserError(
                f"{name.replace('_', '-')} {getattr(run, name)} is not allowed: it must be positive and finite"
            )
    for name in ("epochs", "batch_size"):
        if getattr(run, name) < 1:
            raise UserError(f"{name.replace('_', '-')} {getattr(run, name)} is not allowed: it must be positive")
    if run.image_size < 1:
        raise UserError(f"image-size {run.image_size} is not allowed: images have at least 1 pixel on a side")
    if not 0 < run.learning_rate < math.inf:
        raise UserError(f"learning-rate {run.learning_rate} is not allowed: it must be positive and finite")
    if not 0 <= run.weight_decay < math.inf:
        raise UserError(f"weight-decay {run.weight_decay} is not allowed: it must be at least 0 and finite")
    for name in ("label_smoothing", "ema"):
        if not 0 <= getattr(run, name) < 1:
            raise UserError(f"{name.replace('_', '-')} {getattr(run, name)} is not allowed: from 0 to less than 1")
    if run.patience < 0:
        raise UserError(f"patience {run.patience} is not allowed: give a number of epochs, or 0 for none")


def _check_loss(run: Run) -> None:
    from distill.weighing import WEIGHINGS

    if run.weighing not in ("fixed", *WEIGHINGS):
        raise unknown("weighing", run.weighing, ["fixed", *WEIGHINGS])
    weighed = any(weight is not None for text in run.teacher for *_, weight in parse_teacher(text))
    if run.weighing != "fixed" and (weighed or run.alpha is not None):
        raise UserError(
            f"weighing {run.weighing} finds the weights of teachers by itself, so alpha and NETWORK:VIEW=WEIGHT do nothing: "
            "leave them out, or take weighing fixed"
        )
    logits = [term for term in run.terms() if term.loss.kind == "logits"]
    if not logits and (run.lambda_ != 0.7 or any(text.startswith("lambda=") for text in run.select)):
        raise UserError(f"lambda does nothing for loss '{run.loss}', which has no part of logits: leave it out")
    if run.weighing != "fixed" and len(run.teachers()) == 1:
        raise UserError(f"weighing {run.weighing} does nothing for one teacher: leave it out or name more")
    for name in ("lambda_to", "temperature", "temperature_to"):
        if getattr(run, name) is not None and not logits:
            raise UserError(
                f"{name.replace('_', '-')} does nothing for loss '{run.loss}', which has no part of logits: leave it out"
            )
    if (run.temperature, run.temperature_to) != (None, None):
        if not {"temperature", "tau"} & {*logits[0].loss.options}:
            raise UserError(f"temperature does nothing for loss '{run.loss}': leave it out")
        if {"temperature", "tau"} & dict(logits[0].given).keys():
            raise UserError(f"temperature and loss '{run.loss}' say the same thing: give one of them")


def _check_augment(run: Run) -> None:
    why = run.why_live()
    if run.teaching == "cached" and why:
        raise UserError(f"teaching cached is not possible, as {why} in every step: take live, or auto")
    ridges = [teacher.name for teacher in run.teachers() if teacher.network in RIDGES]
    features = [term.loss.name for term in run.terms() if term.loss.needs != "logits"]
    if ridges and (features or run.is_live):
        why = f"loss {features[0]} compares more than logits" if features else why or "teaching is live"
        raise UserError(
            f"teacher {ridges[0]} has cross-fitted logits of the training windows as they are, and {why}: leave out one of them"
        )
    recipe = parse_augment(run.augment)
    if recipe.mixes == "signal":
        needy = [term.loss.name for term in run.terms() if term.loss.name == "dkd"]
        needy += [run.weighing] if run.weighing == "ca-mkd" else []
        if needy:
            raise UserError(
                f"mixed windows have two labels and {needy[0]} needs one: leave out the mixing or {needy[0]}"
            )
    views = [teacher.view for teacher in run.teachers() if not teacher.source]
    images = [step.name for step in recipe.steps if step.place == "image"]
    if images and all(view == SIGNAL for view in views):
        raise UserError(
            f"augmentation {images[0]} changes images, and no teacher that is trained looks at any: leave it out"
        )


def _check_views(run: Run) -> None:
    views = [teacher.view for teacher in run.teachers()]
    layers = [layer for view in views if view != SIGNAL for layer in parse_stack(view)]
    uses = {"image_size": layers, "scaling": [layer for layer in layers if layer.field.scaled]}
    for name, used_by in uses.items():
        if not used_by and getattr(run, name) != type(run).__dataclass_fields__[name].default:
            raise UserError(
                f"{name.replace('_', '-')} {getattr(run, name)} does nothing for teachers on {', '.join(views)}: leave it out"
            )
    for view in views:
        run.imager(view)
