import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from distill.losses import Contrast
from distill.losses.contrastive import LARGEST_SCALE
from distill.trace import Trace


def identical(features, scale):
    """A contrast that projects nothing: both projections are the identity, and the inverse temperature is `scale`."""
    term = Contrast(features, [features], dim=features).double()
    with torch.no_grad():
        for layer in (term.ours[0], term.theirs[0]):
            layer.weight.copy_(torch.eye(features))
            layer.bias.zero_()
        term.log_scale.fill_(math.log(scale))
    return term


def by_hand(ours, theirs, scale):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (ours, theirs))
    likeness = scale * a @ b.T
    log_rows, log_columns = log_softmax(likeness, axis=1), log_softmax(likeness, axis=0).T
    contrast = -np.diag(log_rows).mean()
    consistency = (np.exp(log_columns) * (log_columns - log_rows)).sum(axis=1).mean()
    return contrast, consistency


def test_equals_numpy_with_two_teachers(batch):
    term = Contrast.build(batch.student, batch.teachers, dim=7, consistency=0.25).double()
    parts = term(batch.student, batch.teachers, batch.labels, batch.per_window)
    total = 0.0
    for k, teacher in enumerate(batch.teachers):
        ours = term.ours[k](batch.student.embedding).detach().numpy()
        theirs = term.theirs[k](teacher.embedding).detach().numpy()
        contrast, consistency = by_hand(ours, theirs, math.e)  # where the inverse temperature starts
        assert parts[f"contrast_{k}"].item() == pytest.approx(contrast, rel=1e-6)
        assert parts[f"consistency_{k}"].item() == pytest.approx(consistency, rel=1e-5)
        total += batch.per_window[k].mean().item() * (contrast + 0.25 * consistency)
    assert parts["dcd"].item() == pytest.approx(total, rel=1e-6)


def test_orthogonal_embeddings_equal_to_the_teachers_reach_the_minimum():
    trace = Trace(logits=torch.zeros(4, 2), embedding=torch.eye(4, dtype=torch.float64))
    parts = identical(4, 3.0)(trace, [trace], torch.zeros(4), torch.ones(1))
    assert parts["contrast_0"].item() == pytest.approx(math.log(1 + 3 * math.exp(-3)))
    assert parts["consistency_0"].item() == pytest.approx(0.0, abs=1e-12)
    mixed = Trace(logits=trace.logits, embedding=trace.embedding[[1, 2, 3, 0]])
    assert identical(4, 3.0)(mixed, [trace], torch.zeros(4), torch.ones(1))["dcd"] > parts["dcd"]


def test_the_temperature_and_both_projections_learn_and_the_scale_has_a_limit(batch):
    term = Contrast.build(batch.student, [batch.image], dim=5).double()
    term(batch.student, [batch.image], batch.labels, torch.ones(1))["dcd"].backward()
    assert all(p.grad.abs().sum() > 0 for p in term.parameters())
    hot, limit = identical(6, 1e6), identical(6, LARGEST_SCALE)
    arguments = (batch.student, [batch.signal], batch.labels, torch.ones(1))
    torch.testing.assert_close(hot(*arguments)["dcd"], limit(*arguments)["dcd"])
