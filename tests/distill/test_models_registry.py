"""What every network of the registry must do."""

import copy
import math

import pytest
import torch

from distill.models import MODELS, build_model, check_model, list_models, parse_model
from distill.seeds import initialised

# Channels and strides of the three maps, and features of the embedding, as the docstrings state them.
STAGES = {
    "wrn16-1": ((16, 32, 64), (1, 2, 4), 64),
    "wrn16-3": ((48, 96, 192), (1, 2, 4), 192),
    "wrn28-1": ((16, 32, 64), (1, 2, 4), 64),
    "wrn28-3": ((48, 96, 192), (1, 2, 4), 192),
    "ds16-1": ((16, 32, 64), (1, 2, 4), 64),
    "se16-1": ((16, 32, 64), (1, 2, 4), 64),
    "inception": ((128, 128, 128), (1, 1, 1), 128),
    "patch": ((64, 64, 64), {1: (8, 8, 8), 2: (4, 4, 4)}, 64),
    "resnet18": ((128, 256, 512), (8, 16, 32), 512),
    "mobilenetv3": ((24, 48, 576), (8, 16, 32), 1024),
}
STAGES |= {f"{name}-gn": STAGES[name] for name in ("wrn16-3", "ds16-1", "se16-1")}
CASES = [(name, dims) for name in STAGES for dims in (1, 2) if dims in parse_model(name)[0].dims]
SIDE = {1: 37, 2: 17}

every_network = pytest.mark.parametrize(("name", "dims"), CASES)


def make(name, dims, *, seed=0, in_channels=2, classes=5, size=None):
    size = size or SIDE[dims]
    return initialised(
        lambda: build_model(name, dims=dims, in_channels=in_channels, classes=classes, size=size), seed, "test"
    )


def inputs(dims, n=3, in_channels=2, size=None):
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, in_channels, *(size or SIDE[dims],) * dims, generator=generator)


def test_every_listed_network_is_tested():
    assert set(list_models()) <= set(STAGES)
    assert list_models() == [name for model in MODELS.values() for name in model.listed]
    assert set(list_models(1)) | set(list_models(2)) == set(list_models())
    for kind, model in MODELS.items():
        assert kind == model.name
        assert all(parse_model(name)[0] is model for name in model.listed)


@every_network
@pytest.mark.parametrize("size", [None, 22])
def test_maps_and_embedding_have_the_shapes_that_are_documented(name, dims, size):
    channels, strides, features = STAGES[name]
    strides = strides[dims] if isinstance(strides, dict) else strides
    side = size or SIDE[dims]
    trace = make(name, dims, size=size).trace(inputs(dims, size=size))
    assert trace.logits.shape == (3, 5)
    assert trace.embedding.shape == (3, features)
    assert [tuple(m.shape) for m in trace.maps] == [
        (3, c, *(math.ceil(side / s),) * dims) for c, s in zip(channels, strides, strict=True)
    ]


@every_network
@pytest.mark.parametrize("training", [True, False])
def test_forward_is_the_logits_of_the_trace_and_draws_nothing(name, dims, training):
    model, x = make(name, dims).train(training), inputs(dims)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert torch.equal(model(x), model.trace(x).logits)
    assert torch.equal(torch.get_rng_state(), before)


@every_network
def test_the_head_reads_the_embedding(name, dims):
    model, x = make(name, dims).eval(), inputs(dims)
    seen = []
    model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    trace = model.trace(x)
    assert seen[0] is trace.embedding
    torch.testing.assert_close(trace.logits, trace.embedding @ model.head.weight.T + model.head.bias)


