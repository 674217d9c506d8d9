import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from tsimage import Imager
from tsimage.module import ImageModule

RECIPE = Imager(stack="gasf+gadf+mtf", size=12)
UNITS = ("g", "rad/s")


@pytest.fixture
def x():
    return torch.randn(4, 2, 50, generator=torch.Generator().manual_seed(3))


def test_it_paints_what_the_imager_paints(x):
    images = ImageModule(RECIPE, UNITS)(x)
    assert images.shape == (4, 6, 12, 12)
    assert images.dtype == torch.float32
    np.testing.assert_allclose(images.numpy(), RECIPE(x.numpy(), UNITS), rtol=0, atol=2e-6)
    assert torch.equal(images, RECIPE(x, UNITS))


def test_units_are_checked_when_painting(x, says):
    with says("1 units for 2 channels: give one unit per channel"):
        ImageModule(RECIPE, ["g"])(x)


def test_gradients_reach_the_series(x):
    x = x.double().requires_grad_()
    module = ImageModule(Imager(stack="gasf+gadf", size=5, scaling="window", dtype="float64"))
    assert torch.autograd.gradcheck(module, (x[:2, :, :11],))
    weight = torch.randn(4, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    (module(x) * weight).sum().backward()
    assert (x.grad.abs().sum(dim=(1, 2)) > 0).all()


def test_a_network_behind_it_learns(x):
    network = nn.Sequential(ImageModule(RECIPE, UNITS), nn.Conv2d(6, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(300, 2))
    loss = nn.functional.cross_entropy(network(x), torch.tensor([0, 1, 0, 1]))
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(
    ("convert", "dtype"),
    [
        (lambda m: m.double(), torch.float64),
        (lambda m: m.to(torch.bfloat16), torch.bfloat16),
        (lambda m: m.half().float(), torch.float32),
    ],
    ids=["double", "bfloat16", "float"],
)
def test_the_images_follow_the_type_of_the_network(x, convert, dtype):
    network = convert(nn.Sequential(ImageModule(RECIPE, UNITS), nn.Conv2d(6, 3, 3)))
    assert network[0](x).dtype == dtype
    assert torch.equal(network[0](x), RECIPE(x, UNITS).to(dtype))
    assert network(x).dtype == dtype


def test_without_conversion_the_type_is_that_of_the_recipe(x):
    assert ImageModule(Imager(size=8, dtype="float64", scaling="window"))(x).dtype == torch.float64


def test_autocast_leaves_the_images_as_they_are(x):
    module = ImageModule(RECIPE, UNITS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = module(x)
        assert (x[:, :, :2] @ x[:, :, :2]).dtype == torch.bfloat16
    assert torch.equal(images, module(x))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_it_moves_with_to(x, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    network = nn.Sequential(ImageModule(RECIPE, UNITS), nn.Conv2d(6, 3, 3)).to(device)
    assert network(x.to(device)).device.type == device
    np.testing.assert_allclose(network[0](x.to(device)).cpu(), RECIPE(x, UNITS), rtol=0, atol=1e-5)


def test_it_adds_nothing_to_the_state_of_a_network():
    module = ImageModule(RECIPE, UNITS)
    assert list(module.parameters()) == []
    assert module.state_dict() == {}


def test_it_can_be_copied_and_pickled(x):
    module = ImageModule(RECIPE, UNITS)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(x), module(x))
        assert other.imager == RECIPE


def test_it_shows_its_recipe():
    assert repr(ImageModule(Imager())) == "ImageModule()"
    assert repr(ImageModule(RECIPE, list(UNITS))) == (
        "ImageModule(stack='gasf+gadf+mtf', size=12, units=('g', 'rad/s'))"
    )


def test_images_of_markov_fields_alone_carry_no_gradient(x):
    x.requires_grad_()
    assert not ImageModule(Imager(stack="mtf+rp(threshold=1)", size=8))(x).requires_grad
    ImageModule(Imager(stack="mtf+rp", size=8))(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_advice_about_missing_samples_names_what_takes_it(x, says):
    x[0, 0, 0] = float("nan")
    with says(
        "window 0, channel '0' holds NaN or infinity (1 of 4 windows do): fill or remove these samples, or paint with "
        "imager(x, missing='0.2s') to fill gaps of NaN up to 0.2 s, or missing='mask'"
    ):
        ImageModule(RECIPE, UNITS)(x)
