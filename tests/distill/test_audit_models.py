from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.audit.canaries import splits_in_use
from distill.audit.contradictions import confident_class, contradictions
from distill.audit.inflation import Inflation, groups_held_out, inflation, windows_held_out
from distill.audit.quick import nearest_accuracy, quick_model
from distill.audit.student import student_trainer
from distill.config import Run
from tests.distill.studies import study


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.data())
def test_windows_drawn_at_random_keep_the_shares_of_classes(labels, data):
    labels = np.array(labels)
    n = data.draw(st.integers(1, len(labels) - 1))
    train, held = windows_held_out(labels, n, seed=data.draw(st.integers(0, 9)))
    assert len(held) == n
    assert sorted([*train, *held]) == list(range(len(labels)))
    expected = n * np.bincount(labels, minlength=4) / len(labels)
    assert np.abs(np.bincount(labels[held], minlength=4) - expected).max() <= 1


def test_people_drawn_are_whole_and_differ_by_seed():
    windows = study(people=10)
    drawn = set()
    for seed in range(6):
        train, held = groups_held_out(windows, 0.3, seed)
        assert not set(windows.subjects[train]) & set(windows.subjects[held])
        assert len(held) == 36
        drawn.add(tuple(np.unique(windows.subjects[held])))
    assert len(drawn) > 3


def test_a_class_of_one_person_stays_in_training():
    windows = study(people=4)
    labels = np.where(windows.subjects == "s02", 2, windows.labels)
    windows = replace(windows, labels=labels, class_names=("slow", "fast", "odd"))
    for seed in range(8):
        assert (windows.labels[groups_held_out(windows, 0.25, seed)[0]] == 2).any()


def personal(people=8):
    """Windows whose class is told by a level that each person has another of: nothing of it holds for others."""
    windows = study(people=people, recordings=1, each=12, noise=0.1)
    rng = np.random.default_rng(0)
    levels = rng.normal(size=(people, 2, 2, 20))
    who = np.unique(windows.subjects, return_inverse=True)[1]
    values = levels[who, windows.labels] + 0.1 * rng.normal(size=(len(windows), 2, 20))
    return replace(windows, values=values.astype(np.float32))


def test_a_leak_inflates_what_only_holds_for_known_people():
    windows = personal()
    splits = splits_in_use(windows)
    quick = quick_model(windows, splits[0].train)
    for accuracy in (quick.accuracy, lambda a, b: nearest_accuracy(windows, a, b)):
        found = inflation(windows, splits, accuracy, "it")
        assert found.groups == "subject"
        assert found.used == accuracy(splits[0].train, splits[0].evaluation)
        assert len(found.apart) == len(found.leaky) == 5
        assert np.mean(found.leaky) > 0.9
        assert np.mean(found.apart) < 0.7
        assert found.is_clear
        assert found.points == pytest.approx(100 * (np.mean(found.leaky) - np.mean(found.apart)))


def test_a_leak_adds_nothing_to_what_holds_for_everybody():
    windows = study(noise=0.05)
    splits = splits_in_use(windows)
    found = inflation(windows, splits, quick_model(windows, splits[0].train).accuracy, "it")
    assert abs(found.points) < 3
    assert not found.is_clear
    assert found == inflation(windows, splits, quick_model(windows, splits[0].train).accuracy, "it")


def test_over_folds_the_split_in_use_counts_every_window():
    windows = study(people=5, recordings=1, each=7)
    seen = []

    def accuracy(train, other):
        seen.append(other)
        return len(other) / 35

    found = inflation(windows, splits_in_use(windows, "loso"), accuracy, "it", draws=1)
    assert found.used == pytest.approx(7 / 35)
    assert sorted(np.concatenate(seen[2:])) == list(range(35))


def test_nearest_windows_by_hand():
    values = np.array([[0.0, 0, 0], [1, 1, 1], [0.1, 0, 0], [0.9, 1, 1], [0, 0.2, 0]])[:, None].astype(np.float32)
    windows = replace(
        study(people=1, recordings=1, each=5),
        values=values,
        labels=np.array([0, 1, 0, 1, 1]),
        channels=("x",),
        units=("g",),
    )
    assert nearest_accuracy(windows, np.array([0, 1]), np.array([2, 3, 4])) == pytest.approx(2 / 3)


