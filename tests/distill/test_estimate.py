"""The time of trainings, from timing a few steps; whatever is wrong with a training is left to the training to say."""

import math

import numpy as np
import pytest
import torch

import distill
from distill.estimate import estimate, estimate_all
from distill.plan import Plan
from tests.distill.tiny_runs import QUICK


@pytest.fixture
def windows(people):
    return people


def seconds(run, windows):
    return {training.role: found for training, found in estimate(Plan(distill.Run(**QUICK | run), windows), steps=1)}


def test_a_run_that_would_diverge_is_timed_like_any_other(windows):
    assert all(0 < found < 60 for found in seconds({"learning_rate": 1e18}, windows).values())


def test_where_memory_ends_the_time_is_not_known(windows, monkeypatch):
    def ends(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("distill.estimate.train", ends)
    assert all(math.isnan(found) for found in seconds({}, windows).values())


def test_any_other_error_is_no_estimate(windows, monkeypatch):
    def breaks(*args, **options):
        raise RuntimeError("a defect")

    monkeypatch.setattr("distill.estimate.train", breaks)
    with pytest.raises(RuntimeError, match="a defect"):
        seconds({}, windows)


def test_trainings_of_a_kind_are_timed_once(people, monkeypatch):
    calls = []
    monkeypatch.setattr("distill.estimate._step_seconds", lambda plan, training, *rest: calls.append(training) or 2.0)
    plan = Plan(distill.Run(**QUICK | {"seeds": (0, 1, 2)}), people)
    found = [made for _, made in estimate(plan)]
    assert len(calls) == 2  # images and signals
    assert found == [2.0 * QUICK["epochs"]] * 12  # one batch in an epoch


@pytest.mark.parametrize("other", [{"image_size": 16}, {"weighing": "ae-kd"}, {"loss": "kd+at"}])
def test_students_of_live_teachers_that_differ_are_each_timed(people, monkeypatch, other):
    roles = []
    monkeypatch.setattr(
        "distill.estimate._step_seconds", lambda plan, training, *rest: roles.append(training.role) or 1
    )
    runs = [distill.Run(**QUICK | {"teaching": "live"} | options) for options in ({}, {}, other)]
    estimate_all([(plan, training) for plan in (Plan(run, people) for run in runs) for training in plan.trainings()])
    assert roles.count("student") == 2


def test_a_loss_of_cached_embeddings_is_timed_with_its_teachers(people, monkeypatch):
    taught = []
    monkeypatch.setattr(
        "distill.estimate.train",
        lambda *_, teaching, on_epoch, **__: taught.append(teaching) or [*map(on_epoch, range(3))],
    )
    assert seconds({"loss": "kd+rkd"}, people).keys() == {"teacher", "scratch", "student"}
    shown = [teacher.embedding.shape for teaching in taught if teaching for teacher in teaching.teachers]
    assert shown == [(24, 64), (24, 64)]  # one of five people is left out


def test_windows_in_the_order_of_their_classes_are_timed_with_mixing_too(people):
    order = np.argsort(people.labels, kind="stable")
    run = {"augment": "mixup", "batch_size": 8}
    assert all(found > 0 for found in seconds(run, people.select(order)).values())
