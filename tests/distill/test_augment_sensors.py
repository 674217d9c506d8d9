"""Augmentations of signals: each against NumPy and SciPy from the same draws, and what all of them promise."""

import inspect

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from distill.augment import AUGMENTATIONS, Streams, hash_ids
from distill.augment.rotation import random_rotations
from distill.augment.timing import warped_positions

N, C, T = 13, 7, 61
TRIPLES = [(0, 1, 2), (6, 5, 4)]
SCALE = [0.5, 1.0, 2.0, 0.0, 3.0, 4.0, 5.0]
IDS = hash_ids(f"w{i}" for i in range(N))
SIGNAL = [name for name, augmentation in AUGMENTATIONS.items() if augmentation.where == "signal"]
KNOWN = {"triples": TRIPLES, "scale": SCALE}


def streams(epoch=1, ids=IDS, seed=0):
    return Streams(seed=seed, epoch=epoch, ids_hash=ids)


def values(dtype=torch.float64, n=N, length=T):
    return torch.from_numpy(np.random.default_rng(1).normal(size=(n, C, length))).to(dtype)


def augmented(name, x, own=None, **options):
    augmentation = AUGMENTATIONS[name]
    return augmentation.apply(
        x, streams() if own is None else own, **options, **{need: KNOWN[need] for need in augmentation.needs}
    )


def agree(result, expected):
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("law", ["angle", "haar"])
@pytest.mark.parametrize("degrees", [15.0, 180.0])
def test_rotation_equals_scipy(law, degrees):
    x, most = values(), np.deg2rad(degrees)
    expected = x.numpy().copy()
    for i, (height, turn, share) in enumerate(streams().uniform("rotation: axis and angle", 3)):
        z, longitude, angle = 2 * height - 1, 2 * np.pi * turn, most * share
        if law == "haar":
            volume = share * (most - np.sin(most))
            angle = optimize.brentq(lambda a, v=volume: a - np.sin(a) - v, 0, np.pi, xtol=1e-14)
        axis = np.array([np.cos(longitude) * np.sqrt(1 - z * z), np.sin(longitude) * np.sqrt(1 - z * z), z])
        for triple in TRIPLES:
            expected[i, triple] = Rotation.from_rotvec(angle * axis).apply(x.numpy()[i, triple].T).T
    result = augmented("rotation", x, degrees=degrees, law=law)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-7 if law == "haar" else 1e-12)


def test_rotation_keeps_norms_and_other_channels():
    x = values(torch.float32)
    turned = augmented("rotation", x)
    for triple in TRIPLES:
        torch.testing.assert_close(turned[:, triple].norm(dim=1), x[:, triple].norm(dim=1))
        assert not torch.allclose(turned[:, triple], x[:, triple])
    assert torch.equal(turned[:, 3], x[:, 3])


def test_rotation_is_one_for_all_triples_of_a_window():
    x = values()
    x[:, [6, 5, 4]] = x[:, [0, 1, 2]]
    turned = augmented("rotation", x)
    assert torch.equal(turned[:, [6, 5, 4]], turned[:, [0, 1, 2]])


