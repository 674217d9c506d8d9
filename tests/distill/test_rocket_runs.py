"""Random convolutions among the teachers of a run."""

from dataclasses import replace

import numpy as np
import pytest

import distill
from distill.finished import ridge_of
from distill.plan import Plan
from distill.rocket import RidgeTeacher
from tests.distill.tiny_runs import QUICK, record, shas


@pytest.fixture
def longer(make_windows):
    """60 windows of 5 people in 3 classes that differ in their amplitude, long enough for dilated kernels."""
    made = make_windows(60, length=40, subjects=np.repeat(["ann", "bob", "cem", "dia", "eva"], 12), split=None)
    scaled = made.values * (1 + 3 * made.labels[:, None, None])
    return replace(made, values=scaled, split=np.where(made.subjects == "ann", "test", "train"))


@pytest.mark.parametrize("name", ["minirocket", "hydra"])
def test_random_convolutions_teach_with_logits_of_people_left_out(longer, tmp_path, name):
    run = distill.Run(**QUICK | {"teacher": (f"{name}:signal=0.5", "wrn10-1:gasf=0.5")})
    result = distill.run(run, windows=longer, folder=tmp_path / "run")
    about = record(result.folder, f"seed-0/teacher-{name}-signal")
    train = longer.select(np.flatnonzero(longer.split == "train"))
    teacher = RidgeTeacher(name, seed=0).fit(train.values, train.labels, train.subjects)
    expected = (teacher.training_logits.argmax(1) == train.labels).mean()
    assert about["cross_fitted_accuracy"] == expected
    loaded, _ = ridge_of(Plan(run, longer, result.folder).trainings()[0])
    np.testing.assert_array_equal(loaded.training_logits, teacher.training_logits)
    test = longer.select(np.flatnonzero(longer.split == "test"))
    right = (teacher.logits(test.values).argmax(1) == test.labels).mean()
    row = result.content["models"][0]
    assert (row["network"], row["weight"]) == (name, 0.5)
    assert row["seeds"]["0"]["accuracy"] == pytest.approx(right)
    again = distill.run(run, windows=longer, folder=tmp_path / "again")
    assert shas(again.folder) == shas(result.folder)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"teacher": "minirocket"}, "teacher 'minirocket': minirocket looks at the raw signal alone: name it minirocket:signal"),
        ({"teacher": "hydra:gasf"}, "teacher 'hydra:gasf': hydra looks at the raw signal alone: name it hydra:signal"),
        ({"teacher": "hydra:signal", "augment": "jitter"}, "teacher hydra:signal has cross-fitted logits of the training windows as "
         "they are, and augmentation jitter changes the windows: leave out one of them"),
        ({"teacher": "hydra:signal", "loss": "sp"}, "teacher hydra:signal has cross-fitted logits of the training windows as they "
         "are, and loss sp compares more than logits: leave out one of them"),
        ({"teacher": "hydra:signal", "loss": "kd+rkd"}, "teacher hydra:signal has cross-fitted logits of the training windows as they "
         "are, and loss rkd compares more than logits: leave out one of them"),
        ({"teacher": "hydra:signal", "teaching": "live"}, "teacher hydra:signal has cross-fitted logits of the training windows as "
         "they are, and teaching is live: leave out one of them"),
    ],
)  # fmt: skip
def test_what_random_convolutions_cannot_do_is_refused(says, options, error):
    with says(error):
        distill.Run(**options)
