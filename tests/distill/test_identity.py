"""What a training is: every option of a run changes the keys of exactly the trainings that come out otherwise."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

import distill
from distill.plan import Plan
from tests.distill.tiny_runs import QUICK
from tsimage.windows import _UNSEEN, Windows

IMAGE, SIGNAL, SCRATCH, STUDENT = "image teacher", "signal teacher", "from scratch", "student"
ALL = {IMAGE, SIGNAL, SCRATCH, STUDENT}
OTHER = {
    "teacher": ("wrn16-1", {IMAGE, SIGNAL, STUDENT}),
    "student": ("wrn16-1", {SCRATCH, STUDENT}),
    "lambda_": (0.5, {STUDENT}),
    "lambda_to": (0.2, {STUDENT}),
    "temperature": (2.0, {STUDENT}),
    "temperature_to": (2.0, {STUDENT}),
    "loss": ("dist", {STUDENT}),
    "weighing": ("aver", {STUDENT}),
    "warm_start": (True, {STUDENT}),
    "alpha": (0.5, {STUDENT}),
    "image_size": (10, {IMAGE, STUDENT}),
    "scaling": ("window", {IMAGE, STUDENT}),
    "epochs": (3, ALL),
    "batch_size": (10, ALL),
    "learning_rate": (0.01, ALL),
    "weight_decay": (0.0, ALL),
    "optimizer": ("adamw", ALL),
    "course": ("constant", ALL),
    "warmup_epochs": (1, ALL),
    "label_smoothing": (0.1, ALL),
    "balanced": (True, ALL),
    "ema": (0.9, ALL),
    "augment": ("jitter", ALL),
    "teaching": ("live", {STUDENT}),
    "patience": (1, ALL),
    "seeds": ((1,), ALL),
    "shared_teachers": (True, set()),  # of one seed; see below for more
    "folds": ("2", ALL),
    "protocol": ("lab", ALL),
    "evaluate": ("validation", ALL),
    "precision": ("bf16", ALL),
}
ELSEWHERE = {"data", "read", "device", "select"}
"""Data and read are what the windows are, and device depends on the machine: see below. Trainings know nothing of select."""


@pytest.fixture
def named(people):
    return replace(people, name="basic-motions", gaps=None)


def keys(plan, seed=None):
    split, seed = plan.splits[0], plan.run.seeds[0] if seed is None else seed
    teachers = [plan.teacher_training(teacher, split, seed) for teacher in plan.teachers]
    own = [plan.student_training(role, split, seed) for role in ("scratch", "student")]
    return dict(zip((IMAGE, SIGNAL, SCRATCH, STUDENT), map(plan.key, [*teachers, *own]), strict=True))


def changed(one, other):
    return {role for role in ALL if one[role] != other[role]}


def test_every_option_is_looked_at():
    assert {field.name for field in fields(distill.Run)} == OTHER.keys() | ELSEWHERE


@pytest.mark.parametrize("name", OTHER)
def test_an_option_changes_the_keys_of_what_it_changes_and_of_nothing_else(named, name):
    base = distill.Run(**QUICK)
    value, expected = OTHER[name]
    run = replace(base, **{name: (value,) if name == "teacher" else value})
    assert run != base
    assert changed(keys(Plan(base, named)), keys(Plan(run, named))) == expected


def test_the_kind_of_device_changes_all(named):
    plan = Plan(distill.Run(**QUICK), named)
    before = keys(plan)
    plan.device = torch.device("mps")
    assert changed(before, keys(plan)) == ALL


def test_a_student_of_shared_teachers_differs_where_its_own_would_have_another_seed(named):
    seeds = QUICK | {"seeds": (0, 1)}
    own, shared = (Plan(distill.Run(**seeds, shared_teachers=share), named) for share in (False, True))
    assert changed(keys(own, 0), keys(shared, 0)) == set()
    assert changed(keys(own, 1), keys(shared, 1)) == {IMAGE, SIGNAL, STUDENT}
    assert keys(shared, 1)[IMAGE] == keys(shared, 0)[IMAGE]


@pytest.mark.parametrize(
    "name", sorted(field.name for field in fields(Windows) if field.name not in (*_UNSEEN, "gaps"))
)
def test_whatever_training_sees_of_windows_changes_all(named, name):
    value = getattr(named, name)
    if name == "split":
        other = np.where(named.subjects == "ann", "test", "train")
    elif isinstance(value, np.ndarray):
        other = value + 1 if value.dtype.kind in "fi" else np.char.add(value, "x")
        if name == "labels":
            other = (value + 1) % 3
    elif isinstance(value, tuple):
        other = ("deg/s", "g") if name == "units" else tuple(f"{one}-x" for one in value)
    else:
        other = f"{value}-x" if isinstance(value, str) else value + 1
    run = distill.Run(**QUICK)
    if name == "units":
        run = replace(run, scaling="window")
    assert changed(keys(Plan(run, named)), keys(Plan(run, replace(named, **{name: other})))) == ALL


def test_a_control_and_a_plain_student_from_scratch_are_not_the_same(named):
    plan = Plan(distill.Run(**QUICK, warm_start=True), named)
    roles = [plan.student_training(role, plan.splits[0], 0) for role in ("scratch", "control", "student")]
    assert len({plan.key(training) for training in roles}) == 3


def test_a_ridge_is_the_same_whatever_networks_are_trained_with(make_windows):
    windows = make_windows(60, length=40, subjects=np.repeat(["ann", "bob", "cem", "dia", "eva"], 12), split=None)

    def ridge(windows=windows, **options):
        plan = Plan(
            distill.Run(**QUICK | {"teacher": ("hydra:signal", "wrn10-1:gasf"), "seeds": (0, 1)} | options), windows
        )
        training = plan.teacher_training(plan.teachers[0], plan.splits[0], plan.run.seeds[-1])
        assert training.network == "hydra"
        return plan.key(training)

    for options in ({"epochs": 9}, {"learning_rate": 0.01}, {"precision": "bf16"}, {"protocol": "lab"}, {"ema": 0.5}):
        assert ridge(**options) == ridge()
    others = [{"seeds": (1, 2)}, {"folds": "2"}, {"evaluate": "validation"}, {"shared_teachers": True}]
    assert ridge(patience=1) == ridge(evaluate="validation")  # who is held out for one is held out for the other
    others.append({"windows": replace(windows, values=2 * windows.values)})
    assert len({ridge(), *(ridge(**options) for options in others)}) == 1 + len(others)


def test_teachers_of_earlier_runs_are_known_by_their_weights_wherever_they_lie(named, tmp_path):
    windows = replace(named, split=np.where(named.subjects == "ann", "test", "train"))
    earlier = distill.run(distill.Run(**QUICK), windows=windows, folder=tmp_path / "earlier").folder
    moved = tmp_path / "moved"
    earlier.rename(moved)
    other = distill.run(distill.Run(**QUICK | {"epochs": 1}), windows=windows, folder=tmp_path / "other").folder
    (tmp_path / "again").symlink_to(moved)

    def student(folder):
        plan = Plan(distill.Run(**QUICK | {"teacher": (f"wrn10-1@{folder}",)}), windows)
        return plan.key(plan.student_training("student", plan.splits[0], 0))

    assert student(moved) == student(tmp_path / "again") != student(other)
