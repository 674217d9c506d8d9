"""Parameters and MACs: the numbers of the field, a count by hooks, and the command."""

import math
import re

import numpy as np
import pytest
import torch

from distill.cli import main
from distill.models import MODELS, build_model
from distill.models.listing import count_macs, model_table, plain_table
from distill.rocket import KINDS, RidgeTeacher


def by_hooks(model, x):
    """Count from what each convolution and linear layer returned: outputs x inputs of each."""
    total = []

    def count(layer, _, out):
        if isinstance(layer, torch.nn.Linear):
            total.append(out.numel() * layer.in_features)
        else:
            total.append(out.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size))

    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(x)
    return sum(total)


def test_macs_of_wrn16_1_by_hand():
    convolutions = 500 * (3 * 3 * 16 + 4 * 3 * 16 * 16)
    convolutions += 250 * (3 * 16 * 32 + 3 * 3 * 32 * 32 + 16 * 32)
    convolutions += 125 * (3 * 32 * 64 + 3 * 3 * 64 * 64 + 32 * 64)
    model = build_model("wrn16-1", dims=1, in_channels=3, classes=14)
    assert count_macs(model, torch.zeros(1, 3, 500)) == convolutions + 64 * 14


@pytest.mark.parametrize(
    ("dims", "millions"),
    [
        (1, {"wrn16-1": 10, "wrn16-3": 88, "wrn28-1": 21, "wrn28-3": 185}),
        (2, {"wrn16-1": 107, "wrn16-3": 892, "wrn28-1": 220, "wrn28-3": 1911}),
    ],
)
def test_macs_are_those_of_the_field(dims, millions):
    frame = model_table(in_channels=3, classes=14, samples=500, image_size=64)
    frame = frame[frame["dims"] == dims].set_index("name")
    assert {name: round(frame.loc[name, "macs"] / 1e6) for name in millions} == millions


@pytest.mark.parametrize("dims", [1, 2])
def test_macs_are_counted_as_hooks_count_them(dims):
    frame = model_table(in_channels=2, classes=5, samples=50, image_size=33).set_index(["name", "dims"])
    names = [name for name, d in frame.index if d == dims and name not in KINDS]
    assert names
    for name in names:
        size = 50 if dims == 1 else 33
        model = build_model(name, dims=dims, in_channels=2, classes=5, size=size)
        macs = by_hooks(model, torch.zeros(1, 2, *(size,) * dims))
        if name == "patch":  # 6 layers of queries x keys, and of weights x values, which are no layers
            tokens = 7 if dims == 1 else 81
            macs += 6 * 2 * tokens**2 * 64
        assert frame.loc[(name, dims), "macs"] == macs, name
        assert frame.loc[(name, dims), "parameters"] == sum(p.numel() for p in model.parameters())


def test_macs_grow_with_the_batch_and_the_model_is_left_in_evaluation():
    model = build_model("patch", dims=1, in_channels=3, classes=2, size=64).train()
    one, four = (count_macs(model, torch.zeros(n, 3, 64)) for n in (1, 4))
    assert four == 4 * one
    assert not model.training


def test_table_has_a_row_for_every_network_and_dimension_and_draws_nothing():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    frame = model_table()
    assert torch.equal(torch.get_rng_state(), before)
    assert list(frame.columns) == ["name", "dims", "parameters", "macs", "paper", "summary"]
    rows = [(name, d) for model in MODELS.values() for name in model.listed for d in model.dims]
    rows += [("minirocket", 1), ("hydra", 1)]
    assert list(zip(frame["name"], frame["dims"], strict=True)) == rows
    assert frame["paper"].str.fullmatch(r"\d{4}\.\d{5}").all()


def test_plain_table_is_one_line_for_each_row():
    frame = model_table(classes=14, samples=500)
    lines = plain_table(frame).splitlines()
    assert len(lines) == len(frame) + 2
    assert lines[0].split() == ["network", "dims", "parameters", "MACs,", "M", "arXiv", "summary"]
    row = next(line for line in lines if line.startswith(" se16-1"))
    assert row.split()[:5] == ["se16-1", "1", "30,342", "3.93", "1709.01507"]
    assert not any(line != line.rstrip() for line in lines)


def test_command_prints_the_table(capsys):
    main(["models", "--channels", "6", "--classes", "4", "--samples", "50", "--image-size", "16"])
    out = capsys.readouterr().out
    assert out == plain_table(model_table(6, 4, 50, 16)) + "\n"


def test_command_on_a_terminal_shows_the_same_numbers(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "90")
    main(["models"])
    out = capsys.readouterr().out
    assert "\x1b[1m" in out
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in out.splitlines()) == 90
    for text in ("wrn28-3", "1,118,006", "47.30"):
        assert text in out


@pytest.mark.parametrize(
    ("option", "number", "most"),
    [
        ("samples", 0, "100,000"),
        ("samples", 10**20, "100,000"),
        ("channels", -1, "10,000"),
        ("classes", 10**20, "1,000,000"),
        ("image-size", 10_001, "10,000"),
    ],
)
def test_command_refuses_impossible_numbers(capsys, option, number, most):
    with pytest.raises(SystemExit) as stop:
        main(["models", f"--{option}={number}"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"distill: {option} {number} is not allowed: give a number from 1 to {most}\n"


@pytest.mark.parametrize("kind", ["minirocket", "hydra"])
def test_ridges_have_the_parameters_of_a_fitted_one(kind):
    rng = np.random.default_rng(0)
    labels, groups = np.arange(24) % 3, np.repeat(["ann", "bob", "cem", "dia"], 6)
    teacher = RidgeTeacher(kind).fit(rng.normal(size=(24, 2, 40)), labels, groups)
    arrays, _ = teacher.state()
    frame = model_table(in_channels=2, classes=3, samples=40, image_size=16).set_index("name")
    assert frame.loc[kind, "parameters"] == arrays["weight"].size + arrays["bias"].size
    if kind == "hydra":  # the hook of torch counts what the reckoning says
        with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
            teacher.model.transform.transform(np.zeros((1, 2, 40), np.float32))
        # first differences are one sample shorter, at each dilation
        weights = teacher.model.transform.weights
        short = weights[:, 1].numel()
        assert frame.loc[kind, "macs"] == counter.get_total_flops() // 2 + short + arrays["weight"].size


def test_windows_too_short_for_random_convolutions_leave_them_out():
    assert not set(model_table(samples=8, image_size=16)["name"]) & {"minirocket", "hydra"}


def test_patches_of_signals_and_of_images_are_of_two_papers():
    """PatchTST cuts series into patches, ViT images; what the code takes from each, its module says."""
    papers = model_table().set_index(["name", "dims"])["paper"]
    assert (papers["patch", 1], papers["patch", 2]) == ("2211.14730", "2010.11929")
