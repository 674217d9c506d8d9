"""Recipes by name, their errors word by word, and the recipe at work on batches."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from distill.augment import AUGMENTATIONS, Augmenter, Option, Recipe, Streams, hash_ids, parse_augment
from distill.augment.amplitude import jitter
from distill.augment.erasing import erasing
from distill.augment.mixing import cutmix, mixup
from distill.augment.rotation import rotation

CHANNELS = ("acc-x", "acc-y", "acc-z", "gyro-x", "gyro-y", "gyro-z")
UNITS = ("g",) * 3 + ("rad/s",) * 3
SCALE = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)
IDS = hash_ids(f"w{i}" for i in range(8))
ALL = ", ".join(AUGMENTATIONS) + ", or several joined by +, as rotation+jitter"


def augmenter(text, **fields):
    given = {"channels": CHANNELS, "units": UNITS, "scale": SCALE, "seed": 3} | fields
    return Augmenter(recipe=parse_augment(text), **given)


def signals():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(8, 6, 40)).astype(np.float32))


def images():
    return torch.from_numpy(np.random.default_rng(1).normal(size=(8, 6, 16, 16)).astype(np.float32))


def test_a_recipe_is_read_in_the_order_named():
    recipe = parse_augment(
        " jitter(p=0.50, sigma=1e-1) +rotation( degrees = 15 )+erasing(scale=0.1:0.2,value=-1)+mixup()"
    )
    assert recipe.label == "jitter(sigma=0.1,p=0.5)+rotation(degrees=15)+erasing(scale=0.1:0.2,value=-1)+mixup"
    assert [step.place for step in recipe.steps] == ["signal", "signal", "image", "signal"]
    assert recipe.steps[0].options == {"sigma": 0.1, "p": 0.5}
    assert recipe.steps[2].options == {"scale": (0.1, 0.2), "ratio": (0.3, 3.3), "value": -1.0, "p": 0.5}


def test_recipes_are_values():
    one, other = parse_augment("jitter(p=0.5,sigma=0.2)"), parse_augment("jitter(sigma=0.20,p=0.5)")
    assert one == other == pickle.loads(pickle.dumps(one))
    assert len({one, other, parse_augment("jitter(sigma=0.03)"), parse_augment("jitter")}) == 2
    assert parse_augment(one.label) == one
    assert parse_augment(" ") == Recipe()


@pytest.mark.parametrize(
    ("text", "mixes"), [("", None), ("jitter", None), ("mixup", "signal"), ("cutmix(on=image)", "image")]
)
def test_a_recipe_says_what_it_mixes(text, mixes):
    assert parse_augment(text).mixes == mixes


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_default_is_allowed_and_every_entry_is_explained(name):
    augmentation = AUGMENTATIONS[name]
    assert augmentation.name == name
    assert augmentation.summary
    assert "arXiv:" in augmentation.paper
    for option in augmentation.options:
        text = ":".join(map(str, option.default)) if isinstance(option.default, tuple) else str(option.default)
        assert option.read(text) == option.default
        assert type(option.read(text)) is type(option.default)
        assert option.meaning
        assert parse_augment(f"{name}({option.name}={text})").label == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rotatoin", f"unknown augmentation 'rotatoin': did you mean 'rotation'? Valid: {ALL}"),
        ("jitter++mixup", f"unknown augmentation '': Valid: {ALL}"),
        (
            "jitter(sigm=1)",
            "unknown option of the augmentation jitter 'sigm': did you mean 'sigma'? Valid: sigma, p",
        ),
        ("jitter(p=1.5)", "option p of the augmentation jitter is '1.5': give a number above 0 and at most 1"),
        ("jitter(p=nan)", "option p of the augmentation jitter is 'nan': give a number above 0 and at most 1"),
        (
            "rotation(degrees=0)",
            "option degrees of the augmentation rotation is '0': give a number above 0 and at most 180",
        ),
        ("rotation(law=euler)", "option law of the augmentation rotation is 'euler': give angle or haar"),
        (
            "permutation(segments=2.5)",
            "option segments of the augmentation permutation is '2.5': give a whole number at least 2 and at most 50",
        ),
        (
            "channel_dropout(rate=1)",
            "option rate of the augmentation channel_dropout is '1': give a number above 0 and below 1",
        ),
        (
            "erasing(scale=0.3:0.1)",
            "option scale of the augmentation erasing is '0.3:0.1': give two rising numbers joined by ':', each above 0 "
            "and at most 1",
        ),
        (
            "erasing(ratio=1)",
            "option ratio of the augmentation erasing is '1': give two rising numbers joined by ':', each above 0 and at "
            "most 100",
        ),
        ("erasing(value=inf)", "option value of the augmentation erasing is 'inf': give a number"),
        (
            "jitter(sigma)",
            "augmentation recipe 'jitter(sigma)' is not understood at 'sigma': give each option once, as sigma=VALUE",
        ),
        ("mixup(p=0)", "option p of the augmentation mixup is '0': give a number above 0 and at most 1"),
        (
            "jitter(p=1,p=0)",
            "augmentation recipe 'jitter(p=1,p=0)' is not understood at 'p=0': give each option once, as p=VALUE",
        ),
        (
            "jitter(p=1",
            "augmentation recipe 'jitter(p=1' is not understood at 'jitter(p=1': write it as "
            "rotation(degrees=15)+jitter(sigma=0.05,p=0.5)",
        ),
        (
            "jitter+shift+jitter(p=0.5)",
            "augmentation recipe 'jitter+shift+jitter(p=0.5)' names jitter twice: name it once",
        ),
        (
            "mixup+cutmix(on=image)",
            "augmentation recipe 'mixup+cutmix(on=image)' mixes windows twice, by mixup and cutmix: a label is shared "
            "between two windows at most, so name one of them",
        ),
    ],
)
def test_mistakes_in_a_recipe_are_told(says, text, words):
    with says(words):
        parse_augment(text)


def test_open_and_closed_bounds():
    closed, opened = (
        Option(name="a", default=1.0, meaning="", low=0, high=1),
        Option(name="a", default=0.5, meaning="", low=0, high=1, open_low=True, open_high=True),
    )
    assert [closed.read(text) for text in ("0", "1", "-0.1", "1.1", "-inf")] == [0.0, 1.0, None, None, None]
    assert [opened.read(text) for text in ("0", "0.5", "1")] == [None, 0.5, None]


def test_signals_are_changed_step_by_step():
    streams = Streams(seed=3, epoch=7, ids_hash=IDS)
    x = rotation(signals(), streams, triples=[(0, 1, 2), (3, 4, 5)], degrees=15.0)
    x = jitter(x, streams, scale=SCALE, sigma=0.05, p=0.5)
    expected = mixup(x, streams, alpha=0.2)
    text = "rotation(degrees=15)+erasing+jitter(sigma=0.05,p=0.5)+mixup"
    result = augmenter(text).signals(signals(), IDS, 7)
    for part in ("values", "partner", "share"):
        assert torch.equal(getattr(result, part), getattr(expected, part))
    pictures = augmenter(text).images(images(), IDS, 7)
    assert torch.equal(pictures.values, erasing(images(), streams))
    assert pictures.share.tolist() == [1.0] * 8


def test_what_follows_mixing_keeps_its_labels():
    result = augmenter("mixup+jitter").signals(signals(), IDS, 7)
    streams = Streams(seed=3, epoch=7, ids_hash=IDS)
    mixed = mixup(signals(), streams)
    assert torch.equal(result.values, jitter(mixed.values, streams, scale=SCALE))
    assert torch.equal(result.share, mixed.share)
    assert result.share.min() < 1


def test_mixing_of_images_leaves_signals_alone():
    result = augmenter("cutmix(on=image)")
    expected = cutmix(images(), Streams(seed=3, epoch=7, ids_hash=IDS))
    assert torch.equal(result.images(images(), IDS, 7).values, expected.values)
    assert torch.equal(result.images(images(), IDS, 7).partner, expected.partner)
    assert torch.equal(result.signals(signals(), IDS, 7).values, signals())
    assert result.signals(signals(), IDS, 7).partner.tolist() == list(range(8))


@pytest.mark.parametrize(
    "text", ["", "jitter", "rotation+scaling+magnitude_warp+shift+time_warp+permutation+channel_dropout"]
)
def test_labels_are_untouched_by_changes_of_signals(text):
    result = augmenter(text).signals(signals(), IDS, 1)
    assert result.share.tolist() == [1.0] * 8
    assert result.partner.tolist() == list(range(8))
    assert torch.equal(result.values, signals()) == (text == "")
    labels = torch.arange(8) % 3
    assert torch.equal(result.soft_labels(labels, 3).argmax(1), labels)


def test_all_signal_augmentations_together_change_a_window_alike_in_every_batch():
    chain = augmenter("+".join(name for name, entry in AUGMENTATIONS.items() if entry.where == "signal"))
    whole = chain.signals(signals(), IDS, 2).values
    batch = [6, 1, 3]
    assert torch.equal(chain.signals(signals()[batch], IDS[batch], 2).values, whole[batch])
    assert not torch.equal(chain.signals(signals(), IDS, 3).values, whole)


def test_what_does_not_fit_the_sensors_is_told(says):
    with says(
        "augmentation rotation turns the x, y and z of a sensor together, but the channels acc-x, gyro-x have none: name "
        "them as acc-x, acc-y, acc-z, or leave rotation out"
    ):
        augmenter("rotation", channels=("acc-x", "gyro-x"), units=("g", "g"), scale=(1, 1))
    with says(
        "augmentation rotation cannot turn acc-x, acc-y, acc-z together, as their units are g, unknown, m/s^2: convert them "
        "to one unit"
    ):
        augmenter("rotation", units=("g", "", "m/s^2", *UNITS[3:]))
    with says("scale has 2 values for 6 channels: give one for each"):
        augmenter("jitter", scale=(1.0, 1.0))
    with says("scale of channel gyro-x is nan: give its standard deviation in training, at least 0"):
        augmenter("jitter", scale=(*SCALE[:3], float("nan"), 1.0, 1.0))
    with says("augmentation channel_dropout has nothing to drop, as ecg is the only channel: leave it out"):
        augmenter("channel_dropout", channels=("ecg",), units=("mV",), scale=(1.0,))


def test_every_window_has_an_id(says):
    with says("1 window ids for 8 windows: give one for each"):
        augmenter("rotation").signals(signals(), IDS[:1], 1)


def test_what_is_not_needed_is_not_asked_for():
    augmenter("scaling", channels=("a", "b"), units=("", ""), scale=())
    augmenter("rotation", units=("",) * 6, scale=())


def test_parsing_a_recipe_loads_no_torch_and_no_scipy(repository):
    code = "import sys; from distill.augment import parse_augment; parse_augment('mixup'); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert not {"torch", "scipy", "torchvision"} & set(done.stdout.split())


def test_names_of_channels_may_be_read_only_once():
    one = augmenter("rotation+jitter", channels=iter(CHANNELS), units=iter(UNITS), scale=iter(SCALE))
    assert torch.equal(
        one.signals(signals(), IDS, 1).values, augmenter("rotation+jitter").signals(signals(), IDS, 1).values
    )