@pytest.mark.parametrize("law", ["angle", "haar"])
@pytest.mark.parametrize("degrees", [10.0, 180.0])
def test_angles_follow_their_law(law, degrees):
    matrices = random_rotations(streams(ids=hash_ids(map(str, range(5000)))), degrees, law)
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (5000, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    vectors, most = Rotation.from_matrix(matrices).as_rotvec(), np.deg2rad(degrees)
    angles = np.linalg.norm(vectors, axis=1)
    assert angles.max() <= most + 1e-9
    if law == "angle":
        assert stats.kstest(angles, stats.uniform(0, most).cdf).pvalue > 0.01
    else:
        assert stats.kstest(angles, lambda a: (a - np.sin(a)) / (most - np.sin(most))).pvalue > 0.01
    for component in (vectors / angles[:, None]).T:  # Archimedes: each coordinate of a uniform direction is uniform
        assert stats.kstest(component, stats.uniform(-1, 2).cdf).pvalue > 0.01
    if law == "haar" and degrees == 180:
        for entry in matrices.reshape(-1, 9).T:
            assert stats.kstest(entry, stats.uniform(-1, 2).cdf).pvalue > 0.005


def test_jitter_adds_the_noise_of_the_window_by_the_scale_of_the_channel():
    x = values()
    noise = streams().noise("jitter: noise", C * T).reshape(N, C, T)
    expected = x.numpy() + noise * 0.05 * np.array(SCALE)[:, None]
    np.testing.assert_allclose(augmented("jitter", x, sigma=0.05).numpy(), expected, atol=1e-6)
    spread = (augmented("jitter", values(n=N, length=5000), sigma=0.05) - values(n=N, length=5000)).std(dim=(0, 2))
    np.testing.assert_allclose(spread.numpy(), 0.05 * np.array(SCALE), rtol=0.02)


def test_scaling_multiplies_each_channel():
    factors = 1 + 0.3 * stats.norm.ppf(streams().uniform("scaling: factors", C))
    x = values()
    agree(augmented("scaling", x, sigma=0.3), x.numpy() * factors[:, :, None])
    torch.testing.assert_close(
        augmented("scaling", 2 * x + 1), 2 * augmented("scaling", x) + augmented("scaling", x * 0 + 1)
    )


@pytest.mark.parametrize("knots", [1, 4, 9])
def test_magnitude_warp_multiplies_by_splines(knots):
    x, heights = values(), streams().normal("magnitude_warp: heights", C * (knots + 2)).reshape(N, C, knots + 2)
    expected = x.numpy().copy()
    for i in range(N):
        for c in range(C):
            spline = CubicSpline(np.linspace(0, T - 1, knots + 2), 1 + 0.2 * heights[i, c])
            expected[i, c] *= spline(np.arange(T))
    np.testing.assert_allclose(augmented("magnitude_warp", x, knots=knots).numpy(), expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_time_warp_reads_along_the_running_sum_of_a_spline(sigma):
    x, heights = values(), streams().normal("time_warp: speeds", 6)
    expected = np.empty_like(x.numpy())
    for i in range(N):
        speeds = CubicSpline(np.linspace(0, T - 1, 6), 1 + sigma * heights[i])(np.arange(T))
        passed = [0.0]
        for speed in speeds[1:]:
            passed.append(passed[-1] + max(speed, 0.1))
        where = np.array(passed) * (T - 1) / passed[-1]
        for c in range(C):
            expected[i, c] = np.interp(where, np.arange(T), x.numpy()[i, c])
    np.testing.assert_allclose(augmented("time_warp", x, sigma=sigma).numpy(), expected, atol=1e-4)


def test_a_warped_clock_runs_forward_from_end_to_end():
    where = warped_positions(streams(ids=hash_ids(map(str, range(500)))), 100, 1.0, 4)
    assert (where[:, 0] == 0).all()
    assert where.max() <= 99
    np.testing.assert_allclose(where[:, -1], 99)
    assert (np.diff(where) > 0).all()


@pytest.mark.parametrize(("border", "mode"), [("edge", "edge"), ("reflect", "reflect")])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_shift_is_a_cut_from_a_padded_window(border, mode, share):
    x, most = values(), round(share * T)
    moves = np.floor(streams().uniform("shift: samples", 1)[:, 0] * (2 * most + 1)).astype(int) - most
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), (most, most)], mode=mode)
    expected = np.stack([window[:, most - move : most - move + T] for window, move in zip(padded, moves, strict=True)])
    np.testing.assert_array_equal(augmented("shift", x, share=share, border=border).numpy(), expected)
    assert moves.min() < 0 < moves.max()


def test_shifts_are_uniform():
    x = torch.arange(21.0).expand(3000, 1, 21)
    shifted = augmented("shift", x, streams(ids=hash_ids(map(str, range(3000)))), share=0.25)
    counts = np.bincount((shifted[:, 0, 10] - 5).long().numpy(), minlength=11)  # at most round(5.25) = 5 to either side
    assert len(counts) == 11
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(("segments", "length"), [(4, T), (5, 60), (7, 5), (2, 1)])
def test_permutation_puts_pieces_in_the_order_of_the_draws(segments, length):
    x = values(length=length)
    expected = []
    for window, chances in zip(x.numpy(), streams().uniform("permutation: order", segments), strict=True):
        pieces = np.array_split(window, segments, axis=1)
        expected.append(np.concatenate([pieces[k] for k in sorted(range(segments), key=chances.__getitem__)], axis=1))
    result = augmented("permutation", x, segments=segments)
    np.testing.assert_array_equal(result.numpy(), np.stack(expected))
    assert torch.equal(result.sort(dim=2)[0], x.sort(dim=2)[0])