@every_network
def test_finite_gradients_reach_every_parameter_and_the_input(name, dims):
    model, x = make(name, dims).train(), inputs(dims, n=6).requires_grad_()
    torch.nn.functional.cross_entropy(model(x), torch.arange(6) % 5).backward()
    for parameter_name, parameter in [*model.named_parameters(), ("x", x)]:
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@every_network
def test_gradients_of_every_map_and_the_embedding_reach_the_first_layer(name, dims):
    model = make(name, dims).train()
    first = next(p for p in model.parameters() if p.ndim == 2 + dims)
    trace = model.trace(inputs(dims))
    for shown in (*trace.maps, trace.embedding):
        (gradient,) = torch.autograd.grad(shown.square().sum(), first, retain_graph=True)
        assert gradient.abs().max() > 0


@every_network
def test_in_evaluation_a_window_alone_gets_the_logits_it_gets_among_others(name, dims):
    model, x = make(name, dims).eval(), inputs(dims)
    torch.testing.assert_close(model(x[1:2]), model(x)[1:2], rtol=1e-4, atol=1e-5)


@every_network
def test_a_seed_fixes_the_weights_and_leaves_the_global_state_alone(name, dims):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (make(name, dims, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@every_network
def test_weights_survive_a_round_trip(name, dims):
    model, x = make(name, dims, seed=1), inputs(dims)
    model(x)  # running statistics move
    other = make(name, dims, seed=2)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    assert torch.equal(other.eval()(x), model.eval()(x))


@every_network
def test_bf16_autocast_and_inference_mode_come_close_to_float32(name, dims):
    model, x = make(name, dims).eval(), inputs(dims)
    wide = model(x)
    with torch.inference_mode():
        assert torch.equal(model(x), wide)
        with torch.autocast("cpu", torch.bfloat16):
            narrow = model.trace(x)
    assert narrow.logits.dtype == torch.bfloat16
    assert (narrow.logits.float() - wide).abs().max() < 0.05 * max(1, wide.abs().max())


@every_network
def test_bf16_autocast_trains(name, dims):
    model = make(name, dims).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(inputs(dims))
    logits.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() for p in model.parameters())


@every_network
def test_one_channel_and_two_classes_do(name, dims):
    model = make(name, dims, in_channels=1, classes=2).eval()
    assert model(inputs(dims, in_channels=1)).shape == (3, 2)


@pytest.mark.parametrize("dims", [1, 2])
def test_networks_on_the_wrong_view_are_refused(dims, says):
    wrong = [name for name in STAGES if (name, dims) not in CASES]
    assert wrong
    for name in wrong:
        with pytest.raises(ValueError, match=rf"network '{name}' looks at .*, not at "):
            build_model(name, dims=dims, in_channels=3, classes=2, size=32)
    with says(
        "network 'inception' looks at the signal, not at images: use it as inception:signal, or choose for images one of "
        "wrn16-1, wrn16-3, wrn28-1, wrn28-3, ds16-1, se16-1, patch, resnet18, mobilenetv3"
    ):
        check_model("inception", 2)


def test_impossible_numbers_are_refused(says):
    with says("dims 3 is not allowed: it must be 1 for signals or 2 for images"):
        build_model("wrn16-1", dims=3, in_channels=3, classes=2)
    with says("in_channels 0 is not allowed for network 'wrn16-1': it must be at least 1"):
        build_model("wrn16-1", dims=1, in_channels=0, classes=2)
    with says("classes 0 is not allowed for network 'resnet18': it must be at least 1"):
        build_model("resnet18", dims=2, in_channels=3, classes=0)
    with says("size 0 is not allowed for network 'patch': it must be at least 1"):
        build_model("patch", dims=1, in_channels=3, classes=2, size=0)
    with says("network 'patch' needs size: give the samples of a window"):
        build_model("patch", dims=1, in_channels=3, classes=2)
    with says("network 'patch' needs size: give the side of an image"):
        build_model("patch", dims=2, in_channels=3, classes=2)


@pytest.mark.parametrize("name", ["patch-gn", "resnet18-gn", "Patch", "wrn16-1-bn", "wrn16", "ds16-1 ", "wrn٢٢-1"])
def test_names_that_only_look_right_are_unknown(name):
    with pytest.raises(ValueError, match=f"unknown network '{name}': "):
        parse_model(name)
