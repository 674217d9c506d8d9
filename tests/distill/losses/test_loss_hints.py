import pytest
import torch

from distill.losses import Hint
from distill.trace import Trace


def test_equals_the_mean_squared_difference_behind_convolution_and_norm(batch):
    term = Hint.build(batch.student, batch.teachers, stage=2).double()
    parts = term(batch.student, batch.teachers, batch.labels, batch.per_window)

    def adapted(k, x):
        y = torch.einsum("oc,nct->not", term.adapters[k][0].weight[:, :, 0], x)
        mean, variance = y.mean((0, 2), keepdim=True), y.var((0, 2), correction=0, keepdim=True)
        return (y - mean) / (variance + 1e-5).sqrt()

    ours = batch.student.maps[1]  # 6 positions
    spread = ours.repeat_interleave(2, dim=2).unflatten(2, (4, 3)).mean(3)  # 4 positions, as the image
    image = batch.image.maps[1]
    image = (image.mean(2) + image.mean(3)) / 2
    signal = batch.signal.maps[1].repeat_interleave(3, dim=2).unflatten(2, (6, 4)).mean(3)  # from 8 positions to 6
    each = [((adapted(0, spread) - image) ** 2).mean((1, 2)), ((adapted(1, ours) - signal) ** 2).mean((1, 2))]
    assert parts["hint_0"].item() == pytest.approx(each[0].mean().item(), rel=1e-9)
    assert parts["hint_1"].item() == pytest.approx(each[1].mean().item(), rel=1e-9)
    expected = (batch.per_window * torch.stack(each)).sum(0).mean()
    assert parts["hint"].item() == pytest.approx(expected.item(), rel=1e-9)


def test_adapters_fit_channels_and_dimensions_of_their_teacher(batch):
    term = Hint.build(batch.student, batch.teachers, stage=3)
    assert [tuple(adapter[0].weight.shape) for adapter in term.adapters] == [(8, 6, 1), (6, 6, 1)]
    images = Hint.build(batch.image, [batch.image], stage=1)
    assert tuple(images.adapters[0][0].weight.shape) == (4, 4, 1, 1)


def test_an_adapter_that_undoes_the_difference_leaves_nothing():
    maps = torch.randn(6, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    student = Trace(logits=torch.zeros(6, 2), maps=(maps,))
    teacher = Trace(logits=torch.zeros(6, 2), maps=(3 * maps.flip(1) + 1,))
    term = Hint.build(student, [teacher], stage=1).double().eval()
    conv, norm = term.adapters[0]
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[[0.0], [1.0]], [[1.0], [0.0]]]))
        norm.weight.fill_(3 * (1 + norm.eps) ** 0.5)
        norm.bias.fill_(1.0)
    parts = term(student, [teacher], torch.zeros(6), torch.ones(1))
    assert parts["hint"].item() == pytest.approx(0.0, abs=1e-20)


def test_adapters_learn(batch):
    term = Hint.build(batch.student, batch.teachers).double()
    optimizer = torch.optim.SGD(term.parameters(), lr=0.5)
    first = None
    for _ in range(20):
        loss = term(batch.student, batch.teachers, batch.labels, batch.per_teacher)["hint"]
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.9 * first
