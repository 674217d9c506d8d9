"""Reliability by confidence, against hand-computed bins and a count window by window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.calibration import calibration_error, reliability


def logits_of(probabilities):
    return np.log(np.asarray(probabilities, dtype=np.float64))


def test_bins_by_hand():
    # confidences 0.6 (right), 0.7 (wrong), 0.95 (right), 0.9 (wrong); five bins: (0.4, 0.6], (0.6, 0.8], (0.8, 1]
    logits = logits_of([[0.6, 0.4], [0.3, 0.7], [0.95, 0.05], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 0])
    found = reliability(logits, labels, bins=5)
    assert found["windows"].sum() == 4
    assert found["windows"].tolist()[3:] == [1, 2]
    assert found["confidence"].tolist()[3:] == pytest.approx([0.7, 0.925])
    assert found["accuracy"].tolist()[3:] == [0.0, 0.5]
    # |0.6 - 1| + |0.7 - 0| + 2 |0.925 - 0.5|, over 4 windows
    assert calibration_error(found) == pytest.approx((0.4 + 0.7 + 0.85) / 4)


def test_empty_bins_have_no_accuracy():
    found = reliability(logits_of([[0.5, 0.5]]), np.array([0]), bins=4)
    assert np.isnan(found["accuracy"]).sum() == 3
    assert found.loc[1, ["low", "high", "windows", "confidence", "accuracy"]].tolist() == [0.25, 0.5, 1, 0.5, 1.0]


@given(st.integers(1, 40), st.integers(2, 6), st.integers(1, 20), st.integers(0, 2**31))
def test_the_error_is_that_of_a_count_window_by_window(n, classes, bins, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(n, classes)) * 3, rng.integers(0, classes, n)
    exps = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exps / exps.sum(1, keepdims=True)
    total = 0.0
    for b in range(bins):
        inside = [i for i in range(n) if b / bins < probabilities[i].max() <= (b + 1) / bins]
        gap = sum(probabilities[i].max() - (probabilities[i].argmax() == labels[i]) for i in inside)
        total += abs(gap) / n
    assert calibration_error(reliability(logits, labels, bins)) == pytest.approx(total, abs=1e-9)


def test_a_certain_model_is_in_the_last_bin():
    assert reliability(np.array([[90.0, 0.0]], dtype=np.float32), np.array([0]))["windows"].tolist() == [0] * 14 + [1]
