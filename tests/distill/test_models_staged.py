"""torchvision's networks as teachers, against torchvision."""

import sys

import pytest
import torch
import torchvision

from distill.models import build_model

PAIRS = [("resnet18", "resnet18", {}), ("mobilenetv3", "mobilenet_v3_small", {"dropout": 0.0})]


@pytest.mark.parametrize(("name", "original", "options"), PAIRS)
def test_with_the_same_weights_it_computes_what_torchvision_computes(name, original, options):
    theirs = getattr(torchvision.models, original)(weights=None, num_classes=5, **options)
    ours = build_model(name, dims=2, in_channels=3, classes=5)
    x = torch.randn(4, 3, 48, 48)
    theirs.train()(x)  # running statistics of its own
    tensors = list(theirs.state_dict().values())
    assert [t.shape for t in ours.state_dict().values()] == [t.shape for t in tensors]
    ours.load_state_dict(dict(zip(ours.state_dict(), tensors, strict=True)))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize(("name", "original", "options"), PAIRS)
def test_only_the_first_convolution_follows_the_channels(name, original, options):
    three, seven = (build_model(name, dims=2, in_channels=c, classes=5).state_dict() for c in (3, 7))
    differ = [key for key in three if three[key].shape != seven[key].shape]
    assert len(differ) == 1
    first = seven[differ[0]]
    assert first.shape == (three[differ[0]].shape[0], 7, *three[differ[0]].shape[2:])
    fan_out = first.shape[0] * first.shape[2] * first.shape[3]
    assert first.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.15)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3"])
@pytest.mark.parametrize("training", [True, False])
def test_no_stage_writes_into_the_map_before_it(name, training):
    model = build_model(name, dims=2, in_channels=3, classes=5).train(training)
    fresh = []
    for stage in model.stages:
        stage.register_forward_hook(lambda *args: fresh.append(args[2].clone()))
    maps = model.trace(torch.randn(2, 3, 64, 64)).maps
    assert all(torch.equal(a, b) for a, b in zip(maps, fresh, strict=True))


def test_mobilenet_forgets_as_fast_as_the_others_and_drops_nothing():
    model = build_model("mobilenetv3", dims=2, in_channels=3, classes=5)
    momenta = {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert momenta == {0.1}
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3"])
def test_a_broken_pair_is_one_sentence(name, says, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with says(
        "torchvision cannot be imported beside this torch (import of torchvision halted; None in sys.modules): install the "
        "pair together with pip install --upgrade torch torchvision"
    ):
        build_model(name, dims=2, in_channels=3, classes=5)
