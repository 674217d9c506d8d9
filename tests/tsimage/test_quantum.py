import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyts.approximation import PiecewiseAggregateApproximation

from tsimage.fields.quantum import check_quantum, quantum_bounds, quantum_gaf

READOUTS = ["z", "x", "amplitude-cos", "amplitude-sin"]
SIGNS = ["plus", "minus"]
SERIES = arrays(np.float64, st.integers(1, 16), elements=st.floats(-20, 20))

PAULI_Z = np.array([[1.0, 0.0], [0.0, -1.0]])
PAULI_X = np.array([[0.0, 1.0], [1.0, 0.0]])


def ry(theta):
    """The rotation of a qubit about the y axis."""
    return np.array([[np.cos(theta / 2), -np.sin(theta / 2)], [np.sin(theta / 2), np.cos(theta / 2)]])


def simulated(u, readout, sign):
    """The image pixel by pixel: two rotations of |0>, then the readout of the state."""
    image = np.empty((len(u), len(u)))
    for i, first in enumerate(u):
        for j, second in enumerate(u):
            state = ry(2 * second if sign == "plus" else -2 * second) @ ry(2 * first) @ np.array([1.0, 0.0])
            image[i, j] = {
                "z": state @ PAULI_Z @ state,
                "x": state @ PAULI_X @ state,
                "amplitude-cos": state[0],
                "amplitude-sin": state[1],
            }[readout]
    return image


