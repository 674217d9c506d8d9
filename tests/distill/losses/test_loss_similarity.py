import numpy as np
import pytest
import torch

from distill.losses import sp
from distill.trace import Trace


def gram(maps):
    flat = maps.numpy().reshape(len(maps), -1)
    return np.array([[a @ b for b in flat] for a in flat])


def normalised(g):
    return g / np.sqrt((g**2).sum(axis=1, keepdims=True))


def frobenius(a, b):
    return ((a - b) ** 2).sum() / len(a) ** 2


def stages(batch):
    return zip(batch.student.maps, batch.image.maps, batch.signal.maps, strict=True)


def test_normalised_similarities_are_merged(batch):
    parts = sp(batch.student, batch.teachers, batch.labels, batch.per_teacher)
    grams = [[normalised(gram(m)) for m in stage] for stage in stages(batch)]
    assert parts["sp"].item() == pytest.approx(sum(frobenius(s, 0.3 * i + 0.7 * t) for s, i, t in grams), rel=1e-10)
    assert parts["sp_0"].item() == pytest.approx(sum(frobenius(s, i) for s, i, _ in grams), rel=1e-10)
    assert parts["sp_1"].item() == pytest.approx(sum(frobenius(s, t) for s, _, t in grams), rel=1e-10)


def test_raw_similarities_are_merged_and_then_normalised(batch):
    parts = sp(batch.student, batch.teachers, batch.labels, batch.per_teacher, merge="raw")
    expected = sum(
        frobenius(normalised(gram(s)), normalised(0.3 * gram(i) + 0.7 * gram(t))) for s, i, t in stages(batch)
    )
    assert parts["sp"].item() == pytest.approx(expected, rel=1e-10)


def test_weights_by_window_count_with_their_mean(batch):
    means = batch.per_window.mean(dim=1)
    by_window = sp(batch.student, batch.teachers, batch.labels, batch.per_window)
    torch.testing.assert_close(by_window, sp(batch.student, batch.teachers, batch.labels, means))


def test_against_merged_similarities_the_gradient_is_that_of_the_weighed_parts(batch):
    maps = tuple(m.clone().requires_grad_() for m in batch.student.maps)
    parts = sp(Trace(logits=batch.student.logits, maps=maps), batch.teachers, batch.labels, batch.per_teacher)
    merged = torch.autograd.grad(parts["sp"], maps, retain_graph=True)
    weighed = torch.autograd.grad(0.3 * parts["sp_0"] + 0.7 * parts["sp_1"], maps)
    torch.testing.assert_close(merged, weighed)
    assert parts["sp"] < 0.3 * parts["sp_0"] + 0.7 * parts["sp_1"]


def test_only_raw_merging_lets_larger_activations_win(batch):
    loud = Trace(logits=batch.image.logits, maps=tuple(1000 * m for m in batch.image.maps))
    teachers = [loud, batch.signal]
    alone = sp(batch.student, [batch.image], batch.labels, torch.ones(1))["sp"]
    raw = sp(batch.student, teachers, batch.labels, batch.per_teacher, merge="raw")["sp"]
    torch.testing.assert_close(raw, alone, rtol=1e-4, atol=0)
    quiet = sp(batch.student, batch.teachers, batch.labels, batch.per_teacher)["sp"]
    torch.testing.assert_close(sp(batch.student, teachers, batch.labels, batch.per_teacher)["sp"], quiet)


def test_dead_maps_have_a_finite_gradient():
    dead = torch.zeros(3, 2, 4, requires_grad=True)
    student = Trace(logits=torch.zeros(3, 2), maps=(dead,))
    teacher = Trace(logits=torch.zeros(3, 2), maps=(torch.rand(3, 2, 4),))
    sp(student, [teacher], torch.tensor([0, 1, 1]), torch.ones(1))["sp"].backward()
    assert torch.isfinite(dead.grad).all()


def test_an_unknown_merge_is_refused(batch, says):
    with says("unknown merge of the loss sp 'rae': did you mean 'raw'? Valid: normalised, raw"):
        sp(batch.student, batch.teachers, batch.labels, batch.per_teacher, merge="rae")
