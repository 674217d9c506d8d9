"""Training habits of the classifier: which there are, whom it stops on, and how groups come to it."""

import dataclasses
import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

import distill.in_memory
from distill import DistilledClassifier, Run
from distill.parameters import run_of
from tsimage import UserError

QUICK = {"student": "wrn10-1", "batch_size": 16, "device": "cpu", "epochs": 1}
OF_A_RUN_ONLY = {"data", "read", "warm_start", "seeds", "shared_teachers", "folds", "select", "protocol", "evaluate"}
OF_THE_CLASSIFIER_ONLY = {"units", "channels", "n_channels", "random_state", "verbose"}


@pytest.fixture
def x():
    return np.random.default_rng(4).normal(size=(18, 2, 20)).astype(np.float32)


@pytest.fixture
def y():
    return np.array(["sit", "lie", "walk"] * 6)


@pytest.fixture
def groups():
    return np.repeat(["ann", "bob", "cem", "dia", "eva", "fay"], 3)


@pytest.fixture
def model():
    return DistilledClassifier("wrn10-1:signal", **QUICK)


def test_options_and_defaults_are_those_of_a_run():
    given = {name: p.default for name, p in inspect.signature(DistilledClassifier).parameters.items()}
    options = {field.name for field in dataclasses.fields(Run)}
    assert options - set(given) == OF_A_RUN_ONLY
    assert set(given) - options == OF_THE_CLASSIFIER_ONLY
    shared = {name: value for name, value in given.items() if name in options}
    assert shared.pop("scaling") == "window"  # a fixed range needs units
    assert Run(**shared) == Run()


OTHER = {
    "teacher": ("wrn10-1:mtf", "wrn10-1:gasf"),
    "student": "se16-1",
    "lambda_": 0.5,
    "lambda_to": 0.1,
    "temperature": 3.0,
    "temperature_to": 1.0,
    "loss": "lskd",
    "weighing": "aver",
    "alpha": 0.1,
    "image_size": 16,
    "scaling": "fixed:g=4",
    "epochs": 9,
    "batch_size": 5,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "optimizer": "adamw",
    "course": "one-cycle",
    "warmup_epochs": 2,
    "label_smoothing": 0.2,
    "balanced": True,
    "ema": 0.9,
    "augment": "jitter",
    "teaching": "live",
    "patience": 3,
    "device": "cpu",
    "precision": "fp32",
}


def test_every_option_is_passed_on():
    params = DistilledClassifier().get_params()
    assert set(OTHER) == set(params) - OF_THE_CLASSIFIER_ONLY
    default = run_of(params, 128)
    for name, value in OTHER.items():
        changed = clone(DistilledClassifier()).set_params(**{name: value})
        assert dataclasses.asdict(run_of(changed.get_params(), 128)) == dataclasses.asdict(default) | {name: value}
    assert run_of(params | {"random_state": 7}, 128).seeds == (7,)