def test_hand_computed_readouts():
    # angles 0, 30 and 90 degrees: d of the pair (1, 2) is 120 or -60 degrees
    x = np.array([0.0, np.pi / 6, np.pi / 2])
    root = 3**0.5 / 2
    tables = {
        ("z", "plus"): [[1, 0.5, -1], [0.5, -0.5, -0.5], [-1, -0.5, 1]],
        ("z", "minus"): [[1, 0.5, -1], [0.5, 1, -0.5], [-1, -0.5, 1]],
        ("x", "plus"): [[0, root, 0], [root, root, -root], [0, -root, 0]],
        ("x", "minus"): [[0, -root, 0], [root, 0, -root], [0, root, 0]],
        ("amplitude-cos", "plus"): [[1, root, 0], [root, 0.5, -0.5], [0, -0.5, -1]],
        ("amplitude-cos", "minus"): [[1, root, 0], [root, 1, 0.5], [0, 0.5, 1]],
        ("amplitude-sin", "plus"): [[0, 0.5, 1], [0.5, root, root], [1, root, 0]],
        ("amplitude-sin", "minus"): [[0, -0.5, -1], [0.5, 0, -root], [1, root, 0]],
    }
    assert len(tables) == len(READOUTS) * len(SIGNS)
    for (readout, sign), expected in tables.items():
        np.testing.assert_allclose(quantum_gaf(x, 3, readout=readout, sign=sign), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("namespace", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(("spread", "scale"), [(1.0, 1.0), (20.0, 1.0), (9.8, 0.08), (1e-9, 3.0)])
def test_parity_with_a_state_vector(namespace, readout, sign, spread, scale):
    x = np.random.default_rng(1).uniform(-spread, spread, size=(3, 40))
    got = quantum_gaf(namespace(x), 40, readout=readout, sign=sign, scale=scale)
    expected = np.stack([simulated(scale * one, readout, sign) for one in x])
    np.testing.assert_allclose(np.asarray(got), expected, rtol=0, atol=2e-15)


@pytest.mark.parametrize("size", [1, 5, 7, 19, 20])
def test_means_are_taken_before_the_angles(size):
    x = np.random.default_rng(2).normal(size=(3, 20))
    means = PiecewiseAggregateApproximation(window_size=None, output_size=size, overlapping=False).transform(x)
    expected = np.stack([simulated(0.7 * one, "z", "plus") for one in means])
    np.testing.assert_allclose(quantum_gaf(x, size, scale=0.7), expected, rtol=0, atol=4e-15)


def test_the_segmentation_is_that_of_paa():
    # 5 into 2: the pyts halves are 2 + 3 samples long, those of array_split 3 + 2
    x = np.array([0.0, 0.0, 0.6, 0.0, 0.0])
    np.testing.assert_allclose(quantum_gaf(x, 2)[0, 0], 1, rtol=0, atol=1e-15)
    np.testing.assert_allclose(quantum_gaf(x, 2, segmentation="array_split")[0, 0], np.cos(0.8), rtol=0, atol=1e-15)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("sign", SIGNS)
def test_float32_is_within_its_rounding_of_float64(readout, sign):
    x = np.random.default_rng(3).uniform(-1, 1, size=(4, 32)).astype(np.float32)
    options = {"readout": readout, "sign": sign}
    expected = quantum_gaf(x.astype(np.float64), 32, **options)
    for got in (quantum_gaf(x, 32, **options), quantum_gaf(torch.from_numpy(x), 32, **options).numpy()):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=0, atol=4 * 2**-24)


@given(SERIES, st.sampled_from(READOUTS), st.sampled_from(SIGNS))
def test_symmetry_and_bounds(x, readout, sign):
    image = quantum_gaf(x, len(x), readout=readout, sign=sign)
    low, high = quantum_bounds()
    assert low - 1e-15 <= image.min()
    assert image.max() <= high + 1e-15
    if sign == "minus" and readout in ("x", "amplitude-sin"):
        assert (image == -image.T).all()
        assert (np.diag(image) == 0).all()
    else:
        assert (image == image.T).all()


@given(SERIES)
def test_z_and_x_are_one_angle_and_follow_from_the_amplitudes(x):
    for sign in SIGNS:
        z, sine, a, b = (quantum_gaf(x, len(x), readout=readout, sign=sign) for readout in READOUTS)
        np.testing.assert_allclose(z**2 + sine**2, 1, rtol=0, atol=1e-14)
        np.testing.assert_allclose(z, a**2 - b**2, rtol=0, atol=1e-14)
        np.testing.assert_allclose(sine, 2 * a * b, rtol=0, atol=1e-14)


@given(SERIES)
def test_the_period_of_sums_is_pi_for_measurements_and_twice_that_for_amplitudes(x):
    # an offset of pi / 2 in u is one of pi in the sums
    for readout, factor in zip(READOUTS, (1, 1, -1, -1), strict=True):
        got = quantum_gaf(x + np.pi / 2, len(x), readout=readout)
        np.testing.assert_allclose(got, factor * quantum_gaf(x, len(x), readout=readout), rtol=0, atol=1e-13)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("size", [5, 12])
def test_gradients_agree_with_finite_differences(readout, sign, size):
    x = torch.from_numpy(np.random.default_rng(4).normal(size=(2, 12))).requires_grad_()
    options = {"readout": readout, "sign": sign, "scale": 0.8}
    assert torch.autograd.gradcheck(lambda t: quantum_gaf(t, size, **options), (x,))


@pytest.mark.parametrize("readout", ["z", "x"])
@pytest.mark.parametrize("shots", [1, 16, 400, 100_000])
def test_measurements_scatter_binomially_around_the_expectation(readout, shots):
    x = np.random.default_rng(5).uniform(-1, 1, size=(4, 32))
    expected = quantum_gaf(x, 32, readout=readout)
    drawn = quantum_gaf(x, 32, readout=readout, shots=shots)
    assert np.abs(drawn).max() <= 1
    ups = (1 + drawn) / 2 * shots
    np.testing.assert_allclose(ups, np.rint(ups), rtol=0, atol=1e-15 * shots)
    unsure = np.abs(expected) < 0.99
    standard = (drawn - expected)[unsure] / np.sqrt((1 - expected[unsure] ** 2) / shots)
    assert unsure.sum() > 3000
    assert abs(standard.mean()) < 4 / np.sqrt(unsure.sum())
    assert 0.9 < standard.std() < 1.1


def test_a_certain_outcome_is_measured_without_noise():
    drawn = quantum_gaf(np.array([0.0, np.pi / 2]), 2, shots=50)
    np.testing.assert_array_equal(drawn, [[1, -1], [-1, 1]])


def test_expectations_that_round_beyond_one_are_measured_too():
    first = np.random.default_rng(0).uniform(-1, 1, size=2000)
    pairs = np.stack([first, -np.pi / 4 - first], axis=1)  # sin 2d = -1
    expected = quantum_gaf(pairs, 2, readout="x")[:, 0, 1]
    assert expected.min() < -1
    assert (quantum_gaf(pairs[expected < -1], 2, readout="x", shots=50)[:, 0, 1] == -1).all()


@pytest.mark.parametrize("readout", ["z", "x"])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("segmentation", ["pyts", "array_split"])
def test_measurements_see_all_options_and_float64(readout, sign, segmentation):
    x = np.random.default_rng(10).normal(size=(30, 23)).astype(np.float32)
    options = {"readout": readout, "sign": sign, "segmentation": segmentation, "scale": 0.37}
    expected = quantum_gaf(x.astype(np.float64), 9, **options)
    drawn = quantum_gaf(x, 9, shots=10**17, dtype=np.float64, **options)
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=2e-8)


def test_the_two_readouts_are_measured_apart():
    # 2 (u + u) = pi / 4 has one cosine and sine, so the same stream would give the same counts
    x = np.full(16, np.pi / 16)
    z, sine = (quantum_gaf(x, 16, readout=readout, shots=1000) for readout in ("z", "x"))
    assert (z != sine).mean() > 0.9


