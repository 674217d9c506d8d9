import dataclasses

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.optimize import minimize
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from distill.rocket import KINDS, RidgeTeacher, cross_fitted_logits, make_transform
from distill.rocket.calibration import calibrating_factor, negative_log_likelihood
from distill.rocket.ridge import ALPHAS, fit_ridge, fit_scaling

SMALL = {"minirocket": {"n_features": 252}, "hydra": {"groups": 4}}


def people(n=8, each=12, seed=0, noise=0.5):
    """Windows of three classes, slow, fast and faster waves of random phase, of n people."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n * each) % 3
    groups = np.repeat([f"s{i}" for i in range(n)], each)
    phase = rng.uniform(0, 2 * np.pi, size=(len(labels), 2, 1))
    wave = np.sin(np.arange(40) * np.array([0.2, 0.5, 1.1])[labels][:, None, None] + phase)
    return (wave + noise * rng.normal(size=wave.shape)).astype(np.float32), labels, groups


@pytest.mark.parametrize(("n", "p"), [(60, 15), (40, 90), (30, 30)])
@pytest.mark.parametrize("noise", [0.3, 5.0])
def test_ridge_equals_scikit_learn(n, p, noise):
    rng = np.random.default_rng(n + p)
    labels = np.arange(n) % 4
    x = rng.normal(size=(n, p)) + rng.normal(size=(4, p))[labels] / noise + 3
    theirs = RidgeClassifierCV(alphas=ALPHAS).fit(x, labels)
    ours = fit_ridge(x, labels, 4)
    assert ours.alpha == pytest.approx(theirs.alpha_)
    np.testing.assert_allclose(ours.scores(x), theirs.decision_function(x), atol=2e-4)
    np.testing.assert_allclose(fit_ridge(x, labels, 4, (ours.alpha,)).weight, ours.weight)


def test_ridge_takes_the_penalty_of_least_error_of_windows_left_out_one_by_one():
    rng = np.random.default_rng(1)
    labels = np.arange(18) % 2
    x = rng.normal(size=(18, 25)) + labels[:, None]
    targets = 2.0 * np.eye(2)[labels] - 1
    errors = []
    for alpha in ALPHAS:
        left_out = []
        for i in range(18):
            others = np.arange(18) != i
            left_out.append(fit_ridge(x[others], labels[others], 2, (alpha,)).scores(x[i : i + 1])[0] - targets[i])
        errors.append(np.mean(np.square(left_out)))
    assert fit_ridge(x, labels, 2).alpha == ALPHAS[int(np.argmin(errors))]


def test_an_absent_class_scores_minus_one():
    x = np.random.default_rng(0).normal(size=(20, 5))
    scores = fit_ridge(x, np.arange(20) % 2, classes=3).scores(x)
    np.testing.assert_allclose(scores[:, 2], -1, atol=1e-6)
    assert np.ptp(scores[:, 0]) > 0.01


def test_dense_features_are_standardised_as_by_scikit_learn_and_constants_are_zero():
    x = np.random.default_rng(0).uniform(size=(30, 4)).astype(np.float32)
    x[:, 2] = 0.7
    scaled = fit_scaling(x, sparse=False)(x)
    np.testing.assert_allclose(scaled, StandardScaler().fit_transform(x), atol=2e-5)
    assert np.abs(scaled[:, 2]).max() < 1e-6


def test_counts_keep_their_zeros_and_rare_ones_are_small():
    counts = np.array([[0, 4, 0], [9, 16, 0], [0, 25, -3], [16, 36, 0]], dtype=np.float32)
    scaled = fit_scaling(counts, sparse=True)(counts)
    first = np.array([0, 3, 0, 4])
    spread = np.sqrt(np.sum((first - 1.75) ** 2) / 3) + 0.5**4 + 1e-8
    np.testing.assert_allclose(scaled[:, 0], [0, 1.25 / spread, 0, 2.25 / spread], rtol=1e-6)
    assert (scaled[:, 2] == 0).all()


def test_the_factor_has_the_least_negative_log_likelihood():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(200, 3)), rng.integers(3, size=200)
    scores[np.arange(200), labels] += 1
    assert negative_log_likelihood(np.log([[0.2, 0.8]]), np.array([1])) == pytest.approx(-np.log(0.8))
    found = calibrating_factor(scores, labels)

    def loss(s):
        powers = np.exp(s[0] * scores)
        return log_loss(labels, powers / powers.sum(axis=1, keepdims=True))

    assert found == pytest.approx(minimize(loss, [1.0]).x[0], rel=1e-3)
    assert calibrating_factor(5 * scores, labels) == pytest.approx(found / 5, rel=1e-4)
    never_wrong = calibrating_factor(np.eye(3), np.arange(3))
    assert 10 < never_wrong <= 100
    assert calibrating_factor(-np.eye(3), np.arange(3)) == pytest.approx(0.01, rel=1e-3)


class Memory:
    """Knows what it was fitted to, and scores how many of its windows it has seen."""

    def fit(self, values, labels, classes):
        self.seen, self.classes = set(values[:, 0, 0].tolist()), classes

    def scores(self, values):
        known = np.array([value in self.seen for value in values[:, 0, 0].tolist()])
        return np.where(known[:, None], 1.0, 0.0) + np.arange(self.classes)[::-1] / 10 + values[:, 0, :1]


def test_cross_fitting_never_sees_the_subject_and_keeps_the_order():
    _, labels, groups = people()
    shuffle = np.random.default_rng(0).permutation(len(labels))
    labels, groups = labels[shuffle], groups[shuffle]
    # One value per person: a model that saw any window of the person knows them all.
    values = np.unique(groups, return_inverse=True)[1][:, None, None].astype(np.float32)
    logits, report = cross_fitted_logits(values, labels, groups, Memory, folds=4)
    np.testing.assert_allclose(logits, values[:, 0] + np.array([0.2, 0.1, 0]), rtol=1e-6)
    assert logits.dtype == np.float32
    held = [group for fold in report for group in fold.groups]
    assert sorted(held) == sorted(set(groups))
    assert [len(fold.groups) for fold in report] == [2, 2, 2, 2]
    assert sum(fold.windows for fold in report) == len(labels)
    assert all(fold.accuracy == pytest.approx(1 / 3) and fold.absent == () for fold in report)


def test_a_class_of_one_person_is_absent_where_that_person_is_held_out():
    values, labels, groups = people(n=3)
    labels = np.where(groups == "s1", labels, labels % 2)
    teacher = RidgeTeacher("minirocket", options={"n_features": 84}).fit(values, labels, groups)
    absent = {fold.groups: fold.absent for fold in teacher.report}
    assert absent == {("s0",): (), ("s1",): (2,), ("s2",): ()}
    np.testing.assert_allclose(teacher.training_logits[groups == "s1", 2], -teacher.factor, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_teacher_generalises_and_its_training_logits_are_honest(kind):
    values, labels, groups = people(noise=1.2)
    teacher = RidgeTeacher(kind, options=SMALL[kind]).fit(values, labels, groups)
    new, new_labels, _ = people(seed=9, noise=1.2)

    def accuracy(logits, truth):
        return np.mean(logits.argmax(axis=1) == truth)

    assert accuracy(teacher.logits(new), new_labels) > 0.6
    honest, known = teacher.training_logits, teacher.logits(values)
    assert negative_log_likelihood(known, labels) < 0.7 * negative_log_likelihood(honest, labels)
    assert accuracy(known, labels) > accuracy(honest, labels)
    assert accuracy(honest, labels) == pytest.approx(accuracy(teacher.logits(new), new_labels), abs=0.15)
    assert calibrating_factor(honest, labels) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_say_nothing_teach_nothing(kind):
    values, _, groups = people()
    labels = np.random.default_rng(1).integers(3, size=len(groups))
    teacher = RidgeTeacher(kind, options=SMALL[kind]).fit(values, labels, groups)
    assert np.mean(teacher.training_logits.argmax(axis=1) == labels) < 0.5
    assert negative_log_likelihood(teacher.training_logits, labels) > 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_teacher_predicts_the_same_to_the_bit(kind, tmp_path):
    values, labels, groups = people(n=4)
    teacher = RidgeTeacher(kind, seed=3, folds=2, options=SMALL[kind]).fit(values, labels, groups)
    arrays, metadata = teacher.state()
    (tmp_path / "teacher.safetensors").write_bytes(save(arrays, metadata))
    back = RidgeTeacher.from_state(load((tmp_path / "teacher.safetensors").read_bytes()), metadata)
    assert np.array_equal(back.logits(values), teacher.logits(values))
    assert np.array_equal(back.training_logits, teacher.training_logits)
    assert back.report == teacher.report
    assert all(isinstance(dataclasses.asdict(fold), dict) for fold in back.report)
    again, about = back.state()
    assert about == metadata
    assert again.keys() == arrays.keys()


def test_seeds_repeat_and_differ():
    values, labels, groups = people(n=4)

    def logits(seed):
        return RidgeTeacher("hydra", seed=seed, options=SMALL["hydra"]).fit(values, labels, groups).training_logits

    assert np.array_equal(logits(0), logits(0))
    assert not np.array_equal(logits(0), logits(1))


def test_scores_do_not_depend_on_batches_and_none_are_of_none():
    values, labels, groups = people(n=4)
    model = RidgeTeacher("minirocket", options=SMALL["minirocket"]).fit(values, labels, groups).model
    np.testing.assert_allclose(model.scores(values, batch_size=7), model.scores(values), atol=1e-5)
    assert model.scores(values[:0]).shape == (0, 3)


def test_mistakes_are_one_sentence(says):
    values, labels, groups = people(n=2)
    with says("unknown random-convolution teacher 'hydre': did you mean 'hydra'? Valid: minirocket, hydra"):
        RidgeTeacher("hydre")
    with says("unknown option of hydra 'group': did you mean 'groups'? Valid: kernels, groups"):
        make_transform("hydra", options={"group": 4})
    teacher = RidgeTeacher("hydra", options=SMALL["hydra"])
    with says(
        "cross-fitting needs windows of at least 2 subjects, but all 24 are of 's0': add other people or take another teacher"
    ):
        teacher.fit(values, labels, np.full(24, "s0"))
    with says(
        "the subjects of 12 of 24 windows are unknown, and cross-fitting keeps people apart: store subjects beside the "
        "windows, or leave these windows out"
    ):
        teacher.fit(values, labels, np.where(groups == "s1", "", groups))
    with says("folds 1 is not allowed: cross-fitting needs at least 2, to hold one out and train on one"):
        RidgeTeacher("hydra", folds=1, options=SMALL["hydra"]).fit(values, labels, groups)
    with says(
        "values (24, 2, 40), labels (23,) and groups (24,) do not fit: give (window, channel, time), (window,) and (window,)"
    ):
        teacher.fit(values, labels[:23], groups)
    broken = values.copy()
    broken[5, 1, 3] = np.nan
    with says(
        "window 5 has a sample that is missing or not finite, and hydra needs them all: fill gaps or leave such windows out"
    ):
        teacher.fit(broken, labels, groups)
    teacher.fit(values, labels, groups)
    with says(
        "windows (24, 2, 39) do not fit the teacher 'hydra', which was fitted to (window, 2, 40): give windows of the same "
        "channels and length"
    ):
        teacher.logits(values[:, :, :39])
    with says(
        "this is no state of a random-convolution teacher (KeyError: 'rocket'): give the arrays and the metadata that "
        "`state` returned"
    ):
        RidgeTeacher.from_state({}, {})


@pytest.mark.parametrize("kind", KINDS)
def test_real_windows_of_new_people_are_told_apart(kind, hapt):
    basic = np.flatnonzero(np.isin(hapt.labels, np.unique(hapt.labels)[:6]))
    rng = np.random.default_rng(0)

    def some(part, n):
        return np.sort(rng.choice(basic[hapt.split[basic] == part], n, replace=False))

    train, test = some("train", 500), some("test", 300)
    options = {"minirocket": {"n_features": 840}, "hydra": {"groups": 8}}[kind]
    teacher = RidgeTeacher(kind, options=options).fit(hapt.values[train], hapt.labels[train], hapt.subjects[train])
    on_test = np.mean(teacher.logits(hapt.values[test]).argmax(axis=1) == hapt.labels[test])
    on_train = np.mean(teacher.training_logits.argmax(axis=1) == hapt.labels[train])
    assert on_test > 0.8
    assert on_train > 0.8
