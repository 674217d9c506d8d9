import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from tsimage import Imager
from tsimage.gallery import LINES, draw_sheet, draw_window, find_window
from tsimage.vision import grid


def colours(path):
    picture = imread(path)
    return len(np.unique((picture[..., :3] * 255).round().reshape(-1, 3), axis=0))


def panels(figure):
    """The arrays that the figure shows as pictures."""
    return [image.get_array() for axes in figure.axes for image in axes.get_images()]


def test_a_window_is_found_by_position_or_id(make_windows, says):
    windows = make_windows()
    assert find_window(windows, "4") == 4
    assert find_window(windows, "w2") == 2
    numbered = make_windows(ids=np.array(["5", "4", "3", "2", "1", "0"]))
    assert find_window(numbered, "5") == 0  # an id comes before a position
    with says("there is no window 6: made has 6, counted from 0"):
        find_window(windows, "6")
    with says("unknown window 'w9': did you mean 'w2'? Valid: w0, w1, w2, ..., or a position from 0 to 5"):
        find_window(windows, "w9")


def test_one_window_shows_its_series_and_its_images(make_windows, tmp_path):
    windows = make_windows()
    imager = Imager(stack="gasf+mtf", size=8)
    figure = draw_window(windows, 3, imager)
    lines = [axes.lines[0] for axes in figure.axes if axes.lines]
    assert len(lines) == 2
    for line, channel in zip(lines, windows.values[3], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), channel)
        np.testing.assert_allclose(line.get_xdata(), np.arange(20) / 50)
    images = imager(windows.select([3]))[0]
    shown = [p for p in panels(figure) if p.shape == (8, 8)]
    assert len(shown) == 4
    for image in images:
        assert any(np.array_equal(image, panel) for panel in shown)
    assert figure.get_suptitle() == "made: lie, window w3, 8 x 8, scaling fixed"
    figure.savefig(tmp_path / "w.png")
    assert colours(tmp_path / "w.png") > 50
    picture = imread(tmp_path / "w.png")[..., :3]
    for line in LINES[:2]:
        assert (np.abs(picture - to_rgb(line)).max(axis=-1) < 0.02).any()


@pytest.mark.parametrize("stack", ["gasf", "mtf", "gasf+gadf+mtf"])
@pytest.mark.parametrize("rate_hz", [50.0, None])
def test_every_stack_draws_with_and_without_a_rate(make_windows, stack, rate_hz, tmp_path):
    windows = make_windows(rate_hz=rate_hz, units=("", ""))
    figure = draw_window(windows, 0, Imager(stack=stack, size=8, scaling="fixed" if stack == "mtf" else "window"))
    figure.savefig(tmp_path / "w.png")
    assert colours(tmp_path / "w.png") > 20
    assert ("scaling" in figure.get_suptitle()) == ("gasf" in stack)


def test_a_contact_sheet_has_a_row_per_class_and_a_block_per_field(make_windows, tmp_path):
    windows = make_windows(12)
    figure = draw_sheet(windows, Imager(stack="gasf+mtf", size=8), 3)
    first, second = panels(figure)
    # 3 rows and 3 columns of 8 pixels with borders of 2 between and around
    assert first.shape == second.shape == (32, 32, 3)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["lie", "sit", "walk"]
    # evenly spaced among the members 1, 4, 7, 10 of class 1: 1, 4 or 7, 10
    image = Imager(size=8)(windows.select([1]))[0, 0]
    np.testing.assert_allclose(first[12:20, 2:10, 0], (image + 1) / 2, atol=1e-6)
    image = Imager(stack="mtf", size=8)(windows.select([1]))[0, 0]
    shown = second[12:20, 2:10, 0]  # brightened so that the largest probability of the block is white
    np.testing.assert_allclose(shown, image * (shown.max() / image.max()), atol=1e-6)
    assert 1 >= shown.max() >= image.max()
    figure.savefig(tmp_path / "sheet.png")
    assert colours(tmp_path / "sheet.png") > 50


def test_three_channels_show_as_red_green_and_blue(basic_motions):
    windows = basic_motions.select([0, 20, 40, 60])
    imager = Imager(size=8)
    (picture,) = panels(draw_sheet(windows, imager, 1))
    image = imager(windows.select([int(np.argmin(windows.labels))]))[0, :3]
    np.testing.assert_allclose(picture[2:10, 2:10], (image.transpose(1, 2, 0) + 1) / 2, atol=1e-6)


def test_a_class_without_windows_is_left_out_of_the_sheet(make_windows):
    windows = make_windows().select([0, 2, 3, 5])
    figure = draw_sheet(windows, Imager(size=8), 2)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["lie", "walk"]


def test_the_grid_lays_images_out_in_rows():
    images = np.stack([np.full((3, 4, 4), value, dtype=np.float32) for value in (0.0, 0.25, 0.5, 0.75)])
    picture = grid(images, 2)
    assert picture.shape == (14, 14, 3)
    assert picture[3, 3].tolist() == [0.0] * 3
    assert picture[3, 9].tolist() == [0.25] * 3
    assert picture[9, 3].tolist() == [0.5] * 3
    assert picture[9, 9].tolist() == [0.75] * 3
    assert picture[0, 0].tolist() == [1.0] * 3
