from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.audit.canaries import splits_in_use
from distill.audit.sharing import contents_of, overlapped, sharing
from distill.certificate import certificate
from tests.distill.studies import by_window, study
from tsimage.errors import UserError


def shared(windows, folds=""):
    return sharing(windows, splits_in_use(windows, folds))


def test_a_split_by_subject_shares_nothing():
    found = shared(study(split=np.where(study().subjects < "s06", "train", "test")))
    assert not found.leaks
    assert (found.windows, found.evaluated_subjects) == (24, 2)
    assert found.sentences() == [
        "No person is in both parts.",
        "No recording is in both parts.",
        "No raw sample is in both parts.",
        "No window to evaluate is a copy of a training window.",
    ]


def test_everything_shared_is_counted_and_said():
    windows = study(people=2, recordings=1, each=4, step=15)  # windows 0-20, 15-35, 30-50, 45-65 of two people
    values = windows.values.copy()
    values[7] = values[6] = values[0]
    split = np.array(["train", "test", "train", "train", "train", "train", "train", "test"])
    windows = replace(windows, values=values, split=split, units=("g", ""))
    found = shared(windows)
    assert (found.subjects, found.recordings) == (("s00", "s01"), ("r00", "r01"))
    assert (found.same_samples, found.duplicates, found.contradictory_duplicates) == (2, 1, 3)
    assert found.leaks
    assert found.sentences() == [
        "2 people are in both parts: s00, s01.",
        "2 recordings are in both parts: r00, r01.",
        "2 of 2 windows to evaluate hold raw samples that are trained on (as 'w1' does, with 'w2').",
        "1 of 2 windows to evaluate are copies of a training window, to the last bit.",
        "3 windows are copies of a window of another class: one label is wrong.",
        "Nobody is evaluated on class slow: nothing is said about it.",
        "The unit of y is unknown (option units).",
    ]


def test_it_reports_where_the_certificate_refuses():
    windows = study()
    windows = replace(windows, split=by_window(windows))
    (split,) = splits_in_use(windows)
    with pytest.raises(UserError, match="hold the same raw samples"):
        certificate(windows, split)
    assert sharing(windows, (split,)).same_samples > 20


def test_one_person_few_windows_and_a_class_of_one():
    windows = study(people=4, recordings=1, each=20, classes=2)
    kept = np.concatenate([np.arange(60), [60, 61, 62]])
    labels = np.where((windows.subjects == "s01") & (windows.labels == 1), 2, windows.labels)
    odd = replace(windows, labels=labels, class_names=("slow", "fast", "odd")).select(kept)
    split = np.where(odd.subjects == "s00", "test", "train")
    said = shared(replace(odd, split=split)).sentences()
    assert said[4:] == [
        "One person alone is evaluated, so that the number tells of this person.",
        "Class odd is of one person alone (s01): a model may learn the person for the class.",
        "Nobody is evaluated on class odd: nothing is said about it.",
        "Few windows, and so a shaky number of their own, have s03 (3).",
    ]


def test_what_is_unknown_is_said():
    unknown = np.full(96, "")
    found = shared(replace(study(), subjects=unknown, recordings=unknown, split=by_window(study())))
    assert (found.subjects, found.recordings, found.same_samples, found.leaks) == (None, None, None, False)
    assert found.sentences() == [
        "The people are not known of every window: the same person may be in both parts.",
        "The recordings are not known of every window: so raw samples cannot be compared.",
        "No window to evaluate is a copy of a training window.",
    ]


def test_folds_are_looked_at_one_by_one():
    windows = study()
    values = windows.values.copy()
    values[90] = values[3]  # of the last person and the first, each evaluated once on the other
    found = shared(replace(windows, values=values), "loso")
    assert (found.windows, found.duplicates, found.subjects) == (96, 2, ())


def test_minus_zero_is_zero():
    values = np.zeros((96, 2, 20), dtype=np.float32)
    values[1] = -0.0
    assert len(np.unique(contents_of(replace(study(), values=values)))) == 1


spans = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 25), st.integers(1, 12)), min_size=2, max_size=16)


@given(spans, st.data())
def test_overlaps_are_those_of_all_pairs(rows, data):
    start = np.array([start for _, start, _ in rows])
    windows = replace(
        study(people=1, recordings=1, each=len(rows)),
        recordings=np.array([name for name, _, _ in rows]),
        start=start,
        stop=start + np.array([n for _, _, n in rows]),
    )
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    train, other = np.flatnonzero(mask), np.flatnonzero(~mask)
    samples = [{(name, t) for t in range(first, first + n)} for name, first, n in rows]
    found = overlapped(windows, train, other)
    for i, j in zip(other, found, strict=True):
        if j < 0:
            assert not any(samples[i] & samples[k] for k in train)
        else:
            assert j in train
            assert samples[i] & samples[j]
