import numpy as np
import pytest
import torch

from distill.losses import at
from distill.trace import Trace


def profile(maps):
    """Attention over time of maps over a signal or a square image, (window, time)."""
    attention = (maps.numpy() ** 2).mean(axis=1)
    return attention if attention.ndim == 2 else (attention.mean(axis=1) + attention.mean(axis=2)) / 2


def halves(x, size):
    """Means over equal intervals of whole multiples of the finest common step."""
    step = np.lcm(x.shape[1], size)
    return np.repeat(x, step // x.shape[1], axis=1).reshape(len(x), size, -1).mean(axis=2)


def by_hand(student, teacher):
    total = 0.0
    for a, b in zip(student.maps, teacher.maps, strict=True):
        a, b = profile(a), profile(b)
        size = min(a.shape[1], b.shape[1])
        a, b = halves(a, size), halves(b, size)
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        total = total + ((a - b) ** 2).mean(axis=1)
    return total


def test_equals_numpy_for_a_teacher_of_images_and_one_of_signals(batch):
    image, signal = (by_hand(batch.student, teacher) for teacher in batch.teachers)
    parts = at(batch.student, batch.teachers, batch.labels, batch.per_teacher)
    assert parts["at_0"].item() == pytest.approx(image.mean(), rel=1e-10)
    assert parts["at_1"].item() == pytest.approx(signal.mean(), rel=1e-10)
    assert parts["at"].item() == pytest.approx(0.3 * image.mean() + 0.7 * signal.mean(), rel=1e-10)
    by_window = at(batch.student, batch.teachers, batch.labels, batch.per_window)
    w = batch.per_window.numpy()
    assert by_window["at"].item() == pytest.approx((w[0] * image + w[1] * signal).mean(), rel=1e-10)


def test_two_networks_of_images_are_compared_position_by_position():
    a, b = torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2, 2)
    a[0, :, 0, 1], b[0, 0, 1, 0] = 5.0, 3.0  # over time both would look alike
    student, teacher = (Trace(logits=torch.zeros(1, 2), maps=(m,)) for m in (a, b))
    assert at(student, [teacher], torch.tensor([0]), torch.ones(1))["at"].item() == pytest.approx(0.5)


def test_the_size_of_activations_and_the_order_of_channels_do_not_count(batch):
    other = Trace(logits=batch.student.logits, maps=tuple(-4 * m.flip(1) for m in batch.student.maps))
    assert at(batch.student, [other], batch.labels, torch.ones(1))["at"].item() == pytest.approx(0.0, abs=1e-20)


def test_a_dead_map_has_a_finite_gradient():
    dead = torch.zeros(2, 3, 4, requires_grad=True)
    student = Trace(logits=torch.zeros(2, 2), maps=(dead,))
    teacher = Trace(logits=torch.zeros(2, 2), maps=(torch.rand(2, 3, 4),))
    at(student, [teacher], torch.tensor([0, 1]), torch.ones(1))["at"].backward()
    assert torch.isfinite(dead.grad).all()


def test_networks_with_other_numbers_of_stages_do_not_meet(batch):
    short = Trace(logits=batch.image.logits, maps=batch.image.maps[:2])
    with pytest.raises(ValueError, match="shorter"):
        at(batch.student, [short], batch.labels, torch.ones(1))
