import numpy as np
import pytest
import torch

from distill.losses import rkd
from distill.trace import Trace


def huber(x):
    return np.where(np.abs(x) < 1, x**2 / 2, np.abs(x) - 0.5)


def relations(e):
    n = len(e)
    d = np.array([[np.linalg.norm(a - b) for b in e] for a in e])
    d = d / d[d > 0].mean()
    cosines = np.zeros((n, n, n))
    for vertex in range(n):
        for i in range(n):
            for j in range(n):
                if vertex not in (i, j):
                    a, b = e[i] - e[vertex], e[j] - e[vertex]
                    cosines[vertex, i, j] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return d, cosines


def by_hand(student, teacher):
    (d, a), (e, b) = relations(student.embedding.numpy()), relations(teacher.embedding.numpy())
    return huber(d - e).mean(), huber(a - b).mean()


def test_equals_numpy_pair_by_pair_and_triple_by_triple(batch):
    each = [by_hand(batch.student, teacher) for teacher in batch.teachers]
    parts = rkd(batch.student, batch.teachers, batch.labels, batch.per_teacher)
    for k, (distance, angle) in enumerate(each):
        assert parts[f"distance_{k}"].item() == pytest.approx(distance, rel=1e-10)
        assert parts[f"angle_{k}"].item() == pytest.approx(angle, rel=1e-10)
        assert parts[f"rkd_{k}"].item() == pytest.approx(25 * distance + 50 * angle, rel=1e-10)
    w = batch.per_window.mean(dim=1).tolist()
    by_window = rkd(batch.student, batch.teachers, batch.labels, batch.per_window, distance=1.0, angle=2.0)
    expected = sum(v * (distance + 2 * angle) for v, (distance, angle) in zip(w, each, strict=True))
    assert by_window["rkd"].item() == pytest.approx(expected, rel=1e-10)


def test_moved_turned_and_scaled_embeddings_are_the_same(batch):
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    other = Trace(logits=batch.student.logits, embedding=5 * batch.student.embedding @ rotation + 1)
    assert rkd(batch.student, [other], batch.labels, torch.ones(1))["rkd"].item() == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize("embedding", [[[1.0, 2.0], [1.0, 2.0], [0.0, 1.0]], [[0.0, 0.0]] * 3])
def test_equal_embeddings_have_a_finite_gradient_of_ordinary_size(embedding):
    e = torch.tensor(embedding, requires_grad=True)
    teacher = Trace(logits=torch.zeros(3, 2), embedding=torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]))
    rkd(Trace(logits=torch.zeros(3, 2), embedding=e), [teacher], torch.tensor([0, 1, 1]), torch.ones(1))[
        "rkd"
    ].backward()
    assert torch.isfinite(e.grad).all()
    assert e.grad.abs().max() < 100


def test_one_window_has_no_relations():
    one = Trace(logits=torch.zeros(1, 2), embedding=torch.ones(1, 3))
    assert rkd(one, [one], torch.tensor([0]), torch.ones(1))["rkd"].item() == 0.0