def test_the_student_is_trained_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    windows = personal(4)
    run = Run(student="wrn10-1", epochs=8, seeds=(0,), device="cpu", precision="fp32")
    found = inflation(windows, splits_in_use(windows), student_trainer(windows, run), "wrn10-1", draws=1)
    assert found.leaky[0] > found.apart[0]
    assert found.leaky[0] > 0.8
    assert list(tmp_path.iterdir()) == []


def test_confidence_is_judged_by_class():
    probabilities = np.array(
        [[0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4], [0.1, 0.5, 0.4], [0.5, 0.4, 0.1], [0.2, 0.45, 0.35]]
    )
    labels = np.array([0, 0, 1, 1, 2, 2])  # thresholds 0.7, 0.4, 0.225
    assert confident_class(probabilities, labels).tolist() == [-1, 0, 2, 1, 1, 1]


def test_a_class_without_windows_is_never_seen():
    assert confident_class(np.array([[0.1, 0.9], [0.2, 0.8]]), np.array([0, 0])).tolist() == [-1, 0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_wrong_labels_are_found(seed):
    """20 of 300 labels are wrong; measured for these seeds: 20, 20 and 19 are found, and no label beside them."""
    windows = study(people=10, recordings=2, each=15, classes=3, seed=seed)
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(windows), 20, replace=False)
    labels = windows.labels.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, 3, size=20)) % 3
    flawed = replace(windows, labels=labels)
    found = contradictions(flawed, quick_model(flawed, np.arange(300)))
    listed = [int(row.window.removeprefix("w")) for row in found]
    hits = len(set(listed) & set(wrong.tolist()))
    assert hits >= 19
    assert hits >= 0.9 * len(listed)
    margins = [row.probability - row.probability_of_label for row in found]
    assert margins == sorted(margins, reverse=True)
    for row, place in zip(found, listed, strict=True):
        assert (row.subject, row.recording) == (windows.subjects[place], windows.recordings[place])
        assert (row.start, row.stop) == (windows.start[place], windows.stop[place])
        assert row.label == windows.class_names[labels[place]]
    right = [row.seen == windows.class_names[windows.labels[int(row.window[1:])]] for row in found]
    assert np.mean(right) >= 0.9


def test_what_draws_differ_by_is_not_called_clear():
    found = Inflation(
        model="it", groups="subject", used=0.5, apart=(0.80, 0.84, 0.88), leaky=(0.90, 0.92, 0.88), evaluated=9
    )
    assert found.points == pytest.approx(6)  # s.d. 4 and 2, so that the standard error is sqrt(20 / 3) = 2.58 points
    assert found.is_clear
    assert not replace(found, leaky=(0.89, 0.91, 0.87)).is_clear  # 5 points
    assert not replace(found, apart=(0.5,), leaky=(0.9,)).is_clear


def test_a_class_that_nobody_else_has_is_not_judged():
    windows = study(people=6, recordings=1, each=20, classes=3)
    labels = np.where(windows.subjects == "s01", 2, windows.labels % 2)
    odd = replace(windows, labels=labels)
    assert "s01" not in {row.subject for row in contradictions(odd, quick_model(odd, np.arange(120)))}


def test_the_class_seen_is_more_probable_than_the_label():
    windows = study(people=6, recordings=1, each=20, classes=3, noise=2)
    rare = np.where(np.arange(120) % 20 == 2, 2, windows.labels % 2)  # one window of each person
    odd = replace(windows, labels=rare)
    found = contradictions(odd, quick_model(odd, np.arange(120)))
    assert found
    assert all(row.probability > row.probability_of_label for row in found)


def test_right_labels_are_left_alone():
    windows = study(people=10, recordings=2, each=15, classes=3, noise=0.05)
    assert contradictions(windows, quick_model(windows, np.arange(300))) == ()
