"""Depthwise-separable convolutions, squeeze-excitation and group normalisation in wide residual networks."""

import pytest
import torch
from torch.nn import functional as F

from distill.models import build_model
from distill.models.layers import SqueezeExcitation, normalisation, separable
from distill.seeds import initialised

BLOCKS = ((16, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64))  # of a network of depth 16 and width 1


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def by_hand(dims, separable, excitation):
    """Count 3 channels and 14 classes: stem, two convolutions and two norms a block, shortcuts, last norm, head."""
    wide = 3**dims
    total = wide * 3 * 16 + 2 * 64 + 64 * 14 + 14
    for i, o in BLOCKS:
        total += 2 * i + 2 * o + (i * o if i != o else 0)
        total += (wide * i + i * o + wide * o + o * o) if separable else wide * (i * o + o * o)
        total += 2 * o * (o // 4) + o // 4 + o if excitation else 0
    return total


@pytest.mark.parametrize(
    ("name", "dims", "count"),
    [
        ("wrn16-1", 1, 61_374),
        ("ds16-1", 1, 24_686),
        ("se16-1", 1, 30_342),
        ("ds16-1", 2, 27_374),
        ("se16-1", 2, 33_030),
    ],
)
def test_parameter_counts(name, dims, count):
    model = build_model(name, dims=dims, in_channels=3, classes=14)
    assert parameters(model) == by_hand(dims, name != "wrn16-1", name == "se16-1") == count
    assert parameters(build_model(f"{name}-gn", dims=dims, in_channels=3, classes=14)) == count


@pytest.mark.parametrize(("dims", "convolution"), [(1, F.conv1d), (2, F.conv2d)])
def test_a_separable_pair_is_one_convolution_of_outer_products(dims, convolution):
    pair = separable(dims, 4, 6, stride=2).double()
    x = torch.randn(2, 4, *(9,) * dims, dtype=torch.float64)
    kernel = pair[1].weight * pair[0].weight.transpose(0, 1)  # (6, 4, 1...) x (1, 4, 3...)
    assert kernel.shape == (6, 4, *(3,) * dims)
    torch.testing.assert_close(pair(x), convolution(x, kernel, stride=2, padding=1))


def test_squeeze_excitation_weighs_channels_by_their_means():
    layer = SqueezeExcitation(8).double()
    x = torch.randn(3, 8, 5, 4, dtype=torch.float64)
    hidden = (x.mean(dim=(2, 3)) @ layer.squeeze.weight.T + layer.squeeze.bias).clamp(min=0)
    weights = 1 / (1 + torch.exp(-(hidden @ layer.excite.weight.T + layer.excite.bias)))
    assert hidden.shape == (3, 2)
    torch.testing.assert_close(layer(x), torch.einsum("nchw,nc->nchw", x, weights))


def test_excitation_weighs_what_a_block_adds_and_not_its_input():
    block = build_model("se16-1", dims=1, in_channels=3, classes=5).groups[0][0].eval()
    x = torch.randn(2, 16, 10)
    torch.nn.init.constant_(block.excitation.excite.bias, -1e4)
    torch.testing.assert_close(block(x), x)  # all weights are 0
    torch.nn.init.constant_(block.excitation.excite.bias, 1e4)
    se, block.excitation = block.excitation, None
    without = block(x)
    block.excitation = se
    torch.testing.assert_close(block(x), without)  # all weights are 1
    assert not torch.allclose(without, x)


def test_light_convolutions_start_with_variance_two_over_fan_out():
    group = build_model("ds16-8", dims=2, in_channels=3, classes=5).groups[2]
    across_positions, across_channels = group[1].conv1
    assert across_positions.weight.shape == (512, 1, 3, 3)
    assert across_positions.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert across_channels.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)


def test_stem_and_shortcuts_of_a_light_network_stay_plain():
    model = build_model("ds16-1", dims=1, in_channels=3, classes=5)
    assert model.stem.groups == 1
    assert model.groups[1][0].shortcut.kernel_size == (1,)


@pytest.mark.parametrize("shape", [(3, 24, 7), (3, 24, 4, 5)])
def test_group_normalisation_is_over_eight_channels_of_one_window(shape):
    x = torch.randn(shape, dtype=torch.float64) * 3 + 5
    out = normalisation(len(shape) - 2, "group", 24).double()(x)
    for window in range(3):
        for start in (0, 8, 16):
            part = x[window, start : start + 8]
            expected = (part - part.mean()) / (part.var(correction=0) + 1e-5).sqrt()
            torch.testing.assert_close(out[window, start : start + 8], expected)


@pytest.mark.parametrize("name", ["wrn16-1-gn", "wrn10-3-gn", "ds16-1-gn", "se16-1-gn"])
def test_group_normalised_networks_train_on_each_window_by_itself(name):
    model, x = build_model(name, dims=1, in_channels=3, classes=5).train(), torch.randn(4, 3, 30)
    assert not [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    torch.testing.assert_close(model(x)[:1], model(x[:1]))
    torch.testing.assert_close(model.eval()(x), model.train()(x))


def test_batch_and_group_networks_of_a_seed_start_from_the_same_convolutions():
    batch, group = (
        initialised(lambda name=name: build_model(name, dims=1, in_channels=3, classes=5), 0, "test").state_dict()
        for name in ("se16-1", "se16-1-gn")
    )
    assert group.keys() == {key for key in batch if "running" not in key and "tracked" not in key}
    assert all(torch.equal(batch[key], group[key]) for key in group)
