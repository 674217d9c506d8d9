"""MiniRocket and Hydra beside aeon 1.6.0 and beside slow re-implementations.

aeon pins older numpy and numba, so it is no dependency of the tests: its numbers stand here. They are of

    pip install --no-deps --target oracle aeon sktime scikit-base Deprecated wrapt
    NUMBA_DISABLE_JIT=1 PYTHONPATH=oracle python
    from aeon.transformations.collection.convolution_based import _minirocket, _hydra
    p = _minirocket._static_fit(VALUES, 672, 32, 3)
    (_minirocket._static_transform_multi(VALUES, p, _minirocket.MiniRocket._indices)[::3, ::32] * 40).round(3), p[4][::48]
    h = _hydra._HydraInternal(40, 3, k=2, g=4); h.W, h.idx = WEIGHTS.unsqueeze(3), list(CHANNELS); h(VALUES)[::3]
"""

from itertools import combinations

import numpy as np
import pytest
import torch

from distill.rocket import Hydra, MiniRocket
from distill.rocket.hydra import wins
from distill.rocket.minirocket import Kernels, biases_of, dilations_for, golden_quantiles, shares_above

T, C, N = np.arange(40), np.arange(3)[:, None], np.arange(4)[:, None, None]
VALUES = ((7 * T + 11 * C * T + 5 * N * T * T + 3 * N) % 13 - 6).astype(np.float32)
"""Whole numbers, so that convolutions are exact in any order of addition."""
AEON_SHARES = [
    [13, 21, 31, 2, 11, 21, 29, 34, 1, 18, 26, 38.3333, 0, 20, 23, 28, 40, 6, 14, 20, 30],
    [12, 28, 32, 2, 11, 19, 27, 38, 0, 15, 32, 35, 0, 13.3333, 19, 29, 38, 5, 16, 20, 35],
]
"""In fortieths: the samples of a padded convolution above the bias."""
AEON_BIASES = [5.136595, -9.874096, 33.067738, 3, -9.116333, 28.916088, 8, -24, 43, 1]
AEON_BIASES += [-10.901217, 38.977665, 6.618849, -14.529144]
WEIGHTS = torch.from_numpy((np.arange(3 * 2 * 4 * 9) * 5 % 11 - 5).reshape(3, 2, 4, 9).astype(np.float32))
CHANNELS = torch.tensor([[[0, 1], [2, 2]], [[1, 2], [0, 2]]]).expand(3, 2, 2, 2)
AEON_WINS = np.array(
    [
        [341, 640, 858, 622, 15, 25, 18, 22, 322, 68, 602, 566, 21, 18, 27, 12],
        [280, 600, 1370, -240, 18, 22, 22, 18, 870, 445, 400, 812, 21, 18, 25, 14],
        [329, 385, 626, 478, 20, 20, 24, 16, 359, 63, 592, 306, 18, 21, 25, 14],
        [487, 261, 616, 466, 20, 20, 16, 24, -76, 153, 783, 569, 20, 19, 15, 24],
        [400, 208, 926, 476, 22, 18, 19, 21, 546, 595, 508, 600, 19, 20, 17, 22],
        [220, 295, 682, 390, 18, 22, 16, 24, 66, 132, 574, 644, 20, 19, 16, 23],
    ]
).reshape(2, 48)


def random_values(n, channels, length, seed=0):
    return np.random.default_rng(seed).normal(size=(n, channels, length)).astype(np.float32)


def aeon_draws(seed, sets, channels, n):
    """What aeon draws from numpy's frozen legacy stream: sets of channels, and windows for the biases."""
    legacy = np.random.RandomState(seed)
    sizes = (2 ** legacy.uniform(0, np.log2(channels + 1), sets)).astype(int)
    uses = np.zeros((sets, channels), dtype=bool)
    for row, size in zip(uses, sizes, strict=True):
        row[legacy.choice(channels, size, replace=False)] = True
    legacy = np.random.RandomState(seed)
    return uses, np.array([legacy.randint(n) for _ in range(sets)])


def slow_convolution(x, taps, dilation):
    """One window (channel, time) with one kernel, sample by sample in float64."""
    weights = np.where(np.isin(np.arange(9), taps), 2.0, -1.0)
    out = np.zeros(x.shape[1])
    for t in range(len(out)):
        for tap in range(9):
            at = t + (tap - 4) * dilation
            if 0 <= at < len(out):
                out[t] += weights[tap] * x[:, at].sum()
    return out


def test_minirocket_equals_aeon():
    dilations, n_biases = dilations_for(40, 672)
    assert (dilations.tolist(), n_biases.tolist()) == ([1, 2, 3, 4], [4, 1, 2, 1])
    uses, picks = aeon_draws(3, 4 * 84, 3, len(VALUES))
    biases = biases_of(VALUES, picks, uses, dilations, n_biases)
    np.testing.assert_allclose(biases[::48], AEON_BIASES, rtol=1e-6)
    features = shares_above(VALUES, Kernels(dilations=dilations, n_biases=n_biases, uses=uses, biases=biases))
    np.testing.assert_allclose(40 * features[::3, ::32], AEON_SHARES, atol=1e-4)


@pytest.mark.parametrize("length", [9, 10, 33])
def test_minirocket_equals_the_definition(length):
    values = random_values(3, 2, length).round(1)
    transform = MiniRocket(n_features=252, seed=5).fit(values)
    features, kernels, feature = transform.transform(values), transform.kernels, 0
    for i, dilation in enumerate(kernels.dilations):
        for k, taps in enumerate(combinations(range(9), 3)):
            for _ in range(kernels.n_biases[i]):
                for window, x in enumerate(values):
                    whole = slow_convolution(x[kernels.uses[84 * i + k]], taps, dilation)
                    inner = whole[4 * dilation : length - 4 * dilation] if (i + k) % 2 else whole
                    near = np.abs(inner - kernels.biases[feature]) < 1e-5  # where float32 may decide otherwise
                    difference = features[window, feature] - np.mean(inner > kernels.biases[feature])
                    assert abs(difference) <= near.mean() + 1e-6
                feature += 1
    assert feature == features.shape[1] == 252


