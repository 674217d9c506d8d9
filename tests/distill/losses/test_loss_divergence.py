import numpy as np
import pytest
import torch
from scipy.special import log_softmax, rel_entr, softmax
from torch.nn import functional as F

from distill.losses import kd, knowledge_distillation, lskd
from distill.losses.divergence import z_score
from distill.trace import Trace


def divergences(student, teacher, temperature):
    """KL of each window, coded apart."""
    p, q = softmax(teacher / temperature, axis=1), softmax(student / temperature, axis=1)
    return rel_entr(p, q).sum(1)


def test_lambda_zero_is_cross_entropy_bit_for_bit_and_so_is_its_gradient():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        z = 5 * torch.randn(64, 14, generator=generator)
        teachers = [torch.randn(64, 14, generator=generator), 9 * torch.randn(64, 14, generator=generator)]
        labels = torch.randint(0, 14, (64,), generator=generator)
        ours, plain = z.clone().requires_grad_(), z.clone().requires_grad_()
        loss = knowledge_distillation(ours, labels, teachers, [0.3, 0.7], lambda_=0.0)["loss"]
        cross_entropy = F.cross_entropy(plain, labels)
        loss.backward()
        cross_entropy.backward()
        assert torch.equal(loss, cross_entropy)
        assert torch.equal(ours.grad, plain.grad)


def test_elementmean_is_what_kldivloss_does_by_default():
    generator = torch.Generator().manual_seed(1)
    z, t = torch.randn(2, 8, 5, generator=generator).unbind()
    labels = torch.randint(0, 5, (8,), generator=generator)
    parts = knowledge_distillation(z, labels, [t], [1.0], temperature=4.0, reduction="elementmean")
    log_z, p = F.log_softmax(z / 4, dim=1), F.softmax(t / 4, dim=1)
    published = F.kl_div(log_z, p, reduction="none").mean()  # over windows and classes
    torch.testing.assert_close(parts["kl_0"], published)
    torch.testing.assert_close(parts["loss"], 0.3 * F.cross_entropy(z, labels) + 0.7 * 16 * published)
    term = kd(Trace(logits=z), [Trace(logits=t)], labels, torch.ones(1), reduction="elementmean")
    torch.testing.assert_close(term["kd"], 16 * published)


def test_an_unknown_reduction_is_refused(says):
    z = torch.zeros(2, 3)
    with says("unknown reduction of the divergence 'mean': did you mean 'batchmean'? Valid: batchmean, elementmean"):
        knowledge_distillation(z, torch.tensor([0, 1]), [z], [1.0], reduction="mean")


def test_no_gradient_reaches_a_teacher():
    z, t = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    knowledge_distillation(z, torch.tensor([0, 1, 2, 0]), [t], [1.0])["loss"].backward()
    assert t.grad is None
    assert z.grad.abs().sum() > 0


def test_kd_equals_the_formula(batch):
    each = [9 * divergences(batch.student.logits.numpy(), t.logits.numpy(), 3.0) for t in batch.teachers]
    parts = kd(batch.student, batch.teachers, batch.labels, batch.per_teacher, temperature=3.0)
    assert parts["kd"].item() == pytest.approx(0.3 * each[0].mean() + 0.7 * each[1].mean(), rel=1e-12)
    assert parts["kd_0"].item() == pytest.approx(each[0].mean(), rel=1e-12)
    assert parts["kd_1"].item() == pytest.approx(each[1].mean(), rel=1e-12)
    by_window = kd(batch.student, batch.teachers, batch.labels, batch.per_window, temperature=3.0)
    expected = (batch.per_window.numpy() * np.stack(each)).sum(0).mean()
    assert by_window["kd"].item() == pytest.approx(expected, rel=1e-12)


def test_lskd_equals_the_formula(batch):
    def scaled(z):
        return (z - z.mean(1, keepdims=True)) / z.std(1, keepdims=True)

    z, t = batch.student.logits.numpy(), batch.image.logits.numpy()
    expected = 9 * 4 * divergences(scaled(z), scaled(t), 2.0).mean()
    parts = lskd(batch.student, [batch.image], batch.labels, torch.ones(1))
    assert parts["lskd"].item() == pytest.approx(expected, rel=1e-12)
    third = lskd(batch.student, [batch.image], batch.labels, torch.ones(1), weight=3.0)
    assert third["lskd"].item() == pytest.approx(expected / 3, rel=1e-12)


def test_lskd_forgets_shift_and_scale(batch):
    stretched = Trace(logits=1e-30 * batch.student.logits)
    plain = lskd(batch.student, [batch.image], batch.labels, torch.ones(1))["lskd"]
    torch.testing.assert_close(lskd(stretched, [batch.image], batch.labels, torch.ones(1))["lskd"], plain)
    shifted = Trace(logits=7 * batch.student.logits - 2)
    torch.testing.assert_close(lskd(shifted, [batch.image], batch.labels, torch.ones(1))["lskd"], plain)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7e8])
def test_constant_logits_have_z_score_zero_and_a_finite_gradient(value):
    z = torch.full((2, 7), value)
    z[1] = torch.arange(7.0)
    z.requires_grad_()
    assert torch.equal(z_score(z)[0], torch.zeros(7))
    teacher = Trace(logits=torch.arange(14.0).reshape(2, 7))
    loss = lskd(Trace(logits=z), [teacher], torch.tensor([0, 0]), torch.ones(1))["lskd"]
    loss.backward()
    p = softmax((np.arange(7) - 3) / 2 / 2)  # the z-scores of 0..6 are (i - 3) / 2
    expected = 9 * 4 * (p * (np.log(p) - log_softmax(np.zeros(7)))).sum() / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert torch.isfinite(z.grad).all()


def test_z_score_has_the_derivative_it_should():
    z = torch.tensor([[0.5, -1.0, 2.0], [3.0, 3.5, 1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(z_score, (z,))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            {"weights": [0.5, 0.2]},
            "the weights 0.5, 0.2 do not fit 2 teachers: give one of at least 0 for each, summing to 1",
        ),
        ({"weights": [1.0]}, "the weights 1 do not fit 2 teachers: give one of at least 0 for each, summing to 1"),
        ({}, "there are no weights for 2 teachers: give one of at least 0 for each, summing to 1"),
        (
            {"weights": [1.5, -0.5]},
            "the weights 1.5, -0.5 do not fit 2 teachers: give one of at least 0 for each, summing to 1",
        ),
        ({"weights": [0.5, 0.5], "lambda_": 1.5}, "lambda 1.5 is not allowed: give a number from 0 to 1"),
        ({"weights": [0.5, 0.5], "temperature": 0.0}, "temperature 0 is not allowed: give a number above 0"),
    ],
)
def test_numbers_that_make_no_loss_are_refused(says, options, error):
    z = torch.zeros(2, 3)
    with says(error):
        knowledge_distillation(z, torch.tensor([0, 1]), [z, z], **options)
