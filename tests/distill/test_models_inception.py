"""The network of InceptionTime against one written out by sums."""

import numpy as np
import pytest
import torch

from distill.models import build_model
from distill.models.inception import Module


def correlate(x, weight):
    """Slide kernels (out, in, width) over x (in, time), zeros around it; an even kernel looks one further ahead."""
    out = np.zeros((len(weight), x.shape[1]))
    left = (weight.shape[2] - 1) // 2
    for t in range(x.shape[1]):
        for j in range(weight.shape[2]):
            if 0 <= t + j - left < x.shape[1]:
                out[:, t] += weight[:, :, j] @ x[:, t + j - left]
    return out


def normalise(x, bn):
    mean, var, scale, shift = (
        v.detach().numpy()[:, None] for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias)
    )
    return (x - mean) / np.sqrt(var + bn.eps) * scale + shift


def module(x, block):
    weight = {name: p.detach().numpy() for name, p in block.named_parameters()}
    narrow = correlate(x, weight["bottleneck.weight"]) if block.bottleneck is not None else x
    around = np.pad(x, ((0, 0), (1, 1)), constant_values=-np.inf)
    highest = np.max([around[:, :-2], around[:, 1:-1], around[:, 2:]], axis=0)
    branches = [correlate(narrow, weight[f"convolutions.{i}.weight"]) for i in range(3)]
    return normalise(np.concatenate([*branches, correlate(highest, weight["pooled.weight"])]), block.bn).clip(0)


def with_statistics(model):
    """Give every batch norm statistics and scales of its own."""
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            for values, low, high in ((layer.running_mean, -1, 1), (layer.running_var, 0.5, 2), (layer.weight, 0.5, 2)):
                torch.nn.init.uniform_(values, low, high)
            torch.nn.init.uniform_(layer.bias, -1, 1)
    return model.double().eval()


def test_one_module_is_three_kernels_and_a_maximum_side_by_side():
    for channels in (1, 3):
        block = with_statistics(Module(channels))
        x = torch.randn(1, channels, 23, dtype=torch.float64)
        np.testing.assert_allclose(block(x)[0].detach().numpy(), module(x[0].numpy(), block), atol=1e-10)


def test_shortcuts_lead_around_three_modules_and_maps_follow_two():
    net = with_statistics(build_model("inception", dims=1, in_channels=2, classes=3))
    x = torch.randn(1, 2, 9, dtype=torch.float64)
    trace = net.trace(x)
    state, maps = x[0].numpy(), []
    for half in range(2):
        before = state
        for number in range(3):
            state = module(state, net.blocks[3 * half + number])
            if number == 2:
                conv, bn = net.shortcuts[half]
                state = (state + normalise(conv.weight[:, :, 0].detach().numpy() @ before, bn)).clip(0)
            maps.append(state)
    for found, expected in zip(trace.maps, maps[1::2], strict=True):
        np.testing.assert_allclose(found[0].detach().numpy(), expected, atol=1e-8)
    np.testing.assert_allclose(trace.embedding[0].detach().numpy(), maps[-1].mean(axis=1), atol=1e-8)


def test_parameters_are_those_of_the_paper():
    first = 3 * 32 + 32 * 32 * (40 + 20 + 10) + 3 * 32 + 2 * 128
    later = 128 * 32 + 32 * 32 * (40 + 20 + 10) + 128 * 32 + 2 * 128
    shortcuts = 3 * 128 + 2 * 128 + 128 * 128 + 2 * 128
    net = build_model("inception", dims=1, in_channels=3, classes=14)
    assert sum(p.numel() for p in net.parameters()) == first + 5 * later + shortcuts + 128 * 14 + 14 == 491_854
    alone = build_model("inception", dims=1, in_channels=1, classes=14)
    assert alone.blocks[0].bottleneck is None
    assert alone.blocks[0].convolutions[0].weight.shape == (32, 1, 40)


def test_convolutions_start_uniform_after_glorot():
    weight = build_model("inception", dims=1, in_channels=3, classes=14).blocks[1].convolutions[0].weight
    bound = (6 / (32 * 40 + 32 * 40)) ** 0.5
    assert bound * 0.999 < weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
