"""The patch transformer: its tokens, its attention, and what it refuses."""

import math

import pytest
import torch
from torch.nn import functional as F

from distill.models import build_model
from distill.models.patch import Attention


def build(dims, size, in_channels=3, classes=14):
    return build_model("patch", dims=dims, in_channels=in_channels, classes=classes, size=size).eval()


@pytest.mark.parametrize(("dims", "size", "count"), [(1, 128, 206_030), (2, 32, 209_102), (1, 37, 205_326)])
def test_parameter_counts(dims, size, count):
    patch, stride = ((16, 8), (16, 4))[dims - 1]  # 4 x 4 pixels
    tokens = math.ceil(size / stride) ** dims
    layer = 2 * 2 * 64 + (64 * 192 + 192) + (64 * 64 + 64) + (64 * 128 + 128) + (128 * 64 + 64)
    by_hand = 3 * patch * 64 + 64 + tokens * 64 + 6 * layer + 2 * 64 + 64 * 14 + 14
    assert sum(p.numel() for p in build(dims, size).parameters()) == by_hand == count


def test_attention_is_that_of_torch():
    layer, x = Attention().double(), torch.randn(2, 7, 64, dtype=torch.float64)
    query, key, value = (part.reshape(2, 7, 4, 16).transpose(1, 2) for part in layer.qkv(x).chunk(3, dim=2))
    attended = F.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(layer(x), layer.out(attended.transpose(1, 2).reshape(2, 7, 64)))


def test_attention_is_differentiated_right():
    torch.manual_seed(0)
    layer, x = Attention().double(), torch.randn(1, 3, 64, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x)[..., :2], x)


@pytest.mark.parametrize("size", [5, 16, 37, 128])
def test_signal_tokens_are_16_samples_each_8_and_the_last_sample_goes_on(size):
    net, x = build(1, size).double(), torch.randn(2, 3, size, dtype=torch.float64)
    seen = []
    net.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net(x)
    for token in range(math.ceil(size / 8)):
        samples = x[:, :, [min(8 * token + i, size - 1) for i in range(16)]]
        expected = torch.einsum("nct,fct->nf", samples, net.embed.weight) + net.embed.bias + net.positions[0, token]
        torch.testing.assert_close(seen[0][:, token], expected)
    assert seen[0].shape[1] == math.ceil(size / 8)


@pytest.mark.parametrize(("pixel", "cell"), [((0, 0), (0, 0)), ((5, 9), (1, 2)), ((12, 3), (3, 0))])
def test_a_pixel_is_seen_at_its_place_in_the_maps(pixel, cell):
    net, x = build(2, 13), torch.randn(1, 3, 13, 13)
    for layer in net.layers:  # without attention no token sees another
        torch.nn.init.zeros_(layer.attention.out.weight)
    other = x.clone()
    other[0, 1, pixel[0], pixel[1]] += 1
    for before, after in zip(net.trace(x).maps, net.trace(other).maps, strict=True):
        assert before.shape == (1, 64, 4, 4)
        assert ((before != after).any(dim=1)[0]).nonzero().tolist()[:1] == [list(cell)]


def test_without_positions_the_order_of_patches_is_not_seen():
    net, x = build(2, 8).double(), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    mirrored = torch.cat([x[..., 4:], x[..., :4]], dim=3)  # left and right column of patches change places
    assert not torch.allclose(net(x), net(mirrored))
    torch.nn.init.zeros_(net.positions)
    torch.testing.assert_close(net(x), net(mirrored))


def test_the_last_map_is_normalised_and_its_mean_is_the_embedding():
    trace = build(1, 64).trace(torch.randn(2, 3, 64))
    torch.testing.assert_close(trace.maps[2].mean(dim=2), trace.embedding)
    torch.testing.assert_close(trace.maps[2].mean(dim=1), torch.zeros(2, 8), atol=1e-5, rtol=0)
    assert trace.maps[1].mean(dim=1).abs().max() > 1e-4


def test_inputs_of_another_size_are_refused(says):
    with says(
        "network 'patch' has learned positions for inputs of size 128, but got 100: build it with that size",
    ):
        build(1, 128)(torch.zeros(1, 3, 100))
    with says(
        "network 'patch' has learned positions for inputs of size 32 x 32, but got 32 x 24: build it with that size"
    ):
        build(2, 32)(torch.zeros(1, 3, 32, 24))