def test_biases_are_quantiles_of_the_picked_window():
    values = random_values(2, 1, 30)
    dilations, n_biases = dilations_for(30, 168)
    assert n_biases.sum() == 2
    uses = np.ones((84 * len(dilations), 1), dtype=bool)
    biases = biases_of(values, np.ones(len(uses), dtype=np.int64), uses, dilations, n_biases)
    row = slow_convolution(values[1], (0, 1, 2), 1)
    assert biases[0] == pytest.approx(np.quantile(row, (np.sqrt(5) - 1) / 2), abs=1e-4)
    assert golden_quantiles(3).tolist() == pytest.approx([0.618034, 0.236068, 0.854102])


@pytest.mark.parametrize(("length", "n_features"), [(9, 84), (9, 9996), (50, 1000), (128, 9996), (3000, 9996)])
def test_dilations_span_at_most_the_window_and_biases_are_shared_out(length, n_features):
    dilations, n_biases = dilations_for(length, n_features)
    assert dilations[0] == 1
    assert 8 * dilations[-1] <= length - 1
    assert (np.diff(dilations) > 0).all()
    assert n_biases.min() >= 1
    assert n_biases.sum() == n_features // 84


def test_channels_of_minirocket_are_sets_of_one_to_nine():
    kernels = MiniRocket(n_features=84 * 6, seed=1).fit(random_values(3, 12, 60)).kernels
    sizes = kernels.uses.sum(axis=1)
    assert sizes.min() == 1
    assert 7 <= sizes.max() <= 9
    assert kernels.uses.any(axis=0).all()
    assert (sizes == 1).mean() == pytest.approx(np.log(2) / np.log(10), abs=0.08)


def test_hydra_equals_aeon():
    got = wins(torch.from_numpy(VALUES), WEIGHTS, CHANNELS, kernels=2)
    assert np.array_equal(got[::3].numpy(), AEON_WINS)


@pytest.mark.parametrize(("channels", "length"), [(1, 9), (3, 20), (5, 33)])
def test_hydra_equals_the_definition(channels, length):
    values = random_values(2, channels, length)
    transform = Hydra(kernels=3, groups=4, seed=2).fit(values)
    features = transform.transform(values).reshape(2, -1, 2, 2, 2, 3)  # dilation, view, largest/smallest, group, kernel
    weights, chosen = transform.weights.double().numpy(), transform.channels.numpy()
    assert features.shape[1] == int(np.log2((length - 1) / 8)) + 1
    for window, i, view, group in np.ndindex(2, features.shape[1], 2, 2):
        x = values[window].astype(np.float64)
        x = np.diff(x) if view else x
        x = np.pad(x[chosen[i, view, group]].sum(axis=0), 4 * 2**i)
        largest, smallest = np.zeros(3), np.zeros(3)
        for t in range(length - view):
            taps = x[t : t + 8 * 2**i + 1 : 2**i]
            responses = weights[i, view, 3 * group : 3 * group + 3] @ taps
            largest[responses.argmax()] += responses.max()
            smallest[responses.argmin()] += 1
        np.testing.assert_allclose(features[window, i, view, 0, group], largest, atol=1e-4)
        np.testing.assert_allclose(features[window, i, view, 1, group], smallest)


def test_kernels_of_hydra_sum_to_zero_and_their_sizes_to_one():
    transform = Hydra(groups=8).fit(random_values(1, 6, 40))
    torch.testing.assert_close(transform.weights.sum(-1), torch.zeros(3, 2, 32), atol=1e-6, rtol=0)
    torch.testing.assert_close(transform.weights.abs().sum(-1), torch.ones(3, 2, 32))
    assert transform.channels.shape == (3, 2, 4, 3)
    assert set(transform.channels.unique().tolist()) == set(range(6))


@pytest.mark.parametrize("make", [lambda s: MiniRocket(168, seed=s), lambda s: Hydra(groups=4, seed=s)])
def test_transforms_repeat_from_the_seed_and_see_each_window_alone(make):
    values = random_values(300, 2, 24)
    features = make(0).fit(values).transform(values)
    assert features.dtype == np.float32
    assert np.array_equal(features, make(0).fit(values).transform(values))
    assert not np.array_equal(features, make(1).fit(values).transform(values))
    order = np.random.default_rng(0).permutation(300)
    fitted = make(0).fit(values)
    np.testing.assert_allclose(fitted.transform(values[order]), features[order], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fitted.transform(values[270:]), features[270:], rtol=1e-5, atol=1e-5)


def test_what_cannot_be_is_refused(says):
    with says("n_features 83 is not allowed: MiniRocket has 84 kernels and needs at least 84"):
        MiniRocket(n_features=83)
    with says("kernels 1 is not allowed: at least 2 kernels compete in a group of Hydra"):
        Hydra(kernels=1)
    with says("groups 5 is not allowed: half of Hydra's groups look at differences, so their number is even"):
        Hydra(groups=5)
    with says(
        "MiniRocket cannot be fitted to 4 windows of 8 samples: it needs a window, and 9 samples, the taps of a kernel: cut "
        "longer windows"
    ):
        MiniRocket().fit(random_values(4, 1, 8))
    with says("Hydra cannot be fitted to windows of 8 samples: it needs 9, the taps of a kernel: cut longer windows"):
        Hydra().fit(random_values(4, 1, 8))
