import numpy as np
import pytest
import torch
from scipy.special import softmax

from distill.losses import dkd, kd
from distill.trace import Trace


def by_hand(student, teacher, labels, t):
    """TCKD and NCKD of each window, class by class."""
    tckd, nckd = [], []
    for z, u, y in zip(student, teacher, labels, strict=True):
        q, p = softmax(z / t), softmax(u / t)
        tckd.append(p[y] * np.log(p[y] / q[y]) + (1 - p[y]) * np.log((1 - p[y]) / (1 - q[y])))
        others = [i for i in range(len(z)) if i != y]
        p_others, q_others = p[others] / (1 - p[y]), q[others] / (1 - q[y])
        nckd.append(sum(a * np.log(a / b) for a, b in zip(p_others, q_others, strict=True)))
    return t**2 * np.array(tckd), t**2 * np.array(nckd)


def test_equals_the_formula(batch):
    labels = batch.labels.numpy()
    each = [by_hand(batch.student.logits.numpy(), t.logits.numpy(), labels, 4.0) for t in batch.teachers]
    parts = dkd(batch.student, batch.teachers, batch.labels, batch.per_teacher)
    for k, (tckd, nckd) in enumerate(each):
        assert parts[f"tckd_{k}"].item() == pytest.approx(tckd.mean(), rel=1e-10)
        assert parts[f"nckd_{k}"].item() == pytest.approx(nckd.mean(), rel=1e-10)
        assert parts[f"dkd_{k}"].item() == pytest.approx((tckd + 8 * nckd).mean(), rel=1e-10)
    assert parts["dkd"].item() == pytest.approx(
        sum(w * (a + 8 * b).mean() for w, (a, b) in zip((0.3, 0.7), each, strict=True))
    )
    by_window = dkd(batch.student, batch.teachers, batch.labels, batch.per_window, alpha=0.5, beta=2.0)
    sums = np.stack([0.5 * a + 2 * b for a, b in each])
    assert by_window["dkd"].item() == pytest.approx((batch.per_window.numpy() * sums).sum(0).mean(), rel=1e-10)


def test_plain_distillation_is_tckd_and_what_is_left_of_nckd():
    generator = torch.Generator().manual_seed(3)
    z, u = torch.randn(2, 1, 6, generator=generator, dtype=torch.float64).unbind()
    labels = torch.tensor([2])
    parts = dkd(Trace(logits=z), [Trace(logits=u)], labels, torch.ones(1))
    left = 1 - (u / 4).softmax(1)[0, 2]
    whole = kd(Trace(logits=z), [Trace(logits=u)], labels, torch.ones(1))["kd"]
    torch.testing.assert_close(parts["tckd_0"] + left * parts["nckd_0"], whole)


def test_certain_teachers_and_students_stay_finite():
    z = torch.tensor([[-400.0, 400.0, 0.0]], requires_grad=True)
    parts = dkd(Trace(logits=z), [Trace(logits=-z.detach())], torch.tensor([0]), torch.ones(1), temperature=1.0)
    parts["dkd"].backward()
    assert torch.isfinite(parts["dkd"])
    assert torch.isfinite(z.grad).all()
    assert parts["tckd_0"].item() == pytest.approx(800.0)


def test_two_classes_leave_no_others():
    z, u = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    parts = dkd(Trace(logits=z), [Trace(logits=u)], torch.tensor([1]), torch.ones(1))
    assert parts["nckd_0"].item() == 0.0
    torch.testing.assert_close(
        parts["dkd"], kd(Trace(logits=z), [Trace(logits=u)], torch.tensor([1]), torch.ones(1))["kd"]
    )
