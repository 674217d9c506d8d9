import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from distill.weighing import WEIGHINGS, shortest, weigh


@pytest.fixture
def batch():
    make = torch.Generator().manual_seed(3)
    return {
        "student": torch.randn(5, 4, generator=make),
        "teachers": 3 * torch.randn(3, 5, 4, generator=make),
        "labels": torch.tensor([0, 1, 2, 3, 1]),
    }


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("name", ["fixed", *WEIGHINGS])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_weights_sum_to_one_in_every_window_and_carry_no_gradient(batch, name, k):
    batch["student"].requires_grad_()
    weights = weigh(name, [1 / k] * k, **batch | {"teachers": batch["teachers"][:k]})
    assert weights.shape == (k, 5)
    assert not weights.requires_grad
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(5))


@pytest.mark.parametrize("name", WEIGHINGS)
def test_weights_do_not_depend_on_the_order_of_the_teachers(batch, name):
    there = weigh(name, (), **batch)
    back = weigh(name, (), **batch | {"teachers": batch["teachers"].flip(0)})
    torch.testing.assert_close(back.flip(0), there)


def test_entropy_by_its_formula(batch):
    p = softmax(batch["teachers"].double().numpy())
    h = -(p * np.log(p)).sum(axis=2)
    np.testing.assert_allclose(weigh("ebkd", (), **batch), (1 - h / h.sum(axis=0)) / 2, rtol=1e-5)


def test_confidence_by_its_formula(batch):
    p = softmax(batch["teachers"].double().numpy())
    ce = -np.log(p[:, np.arange(5), batch["labels"].numpy()])
    np.testing.assert_allclose(weigh("ca-mkd", (), **batch), (1 - softmax(ce.T).T) / 2, rtol=1e-5, atol=1e-7)


def test_teachers_certain_to_the_last_digit_weigh_alike():
    certain = torch.tensor([[1e4, 0.0]])
    weights = weigh("ebkd", (), certain, torch.stack([certain, certain, certain]), torch.tensor([0]))
    torch.testing.assert_close(weights, torch.full((3, 1), 1 / 3))


def test_gradients_that_are_weighed_are_those_of_the_divergence(batch):
    temperature, student = 4.0, batch["student"].double().requires_grad_()
    pulls = []
    for teacher in batch["teachers"].double():
        p, log_q = (teacher / temperature).softmax(1), (student / temperature).log_softmax(1)
        (g,) = torch.autograd.grad((p * (p.log() - log_q)).sum(), student)
        pulls.append(g.flatten().numpy())
    weights = weigh("ae-kd", (), **batch)
    np.testing.assert_allclose(weights[:, 0], shortest(np.stack(pulls)), atol=1e-4)
    assert (weights == weights[:, :1]).all()


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_shortest_sum_by_another_solver(k):
    vectors = np.random.default_rng(k).normal(size=(k, 7)) + 0.3
    found = minimize(
        lambda w: ((w @ vectors) ** 2).sum(),
        np.full(k, 1 / k),
        bounds=[(0, 1)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        tol=1e-12,
    )
    weights = shortest(vectors)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights @ vectors, found.x @ vectors, atol=1e-4)


def test_two_vectors_in_closed_form():
    a, b = np.array([3.0, 1.0]), np.array([-1.0, 2.0])
    share = b @ (b - a) / ((b - a) @ (b - a))
    np.testing.assert_allclose(shortest(np.stack([a, b])), [share, 1 - share], atol=1e-5)


def test_vectors_of_any_scale_and_none_at_all():
    vectors = np.array([[2.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(shortest(1e-9 * vectors), shortest(vectors), atol=1e-9)
    np.testing.assert_array_equal(shortest(np.zeros((4, 3))), 0.25)


def test_errors_say_what_is_allowed(batch, says):
    with says("unknown weighing 'ebdk': did you mean 'ebkd'? Valid: fixed, aver, ebkd, ca-mkd, ae-kd"):
        weigh("ebdk", (), **batch)
    for fixed in ([0.5, 0.5], [0.5, 0.7, -0.2], [0.2, 0.2, 0.2]):
        shown = ", ".join(f"{w:g}" for w in fixed)
        with says(f"the weights {shown} do not fit 3 teachers: give one of at least 0 for each, summing to 1"):
            weigh("fixed", fixed, **batch)