def test_channel_dropout_silences_channels_but_never_all():
    x = values() + 100
    for rate in (0.2, 0.9, 0.999):
        expected = x.numpy().copy()
        for i, chances in enumerate(streams().uniform("channel_dropout: channels", C)):
            silent = [c for c in range(C) if chances[c] < rate]
            if len(silent) == C:
                silent.remove(int(np.argmax(chances)))
            expected[i, silent] = 0
        result = augmented("channel_dropout", x, rate=rate).numpy()
        np.testing.assert_array_equal(result, expected)
        assert (result != 0).any(axis=(1, 2)).all()
    assert ((result != 0).any(axis=2).sum(axis=1) == 1).any()


@pytest.mark.parametrize("name", SIGNAL)
def test_zero_probability_is_the_identity_and_one_changes(name):
    x = values(torch.float32)
    assert torch.equal(augmented(name, x, p=0.0), x)
    changed = (augmented(name, x, p=1.0) != x).flatten(1).any(dim=1)
    assert changed.float().mean() > 0.7  # an order or a shift may be the given one, and no channel may fall silent
    half = (augmented(name, x, p=0.5) != x).flatten(1).any(dim=1)
    assert 0 < half.sum() < changed.sum()


@pytest.mark.parametrize("name", SIGNAL)
def test_windows_not_drawn_stay_and_drawn_ones_are_as_with_certainty(name):
    x = values(torch.float32)
    some, every = augmented(name, x, p=0.5), augmented(name, x, p=1.0)
    drawn = streams().uniform(f"{name}: applied", 1)[:, 0] < 0.5
    assert torch.equal(some[drawn], every[drawn])
    assert torch.equal(some[~drawn], x[~drawn])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", SIGNAL)
def test_a_window_is_changed_alike_in_every_batch(name, dtype):
    x = values(dtype)
    whole = augmented(name, x, p=0.8)
    assert whole.dtype == dtype
    assert whole.shape == x.shape
    order = np.random.default_rng(2).permutation(N)
    assert torch.equal(augmented(name, x[order], streams(ids=IDS[order]), p=0.8), whole[order])
    for batch in ([4], [8, 2, 11], list(range(9))):
        assert torch.equal(augmented(name, x[batch], streams(ids=IDS[batch]), p=0.8), whole[batch])


@pytest.mark.parametrize("name", SIGNAL)
def test_another_epoch_or_seed_draws_anew(name):
    x = values(torch.float32)
    first = augmented(name, x)
    assert torch.equal(augmented(name, x), first)
    assert not torch.equal(augmented(name, x, streams(epoch=2)), first)
    assert not torch.equal(augmented(name, x, streams(seed=1)), first)


@pytest.mark.parametrize("name", SIGNAL)
def test_input_is_left_as_it_is_and_may_lie_in_any_order(name):
    x = values(torch.float32)
    before = x.clone()
    result = augmented(name, x, p=0.5)
    assert torch.equal(x, before)
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)
    every_second = torch.stack([x, x * 0], dim=1).flatten(0, 1)[::2]
    assert not strided.is_contiguous()
    assert torch.equal(augmented(name, strided, p=0.5), result)
    assert torch.equal(augmented(name, every_second, p=0.5), result)


@pytest.mark.parametrize("length", [1, 2, 3, T])
@pytest.mark.parametrize("name", SIGNAL)
def test_finite_windows_of_any_length_stay_finite(name, length):
    x = values(torch.float32, length=length) * 1e6
    result = augmented(name, x)
    assert result.shape == x.shape
    assert bool(torch.isfinite(result).all())
    assert augmented(name, x[:0], streams(ids=IDS[:0])).shape == (0, C, length)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_defaults_of_the_registry_are_those_of_the_function(name):
    parameters = inspect.signature(AUGMENTATIONS[name].apply).parameters.values()
    own = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    needs = {option for option, default in own.items() if default is inspect.Parameter.empty}
    own = {option: default for option, default in own.items() if option not in needs}
    assert {option.name: option.default for option in AUGMENTATIONS[name].options if option.name != "on"} == own
    assert set(AUGMENTATIONS[name].needs) == needs
