import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.losses import knowledge_distillation


def softmax(z, t):
    e = [math.exp(v / t) for v in z]
    return [v / sum(e) for v in e]


def test_equals_the_formula_by_hand():
    z = [[1.0, -0.5, 0.2], [0.3, 0.9, -1.0]]
    image, signal = [[2.0, 0.0, 0.0], [0.0, 1.0, 0.5]], [[0.5, 0.5, -2.0], [-1.0, 3.0, 0.0]]
    labels, t, lam, w = [0, 2], 4.0, 0.7, (0.3, 0.7)
    ce = -sum(math.log(softmax(row, 1)[y]) for row, y in zip(z, labels, strict=True)) / 2

    def kl(teacher):
        total = 0.0
        for row_t, row_s in zip(teacher, z, strict=True):
            p, q = softmax(row_t, t), softmax(row_s, t)
            total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        return total / 2

    expected = (1 - lam) * ce + lam * t**2 * (w[0] * kl(image) + w[1] * kl(signal))
    parts = knowledge_distillation(
        torch.tensor(z),
        torch.tensor(labels),
        [torch.tensor(image), torch.tensor(signal)],
        w,
        lambda_=lam,
        temperature=t,
    )
    assert parts["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert parts["cross_entropy"].item() == pytest.approx(ce, rel=1e-5)
    assert parts["kl_0"].item() == pytest.approx(kl(image), rel=1e-4)
    assert parts["kl_1"].item() == pytest.approx(kl(signal), rel=1e-4)


def test_lambda_zero_is_cross_entropy_and_lambda_one_ignores_labels():
    z, t = torch.randn(8, 4), torch.randn(8, 4)
    labels = torch.randint(0, 4, (8,))
    zero = knowledge_distillation(z, labels, [t], [1.0], lambda_=0.0)
    assert zero["loss"] == zero["cross_entropy"]
    one = knowledge_distillation(z, labels, [t], [1.0], lambda_=1.0)
    other = knowledge_distillation(z, (labels + 1) % 4, [t], [1.0], lambda_=1.0)
    assert one["loss"] == other["loss"]
    assert one["cross_entropy"] != other["cross_entropy"]


def test_alpha_is_the_weight_of_the_first_teacher():
    z, labels = torch.randn(8, 4), torch.randint(0, 4, (8,))
    image, signal = torch.randn(8, 4), torch.randn(8, 4)
    both = knowledge_distillation(z, labels, [image, signal], [1.0, 0.0])
    alone = knowledge_distillation(z, labels, [image], [1.0])
    torch.testing.assert_close(both["loss"], alone["loss"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 20), st.floats(0, 1))
def test_a_student_equal_to_its_teacher_has_no_divergence_and_others_have_some(seed, temperature, lambda_):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    t = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 5, (6,), generator=generator)
    same = knowledge_distillation(z, labels, [z], [1.0], lambda_=lambda_, temperature=temperature)
    other = knowledge_distillation(z, labels, [t], [1.0], lambda_=lambda_, temperature=temperature)
    assert abs(same["kl_0"].item()) < 1e-12
    assert other["kl_0"].item() > 0
    shifted = knowledge_distillation(z + 3, labels, [t - 5], [1.0], lambda_=lambda_, temperature=temperature)
    torch.testing.assert_close(shifted["loss"], other["loss"])


def test_gradient_reaches_the_student_and_shrinks_with_neither_temperature():
    grads = []
    for temperature in (4.0, 8.0):
        z = (torch.arange(12.0).reshape(3, 4) / 10).requires_grad_()
        teacher = torch.tensor([[0.1, 0.0, 0.2, 0.0]] * 3)
        knowledge_distillation(z, torch.tensor([0, 1, 2]), [teacher], [1.0], lambda_=1.0, temperature=temperature)[
            "loss"
        ].backward()
        grads.append(z.grad.norm().item())
    assert grads[1] == pytest.approx(grads[0], rel=0.05)  # what T^2 is for