def test_pixels_and_series_are_measured_independently():
    x = np.random.default_rng(6).uniform(0.3, 0.5, size=(60, 8))
    noise = quantum_gaf(x, 8, shots=100) - quantum_gaf(x, 8)
    assert (noise != np.swapaxes(noise, -1, -2)).any()
    pixels = noise.reshape(60, 64)
    between_series = np.corrcoef(pixels)[np.triu_indices(60, 1)]
    assert abs(between_series.mean()) < 4 / np.sqrt(len(between_series) * 64)
    upper, lower = noise[:, *np.triu_indices(8, 1)].ravel(), noise.swapaxes(1, 2)[:, *np.triu_indices(8, 1)].ravel()
    assert abs(np.corrcoef(upper, lower)[0, 1]) < 4 / np.sqrt(len(upper))


def test_measurements_repeat_for_a_seed_and_change_with_it():
    x = np.random.default_rng(7).normal(size=(3, 30))
    first = quantum_gaf(x, 10, shots=100, seed=5)
    np.testing.assert_array_equal(quantum_gaf(x, 10, shots=100, seed=5), first)
    assert (quantum_gaf(x, 10, shots=100, seed=6) != first).mean() > 0.5
    np.testing.assert_array_equal(quantum_gaf(x, 10, shots=100), quantum_gaf(x, 10, shots=100, seed=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_measurements_are_the_same_in_torch_and_alone_or_in_a_batch(dtype):
    x = np.random.default_rng(8).normal(size=(4, 3, 50)).astype(dtype)
    drawn = quantum_gaf(x, 13, shots=1000, seed=2)
    assert drawn.shape == (4, 3, 13, 13)
    assert drawn.dtype == dtype
    tensor = quantum_gaf(torch.from_numpy(x).requires_grad_(), 13, shots=1000, seed=2)
    assert not tensor.requires_grad
    assert tensor.dtype == torch.from_numpy(x).dtype
    np.testing.assert_array_equal(tensor.numpy(), drawn)
    np.testing.assert_array_equal(quantum_gaf(x[::-1], 13, shots=1000, seed=2), drawn[::-1])
    np.testing.assert_array_equal(quantum_gaf(x[2, 1], 13, shots=1000, seed=2), drawn[2, 1])


def test_dtype_sets_the_type_of_the_image_only():
    x = np.random.default_rng(9).normal(size=(2, 40))
    image = quantum_gaf(x, 10, dtype=np.float32)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, quantum_gaf(x, 10), rtol=0, atol=3e-7)
    assert quantum_gaf(x, 10, shots=64, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(quantum_gaf(x, 10, shots=64, dtype=np.float32), quantum_gaf(x, 10, shots=64))
    assert quantum_gaf(torch.from_numpy(x), 10, shots=64, dtype=torch.float16).dtype == torch.float16
    assert quantum_gaf(np.array([1, 2]), 2).dtype == np.float64


@pytest.mark.parametrize("shots", [None, 10])
def test_an_empty_batch_gives_an_empty_batch(shots):
    assert quantum_gaf(np.zeros((0, 3, 20)), 5, shots=shots).shape == (0, 3, 5, 5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"readout": "y"}, "unknown readout 'y': Valid: z, x, amplitude-cos, amplitude-sin"),
        (
            {"readout": "amplitude"},
            "unknown readout 'amplitude': did you mean 'amplitude-cos'? Valid: z, x, amplitude-cos, amplitude-sin",
        ),
        ({"sign": "+"}, "unknown sign '+': Valid: plus, minus"),
        ({"sign": "mins"}, "unknown sign 'mins': did you mean 'minus'? Valid: plus, minus"),
        ({"scale": 0}, "scale 0 is not allowed: it must be a finite number above 0, in radians per unit"),
        ({"scale": -1.0}, "scale -1.0 is not allowed: it must be a finite number above 0, in radians per unit"),
        ({"scale": float("nan")}, "scale nan is not allowed: it must be a finite number above 0, in radians per unit"),
        ({"scale": float("inf")}, "scale inf is not allowed: it must be a finite number above 0, in radians per unit"),
        ({"shots": 0}, "shots 0 is not allowed: it must be a whole number of 1 or more, or None for expectations"),
        ({"shots": 1.5}, "shots 1.5 is not allowed: it must be a whole number of 1 or more, or None for expectations"),
        (
            {"readout": "amplitude-cos", "shots": 10},
            "shots 10 cannot be taken of the readout amplitude-cos: measurements see only z and x",
        ),
        (
            {"size": 11},
            "image size 11 does not fit windows of 10 samples: PAA never upsamples; "
            "choose a size from 1 to 10 or cut longer windows",
        ),
        (
            {"size": 11, "shots": 10},
            "image size 11 does not fit windows of 10 samples: PAA never upsamples; "
            "choose a size from 1 to 10 or cut longer windows",
        ),
    ],
)
def test_errors_name_what_is_allowed(options, sentence, says):
    with says(sentence):
        quantum_gaf(np.arange(10.0), **({"size": 5} | options))
    if "size" not in options:
        with says(sentence):
            check_quantum(**({"readout": "z", "sign": "plus", "scale": 1.0, "shots": None} | options))
