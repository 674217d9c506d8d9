import numpy as np
import pytest
import torch

from distill.losses.alignment import aligned, over_time, shortened


def test_position_i_of_a_map_over_time_is_row_i_and_column_i():
    maps = torch.zeros(1, 1, 4, 4)
    maps[0, 0, 2, :] = 1.0
    assert over_time(maps)[0, 0].tolist() == [0.125, 0.125, 0.625, 0.125]
    assert torch.equal(over_time(maps), over_time(maps.mT))


def test_maps_that_are_not_square_have_no_time(says):
    with says(
        "maps of 4 x 8 cannot be compared over time: both axes of the image must be the same time, "
        "as of gasf, gadf, mtf and rp"
    ):
        over_time(torch.zeros(2, 3, 4, 8))


@pytest.mark.parametrize(("length", "size"), [(8, 4), (7, 3), (5, 4), (9, 1), (6, 6), (128, 25)])
def test_shortening_is_the_integral_over_equal_intervals(length, size):
    x = torch.randn(3, length, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
    area = np.concatenate([np.zeros((3, 1)), np.cumsum(x.numpy(), axis=1)], axis=1)  # of a step function
    borders = np.linspace(0, length, size + 1)
    at_borders = np.stack([np.interp(borders, np.arange(length + 1), row) for row in area])
    expected = np.diff(at_borders, axis=1) * size / length
    np.testing.assert_allclose(shortened(x, size).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "shape"),
    [
        ((3, 12), (4, 8, 8), (8,)),
        ((4, 8, 8), (3, 5), (5,)),
        ((3, 12), (4, 16), (12,)),
        ((3, 6, 4), (4, 3, 8), (3, 4)),
    ],
)
def test_both_take_the_shorter_of_each_axis(a, b, shape):
    x, y = aligned(torch.ones(2, *a), torch.ones(2, *b))
    assert x.shape == (2, a[0], *shape)
    assert y.shape == (2, b[0], *shape)
    torch.testing.assert_close(x, torch.ones_like(x))
    torch.testing.assert_close(y, torch.ones_like(y))


def test_axes_of_images_are_not_mixed_up():
    a = torch.arange(24.0).reshape(1, 1, 4, 6)
    x, _ = aligned(a, torch.zeros(1, 1, 2, 3))
    expected = a.numpy().reshape(2, 2, 3, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(x[0, 0].numpy(), expected)
