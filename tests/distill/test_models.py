import copy

import pytest
import torch

from distill.models import MODELS, build_model, parse_model
from distill.models.standardize import Standardize
from distill.seeds import initialised, random_seed
from tsimage.errors import UserError

PARAMETERS = {
    (1, "wrn16-1"): 61_374,
    (1, "wrn16-3"): 536_254,
    (1, "wrn28-1"): 126_782,
    (1, "wrn28-3"): 1_119_550,
    (2, "wrn16-1"): 175_326,
    (2, "wrn16-3"): 1_550_302,
    (2, "wrn28-1"): 369_758,
    (2, "wrn28-3"): 3_294_814,
}


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("name", MODELS["wrnD-K"].listed)
def test_parameter_counts_are_those_of_the_field(dims, name):
    model = build_model(name, dims=dims, in_channels=3, classes=14)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[dims, name]


@pytest.mark.parametrize(("dims", "shape"), [(1, (2, 3, 100)), (2, (2, 3, 32, 32))])
def test_strides_quarter_the_last_feature_map_and_logits_have_one_column_per_class(dims, shape):
    model = build_model("wrn16-1", dims=dims, in_channels=3, classes=5)
    features = model.groups(model.stem(torch.randn(shape)))
    assert features.shape[1:] == (64, *(s // 4 for s in shape[2:]))
    assert model(torch.randn(shape)).shape == (2, 5)


def test_convolutions_start_with_variance_two_over_fan_out():
    model = build_model("wrn16-3", dims=2, in_channels=3, classes=5)
    weight = model.groups[2][1].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 192)) ** 0.5, rel=0.02)


def test_shortcut_convolution_only_where_channels_change():
    narrow = build_model("wrn16-1", dims=1, in_channels=3, classes=5)
    wide = build_model("wrn16-3", dims=1, in_channels=3, classes=5)
    assert [block.shortcut is not None for group in narrow.groups for block in group] == [
        False, False, True, False, True, False,
    ]  # fmt: skip
    assert wide.groups[0][0].shortcut is not None


def test_block_adds_its_preactivated_residual():
    block = build_model("wrn16-1", dims=1, in_channels=3, classes=5).groups[1][0].eval()
    x = torch.randn(2, 16, 10)
    active = torch.relu(x / (1 + 1e-5) ** 0.5)  # a fresh batch norm in eval mode divides by sqrt(1 + eps)
    inner = torch.nn.functional.conv1d(active, block.conv1.weight, stride=2, padding=1)
    inner = torch.relu(inner / (1 + 1e-5) ** 0.5)
    expected = torch.nn.functional.conv1d(active, block.shortcut.weight, stride=2)
    expected = expected + torch.nn.functional.conv1d(inner, block.conv2.weight, padding=1)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "wrn18-1",
            "depth 18 is no WRN depth: it must be 6 n + 4 with n >= 1 blocks in each group; nearest: 16 and 22",
        ),
        (
            "wrn27-2",
            "depth 27 is no WRN depth: it must be 6 n + 4 with n >= 1 blocks in each group; nearest: 22 and 28",
        ),
        ("wrn4-1", "depth 4 is no WRN depth: it must be 6 n + 4 with n >= 1 blocks in each group; nearest: 10"),
        (
            "se18-1-gn",
            "depth 18 is no WRN depth: it must be 6 n + 4 with n >= 1 blocks in each group; nearest: 16 and 22",
        ),
        ("wrn16-0", "width 0 is no WRN width: it must be at least 1"),
        (
            "wrn28_3",
            "unknown network 'wrn28_3': did you mean 'wrn28-3'? "
            "Valid: wrn16-1, wrn16-3, wrn28-1, wrn28-3, ds16-1, se16-1, inception, patch, resnet18, mobilenetv3, "
            "or any of wrnD-K, dsD-K, seD-K with D = 6 n + 4, or these with -gn",
        ),
    ],
)
def test_impossible_networks_are_refused_with_the_nearest(name, message):
    with pytest.raises(UserError) as error:
        parse_model(name)
    assert str(error.value) == message


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(("depth", "width"), [(10, 1), (16, 1), (22, 2)])
def test_a_seed_draws_what_it_always_drew(dims, depth, width):
    """Every layer draws as torch does, in the order of the network; then the convolutions draw anew, stem first."""
    conv = (torch.nn.Conv1d, torch.nn.Conv2d)[dims - 1]
    torch.manual_seed(random_seed(5, "init", "student"))
    convs, channels = {"stem": conv(3, 16, 3, bias=False)}, 16
    for group, out in enumerate((16 * width, 32 * width, 64 * width)):
        for block in range((depth - 4) // 6):
            where = f"groups.{group}.{block}."
            convs[where + "conv1"] = conv(channels, out, 3, bias=False)
            convs[where + "conv2"] = conv(out, out, 3, bias=False)
            if channels != out:
                convs[where + "shortcut"] = conv(channels, out, 1, bias=False)
            channels = out
    head = torch.nn.Linear(channels, 4)
    expected = {"head.weight": head.weight, "head.bias": head.bias}
    for name, layer in convs.items():
        std = (2 / (layer.out_channels * layer.kernel_size[0] ** dims)) ** 0.5
        expected[name + ".weight"] = torch.nn.init.normal_(layer.weight, std=std)
    model = initialised(
        lambda: build_model(f"wrn{depth}-{width}", dims=dims, in_channels=3, classes=4), seed=5, role="student"
    )
    found = {name: p for name, p in model.named_parameters() if "bn" not in name}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_standardize_takes_mean_and_deviation_per_channel_and_survives_a_flat_one():
    values = torch.stack([torch.randn(50, 20) * 3 + 7, torch.full((50, 20), 2.0)], dim=1)
    layer = Standardize.fit(values)
    out = layer(values)
    assert out[:, 0].mean().abs() < 1e-5
    assert out[:, 0].std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert (out[:, 1] == 0).all()
    assert not list(layer.parameters())
    assert set(copy.deepcopy(layer).state_dict()) == {"mean", "std"}