def test_training_stops_on_subjects_and_keeps_the_best_epoch(model, x, y, groups):
    model.set_params(epochs=9, patience=2).fit(x, y, groups=groups)
    accuracies = [row["validation_accuracy"] for row in model.history_]
    assert model.kept_epoch_ == 1 + np.argmax(accuracies)
    assert len(accuracies) == model.kept_epoch_ + 2 < 9
    held = np.isin(groups, model.validation_groups_)
    assert 0 < held.sum() < 18
    assert model.score(x[held], y[held]) == pytest.approx(max(accuracies))
    assert len(pickle.loads(pickle.dumps(model)).history_) == len(accuracies)

    # Nobody who is stopped on is learnt from: his windows among them change the epoch at most.
    model.set_params(epochs=1, patience=1)
    other = np.where(held[:, None, None], x[::-1], x)
    weights = [clone(model).fit(v, y, groups=groups).teachers_["wrn10-1:signal"].state_dict() for v in (x, other)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_without_patience_everybody_is_trained_on_and_groups_change_nothing(model, x, y, groups):
    alone, told = clone(model).fit(x, y), clone(model).fit(x, y, groups)
    np.testing.assert_array_equal(alone.predict_proba(x), told.predict_proba(x))
    assert told.validation_groups_.tolist() == []
    assert told.kept_epoch_ == 1
    assert "validation_accuracy" not in told.history_[0]


def test_groups_may_be_numbers_or_a_column(model, x, y, groups):
    named = model.set_params(patience=1).fit(x, y, groups=groups)
    numbers = np.arange(18) // 3
    for given in (numbers, numbers.tolist(), pd.Series(numbers, index=range(7, 25), dtype="category")):
        told = clone(model).fit(x, y, groups=given)
        held = np.isin(numbers, told.validation_groups_)  # they are named as they were given
        assert set(groups[held]) == set(named.validation_groups_)
        np.testing.assert_array_equal(told.predict_proba(x), named.predict_proba(x))


NOT_TOLD = (
    "patience 1 stops on validation subjects, and fit was not told whose each window is: give fit groups, the subject of each "
    "window; through searches, cross-validation and pipelines they come where "
    "sklearn.set_config(enable_metadata_routing=True) was called"
)


def test_subjects_that_are_needed_and_missing_are_asked_for(model, x, y, groups, says):
    model.set_params(patience=1)
    with says(NOT_TOLD):
        model.fit(x, y)
    with says(
        "patience 1 stops on validation subjects, and groups name only 'ann': give windows of two subjects or more"
    ):
        model.fit(x, y, groups=["ann"] * 18)
    with says(
        "groups name no subject for 3 of 18 windows, first for window 6: name one for each window, or leave these windows out"
    ):
        model.fit(x, y, groups=pd.Series(groups, dtype="string").where(groups != "cem"))
    with says(
        "groups name no subject for 1 of 18 windows, first for window 0: name one for each window, or leave these windows out"
    ):
        model.fit(x, y, groups=["", *groups[1:]])
    with says(
        "patience 1 stops on validation subjects, and whoever of the 3 is taken out, a class is left without a window to train "
        "on: give windows of each class from more subjects, or leave patience out"
    ):
        model.fit(x, y, groups=y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(x, y, groups=groups[1:])
    model.set_params(teacher=("hydra:signal",), patience=0)
    with says(
        "teacher hydra:signal is cross-fitted by subject, and groups name only '4': give windows of two subjects or more"
    ):
        model.fit(x, y, groups=[4] * 18)
    model.set_params(patience=1)
    with says(
        "teacher hydra:signal is cross-fitted by subject, and patience leaves only '0' to train on: give windows of more "
        "subjects, or leave out one of both"
    ):
        model.fit(x, y, groups=np.arange(18) // 9)


def test_groups_that_are_no_column_are_refused_by_their_name(model, x, y, groups, says):
    with says("groups of shape (18, 2) are not allowed: give one subject for each of 18 windows"):
        model.set_params(patience=1).fit(x, y, groups=np.stack([groups, groups], axis=1))


def test_subjects_that_nothing_asks_for_may_be_missing(model, x, y, groups):
    told = clone(model).fit(x, y, groups=[None, *groups[1:]])
    np.testing.assert_array_equal(told.predict_proba(x), model.fit(x, y).predict_proba(x))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(x, y, groups=groups[1:])


def test_random_convolutions_teach_where_subjects_are_known(model, x, y, groups):
    model.set_params(teacher="minirocket:signal").fit(x, y, groups=groups)
    assert model.teachers_["minirocket:signal"].training_logits.shape == (18, 3)
    assert pickle.loads(pickle.dumps(model)).teachers_["minirocket:signal"].logits(x).shape == (18, 3)


def test_groups_come_through_searches_and_pipelines_where_metadata_are_routed(model, x, y, groups):
    rows, model = x.reshape(18, -1), model.set_params(n_channels=2)
    pipeline = make_pipeline(StandardScaler(), model)
    grid = {"distilledclassifier__patience": [0, 1]}
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(pipeline, grid, cv=GroupKFold(2), error_score="raise").fit(rows, y, groups=groups)
        chosen = clone(model).set_params(patience=1)
        scores = cross_val_score(chosen, x, y, cv=GroupKFold(2), params={"groups": groups}, error_score="raise")
    best = search.best_estimator_[-1]
    assert bool(len(best.validation_groups_)) == (best.patience == 1)
    assert len(scores) == 2
    # Without routing, scikit-learn has older ways for a pipeline and for a cross-validation, and none for a search.
    alone = clone(pipeline).set_params(distilledclassifier__patience=1).fit(rows, y, distilledclassifier__groups=groups)
    assert len(alone[-1].validation_groups_) > 0
    np.testing.assert_array_equal(
        cross_val_score(chosen, x, y, groups=groups, cv=GroupKFold(2), params={"groups": groups}), scores
    )
    with pytest.raises(UserError) as caught:
        GridSearchCV(pipeline, grid, cv=GroupKFold(2), error_score="raise").fit(rows, y, groups=groups)
    assert str(caught.value) == NOT_TOLD


def test_scikit_learn_itself_says_that_there_are_no_weights_of_windows(model, x, y):
    assert not has_fit_parameter(model, "sample_weight")
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weight'"):
        model.fit(x, y, sample_weight=np.ones(18))


def test_losses_that_cannot_be_compared_are_refused_before_anything_is_trained(model, x, y, monkeypatch):
    def train(*args, **options):
        raise AssertionError("trained")

    monkeypatch.setattr(distill.in_memory, "train", train)
    model.set_params(teacher="wrn10-1:spectrogram", loss="kd+at", image_size=8)
    with pytest.raises(UserError, match=r"^loss .at. compares a signal with an image over time"):
        model.fit(x, y)
    with pytest.raises(AssertionError, match="trained"):
        model.set_params(teacher="wrn10-1:gasf").fit(x, y)


def test_where_memory_ends_is_said_in_a_sentence(model, x, y, monkeypatch, says):
    def ends(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(distill.in_memory, "train", ends)
    with says("memory ran out: lower the batch-size or the image-size, or use another device"):
        model.fit(x, y)


def test_it_tells_how_training_goes_where_asked(model, x, y, groups, capsys):
    model.fit(x, y)
    assert capsys.readouterr().out == ""
    model.set_params(verbose=1, patience=1).fit(x, y, groups=groups)
    teacher, student = capsys.readouterr().out.splitlines()
    assert teacher.startswith("seed 0  teacher wrn10-1:signal  kept epoch 1 of 1  loss ")
    assert student.startswith("seed 0  distilled wrn10-1:signal  kept epoch 1 of 1  loss ")
