import numpy as np
import pytest
import torch
from scipy.special import softmax

from distill.losses import dist
from distill.trace import Trace


def by_hand(student, teacher, tau):
    p, q = softmax(student / tau, axis=1), softmax(teacher / tau, axis=1)
    rows = np.array([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p, q, strict=True)])
    columns = np.array([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(p.T, q.T, strict=True)])
    return tau**2 * rows, tau**2 * columns.mean()


def test_equals_numpy(batch):
    each = [by_hand(batch.student.logits.numpy(), t.logits.numpy(), 2.0) for t in batch.teachers]
    options = {"beta": 2.0, "gamma": 3.0, "tau": 2.0}
    parts = dist(batch.student, batch.teachers, batch.labels, batch.per_teacher, **options)
    for k, (inter, intra) in enumerate(each):
        assert parts[f"inter_{k}"].item() == pytest.approx(inter.mean(), rel=1e-5)
        assert parts[f"intra_{k}"].item() == pytest.approx(intra, rel=1e-5)
        assert parts[f"dist_{k}"].item() == pytest.approx(2 * inter.mean() + 3 * intra, rel=1e-5)
    assert parts["dist"].item() == pytest.approx(0.3 * parts["dist_0"].item() + 0.7 * parts["dist_1"].item())


def test_rows_take_the_weights_of_windows_and_columns_their_mean(batch):
    each = [by_hand(batch.student.logits.numpy(), t.logits.numpy(), 1.0) for t in batch.teachers]
    w = batch.per_window.numpy()
    expected = sum((w[k] * inter).mean() + w[k].mean() * intra for k, (inter, intra) in enumerate(each))
    parts = dist(batch.student, batch.teachers, batch.labels, batch.per_window)
    assert parts["dist"].item() == pytest.approx(expected, rel=1e-5)


def test_a_student_without_spread_is_uncorrelated_and_has_a_finite_gradient(batch):
    z = torch.zeros(5, 4, dtype=torch.float64, requires_grad=True)
    parts = dist(Trace(logits=z), [batch.image], batch.labels, torch.ones(1))
    assert parts["inter_0"].item() == pytest.approx(1.0)
    assert parts["intra_0"].item() == pytest.approx(1.0)
    parts["dist"].backward()
    assert torch.isfinite(z.grad).all()


def test_one_window_has_no_columns(batch):
    one = Trace(logits=batch.student.logits[:1])
    parts = dist(one, [Trace(logits=batch.image.logits[:1])], batch.labels[:1], torch.ones(1))
    assert parts["intra_0"].item() == 1.0
