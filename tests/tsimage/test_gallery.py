import itertools

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from tsimage import Imager
from tsimage.axes import value_label
from tsimage.fields import FIELDS
from tsimage.gallery import BAR, LINES, MISSING, draw_sheet, draw_window, find_window
from tsimage.vision import grid

ALL = "+".join(FIELDS)
POPULAR = "viridis, cividis, magma, inferno, RdBu_r, PuOr_r, gray, or another one of matplotlib"


def colours(path):
    picture = imread(path)
    return len(np.unique((picture[..., :3] * 255).round().reshape(-1, 3), axis=0))


def images_in(figure):
    return [image for axes in figure.axes for image in axes.get_images()]


def panels(figure):
    """The arrays that the figure shows as pictures."""
    return [image.get_array() for image in images_in(figure)]


def bars(figure):
    """The label of every colour bar with its range, from left to right and from top to bottom."""
    found = [axes for axes in figure.axes if axes.collections and not axes.get_images()]
    found.sort(key=lambda axes: (round(axes.get_position().x0, 3), -axes.get_position().y0))
    return [(axes.get_xlabel().replace("\n", " "), *axes.get_xlim()) for axes in found]


def tick_labels(figure, axis):
    """Whether each image shows numbers on its "x" or "y" axis, in the order of drawing."""
    figure.canvas.draw()
    shown = []
    for image in images_in(figure):
        ticks = getattr(image.axes, f"{axis}axis").get_major_ticks()
        shown.append(any(tick.label1.get_visible() and tick.label1.get_text() for tick in ticks))
    return shown


def check_that_nothing_overlaps(figure):
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes] + [figure._suptitle.get_window_extent(renderer)]
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert 0 <= box.y0 < box.y1 <= figure.bbox.height
    for one, other in itertools.combinations(boxes, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        up = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, up) <= 0.5


@pytest.fixture(scope="session")
def three(make_windows):
    """Windows of three channels, in g, g and rad/s; the last channel of window 3 does not move."""
    values = np.random.default_rng(3).normal(size=(6, 3, 20)).astype(np.float32)
    values[3, 2] = 0.5
    return make_windows(values=values, channels=("acc-x", "acc-y", "gyro-x"), units=("g", "g", "rad/s"))


def test_a_window_is_found_by_position_or_id(make_windows, says):
    windows = make_windows()
    assert find_window(windows, "4") == 4
    assert find_window(windows, "w2") == 2
    numbered = make_windows(ids=np.array(["5", "4", "3", "2", "1", "0"]))
    assert find_window(numbered, "5") == 0  # an id comes before a position
    with says("there is no window 6: made has 6, counted from 0"):
        find_window(windows, "6")
    with says("unknown window 'w9': did you mean 'w0'? Valid: w0, w1, w2, ..., or a position from 0 to 5"):
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
    np.testing.assert_array_equal(panels(figure), imager(windows.select([3]))[0])
    assert figure.get_suptitle() == "made: lie, window w3, 8 x 8, scaling fixed"
    figure.savefig(tmp_path / "w.png")
    assert colours(tmp_path / "w.png") > 50
    picture = imread(tmp_path / "w.png")[..., :3]
    for line in LINES[:2]:
        assert (np.abs(picture - to_rgb(line)).max(axis=-1) < 0.02).any()


@pytest.mark.parametrize(
    ("stack", "rate_hz"), [*((name, 50.0) for name in FIELDS), ("rp(dimension=2,delay=3)+mtf", 50.0), (ALL, None)]
)
def test_every_field_draws_with_and_without_a_rate(make_windows, stack, rate_hz, tmp_path):
    windows = make_windows(rate_hz=rate_hz, units=("", ""))
    scaled = any(FIELDS[name].scaled for name in FIELDS if name in stack.split("+"))
    imager = Imager(stack=stack, size=8, scaling="window" if scaled else "fixed")
    figure = draw_window(windows, 0, imager)
    np.testing.assert_array_equal(panels(figure), imager(windows.select([0]))[0])
    assert [label for label, _, _ in bars(figure)] == [value_label(layer, windows.units) for layer in imager.layers]
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [title.split("\n")[0].lower() for title in titles] == [layer.field.name for layer in imager.layers]
    assert ("scaling" in figure.get_suptitle()) == scaled
    figure.savefig(tmp_path / "w.png", dpi=50)
    assert colours(tmp_path / "w.png") > 20


@pytest.mark.parametrize("field", FIELDS)
def test_images_stand_on_their_axes_and_outer_panels_are_labelled(make_windows, field):
    windows = make_windows()
    figure = draw_window(windows, 0, Imager(stack=f"{field}+{field}(bins=3)" if field == "mtf" else field, size=8))
    first = images_in(figure)[0]
    across, up = {
        "spectrogram": ("time [s]", "frequency [Hz]"),
        "scalogram": ("time [s]", "frequency [Hz]"),
        "pi": ("birth [scaled]", "persistence [scaled]"),
    }.get(field, ("time [s]", "time [s]"))
    last = images_in(figure)[-1]
    assert (last.axes.get_xlabel(), first.axes.get_ylabel()) == (across, up)
    if FIELDS[field].timed:
        assert first.get_extent() == [0, 0.4, 0.4, 0]  # time runs down as well
    else:
        assert first.axes.get_ylim()[0] < first.axes.get_ylim()[1]
    expected = {"mtf": ([False, True] * 2, [True, True, False, False]), "jrp": ([True], [True])}
    below, beside = expected.get(field, ([False, True], [True, True]))
    assert (tick_labels(figure, "x"), tick_labels(figure, "y")) == (below, beside)


def test_a_scalogram_is_marked_with_true_frequencies(basic_motions):
    figure = draw_window(basic_motions, 0, Imager(stack="scalogram", size=32))
    panel = images_in(figure)[0].axes
    marks = {label.get_text(): label.get_position()[1] for label in panel.get_yticklabels()}
    assert marks == {text: pytest.approx(np.log10(float(text))) for text in ("0.2", "0.5", "1", "2")}


def test_a_joint_image_stands_once_beside_all_rows(three):
    imager = Imager(stack="rp+jrp+gasf", size=8)
    figure = draw_window(three, 0, imager)
    images = imager(three.select([0]))[0]
    np.testing.assert_array_equal(panels(figure), images)
    assert len(images) == 7
    rows, joint = images_in(figure)[:3], images_in(figure)[3].axes
    assert joint.get_title() == "JRP\nall channels"
    middle = (rows[0].axes.get_position().y1 + rows[2].axes.get_position().y0) / 2
    assert (joint.get_position().y0 + joint.get_position().y1) / 2 == pytest.approx(middle)
    assert tick_labels(figure, "y") == [True] * 7


def test_colours_span_what_is_known_or_shown(three):
    imager = Imager(stack=ALL, size=8)
    figure = draw_window(three, 1, imager)
    images = dict(zip(imager.channel_names(three.channels), imager(three.select([1]))[0], strict=True))

    def greatest(name, function=np.max):
        return pytest.approx(float(function([image for key, image in images.items() if key.startswith(name)])))

    expected = [
        (r"$\cos(\phi_i+\phi_j)$", -1, 1),
        (r"$\sin(\phi_i-\phi_j)$", -1, 1),
        ("probability", 0, greatest("mtf")),
        ("distance [g]", 0, greatest("rp:acc")),
        ("distance [rad/s]", 0, greatest("rp:gyro")),
        ("product of distances [g² · rad/s]", 0, greatest("jrp")),
        (r"$\langle{Z}\rangle$", -1, 1),
        ("density, greatest = 1", 0, greatest("pi")),
    ]
    for field in ("spectrogram", "scalogram"):
        for unit, name in (("g²", "acc"), ("(rad/s)²", "gyro")):
            prefix = f"{field}:{name}"
            expected.append((f"power [dB re {unit}]", greatest(prefix, np.min), greatest(prefix)))
    assert bars(figure) == expected
    clim = {tuple(image.get_clim()) for image in images_in(figure)[9:11]}
    assert clim == {(0, greatest("rp:acc").expected)}  # the same colours above the same bar


def test_whole_numbers_are_shown_as_the_values_they_stand_for(three):
    exact = panels(draw_window(three, 0, Imager(stack="gasf+rp+jrp+mtf", size=8)))
    imager = Imager(stack="gasf+rp+jrp+mtf", size=8, dtype="uint8")
    figure = draw_window(three, 0, imager)
    bounds = imager.bounds(three.units)
    for shown, image, (low, high) in zip(panels(figure), exact, bounds, strict=True):
        assert np.abs(shown - image).max() <= 1.01 * (high - low) / 510
    assert figure.get_suptitle().endswith("scaling fixed, as uint8")
    (sheet, *_) = panels(draw_sheet(three, imager, 1))
    (other, *_) = panels(draw_sheet(three, Imager(stack="gasf+rp+jrp+mtf", size=8), 1))
    np.testing.assert_allclose(sheet, other, atol=1.01 / 510)


@pytest.mark.parametrize("name", [None, "viridis"])
def test_pixels_without_a_value_are_grey(three, name):
    imager = Imager(stack="gasf", size=8, constant_series="nan")
    image = images_in(draw_window(three, 3, imager, name))[2]
    assert image.get_array().mask.all()
    np.testing.assert_allclose(image.to_rgba(image.get_array())[..., :3], np.broadcast_to(MISSING, (8, 8, 3)))
    # a sheet shows the first channel under a colour map, and grey where one of the three is missing without
    still = three.select([0, 3, 1, 2])
    (picture,) = panels(draw_sheet(still, imager, 1, name))
    tile = picture[2:10, 2:10]
    assert not np.isclose(tile, MISSING).all(axis=-1).any()
    (picture,) = panels(draw_sheet(three.select([3, 1, 2]).keep_channels(["gyro-x"]), imager, 1, name))
    np.testing.assert_allclose(picture[2:10, 2:10], np.broadcast_to(MISSING, (8, 8, 3)))
    (picture,) = panels(draw_sheet(three.select([3, 1, 2]), imager, 1))
    np.testing.assert_allclose(picture[2:10, 2:10], np.broadcast_to(MISSING, (8, 8, 3)))


def test_a_field_without_any_value_or_range_still_draws(make_windows, tmp_path):
    still = make_windows(values=np.ones((6, 2, 20), np.float32))
    for policy in ("flag", "nan"):
        figure = draw_window(still, 0, Imager(stack=ALL, size=8, constant_series=policy))
        figure.savefig(tmp_path / "w.png", dpi=30)
        assert all(high > low for _, low, high in bars(figure))


def test_colours_can_be_chosen(three, says):
    imager = Imager(stack="gasf+jrp", size=8)
    assert {image.get_cmap().name for image in images_in(draw_window(three, 0, imager))} == {"RdBu_r", "magma_r"}
    assert {image.get_cmap().name for image in images_in(draw_window(three, 0, imager, "bone"))} == {"bone"}
    for draw in (
        lambda name: draw_window(three, 0, imager, name),
        lambda name: draw_sheet(three, imager, 1, name),
    ):
        with says(f"unknown colour map 'Bones': did you mean 'bone'? Valid: bone, {POPULAR}"):
            draw("Bones")
        with says(f"unknown colour map 'rdgy_r': did you mean 'RdGy_r'? Valid: RdGy_r, {POPULAR}"):
            draw("rdgy_r")


def test_a_recipe_that_must_learn_learns_on_the_training_windows(make_windows, says):
    windows = make_windows()
    imager = Imager(stack="mtf(bins=3,fit=train)", size=8)
    learnt = imager.fit(windows.select(windows.split == "train"))
    np.testing.assert_array_equal(panels(draw_window(windows, 1, imager)), learnt(windows.select([1]))[0])
    np.testing.assert_array_equal(panels(draw_sheet(windows, imager, 1)), panels(draw_sheet(windows, learnt, 1)))
    with says(
        "images mtf(bins=3,fit=train) learn from training windows, but made has no split with a part train: pass a "
        "recipe that has learnt already, imager.fit(training_windows)"
    ):
        draw_window(make_windows(split=None), 0, imager)


@pytest.mark.parametrize(
    ("stack", "kept", "per_class"),
    [
        ("gasf", 1, 1),
        ("gasf+gadf+mtf", 3, 7),
        ("rp(dimension=2,delay=3)+jrp(threshold=distance,percentage=20)", 2, 2),
        ("jrp+spectrogram+scalogram+pi", 4, 1),
        (ALL, 4, 2),
        (ALL, 1, 3),
    ],
)
def test_nothing_in_a_picture_overlaps(basic_motions, stack, kept, per_class):
    windows = basic_motions.keep_channels(basic_motions.channels[6 - kept :])
    imager = Imager(stack=stack, size=25)
    check_that_nothing_overlaps(draw_window(windows, 25, imager))
    figure = draw_sheet(windows, imager, per_class)
    check_that_nothing_overlaps(figure)
    assert figure.get_figwidth() < 20


def test_a_contact_sheet_has_a_row_per_class_and_a_block_per_field(make_windows, tmp_path):
    windows = make_windows(12)
    figure = draw_sheet(windows, Imager(stack="gasf+mtf", size=8), 3)
    first, second = panels(figure)
    # 3 rows and 3 columns of 8 pixels with borders of 2 between and around
    assert first.shape == second.shape == (32, 32, 3)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["lie", "sit", "walk"]
    # evenly spaced among the members 1, 4, 7, 10 of class 1: 1, 4 or 7, 10
    image = Imager(size=8)(windows.select([1]))[0, 0]
    np.testing.assert_allclose(first[12:20, 2:10], colormaps["RdBu_r"]((image + 1) / 2)[..., :3], atol=1e-6)
    # the largest probability of the first channel in the block is the brightest
    image, brightest = Imager(stack="mtf", size=8)(windows.select([1]))[0, 0], bars(figure)[1][2]
    np.testing.assert_allclose(second[12:20, 2:10], colormaps["viridis"](image / brightest)[..., :3], atol=1e-6)
    chosen = Imager(stack="mtf", size=8)(windows)[:, 0].max(axis=(1, 2))
    assert np.isclose(chosen, brightest).any()
    assert [label for label, _, _ in bars(figure)] == [r"$\cos(\phi_i+\phi_j)$", "probability"]
    assert figure.get_suptitle().replace("\n", " ") == (
        "made: 3 windows of 0.4 s of each class, channel acc-x, 8 x 8, scaling fixed"
    )
    figure.savefig(tmp_path / "sheet.png")
    assert colours(tmp_path / "sheet.png") > 50


def test_three_channels_show_as_red_green_and_blue(basic_motions):
    windows = basic_motions.select([0, 20, 40, 60])
    imager = Imager(size=8)
    figure = draw_sheet(windows, imager, 1)
    (picture,) = panels(figure)
    image = imager(windows.select([int(np.argmin(windows.labels))]))[0, :3]
    np.testing.assert_allclose(picture[2:10, 2:10], (image.transpose(1, 2, 0) + 1) / 2, atol=1e-6)
    assert bars(figure) == [(r"each colour: $\cos(\phi_i+\phi_j)$", -1, 1)]
    assert "red acc-x, green acc-y, blue acc-z" in figure.get_suptitle().replace("\n", " ")


def test_red_green_and_blue_of_different_units_have_ranges_of_their_own(three):
    windows = three.select([0, 1, 2])
    imager = Imager(stack="rp", size=8)
    figure = draw_sheet(windows, imager, 1)
    (picture,) = panels(figure)
    images = imager(windows)
    greatest = images.max(axis=(0, 2, 3))
    shares = images[0] / np.array([max(greatest[:2]), max(greatest[:2]), greatest[2]])[:, None, None]
    np.testing.assert_allclose(picture[2:10, 2:10], shares.transpose(1, 2, 0), atol=1e-6)
    assert bars(figure) == [("each colour: share of its unit's range", 0, 1)]


def test_a_chosen_colour_map_shows_the_first_channel(basic_motions):
    windows = basic_motions.select([0, 20, 40, 60])
    imager = Imager(size=8)
    figure = draw_sheet(windows, imager, 1, "plasma")
    image = imager(windows.select([int(np.argmin(windows.labels))]))[0, 0]
    (picture,) = panels(figure)
    np.testing.assert_allclose(picture[2:10, 2:10], colormaps["plasma"]((image + 1) / 2)[..., :3], atol=1e-6)
    assert bars(figure) == [(r"$\cos(\phi_i+\phi_j)$", -1, 1)]
    assert "channel acc-x" in figure.get_suptitle().replace("\n", " ")


def test_a_joint_block_keeps_its_colour_map_among_red_green_and_blue(three):
    figure = draw_sheet(three.select([0, 1, 2]), Imager(stack="gasf+jrp", size=8), 1)
    images = Imager(stack="jrp", size=8)(three.select([0, 1, 2]))[:, 0]
    expected = colormaps["magma_r"](images[0] / images.max())[..., :3]
    np.testing.assert_allclose(panels(figure)[1][2:10, 2:10], expected, atol=1e-6)
    assert bars(figure)[1] == ("product of distances [g² · rad/s]", 0, pytest.approx(images.max()))
    alone = draw_sheet(three, Imager(stack="jrp", size=8), 1)
    assert "of each class, all channels, 8 x 8" in alone.get_suptitle().replace("\n", " ")


def test_many_blocks_go_on_below_with_the_classes_again(make_windows):
    figure = draw_sheet(make_windows(12), Imager(stack=ALL, size=8), 4)
    blocks = [image.axes for image in images_in(figure)]
    assert len(blocks) == 9
    tops = [round(block.get_position().y1 * figure.get_figheight(), 3) for block in blocks]
    assert len(set(tops)) == 2
    assert tops == sorted(tops, reverse=True)
    labelled = [any(label.get_text() for label in block.get_yticklabels()) for block in blocks]
    assert labelled == [number in (0, tops.index(min(tops))) for number in range(9)]
    assert max(tops) - min(tops) > BAR


def test_a_class_without_windows_is_left_out_of_the_sheet(make_windows):
    windows = make_windows().select([0, 2, 3, 5])
    figure = draw_sheet(windows, Imager(size=8), 2)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["lie", "walk"]


def test_a_sheet_of_one_window_draws(make_windows, tmp_path):
    figure = draw_sheet(make_windows().select([0]), Imager(size=8), 5)
    figure.savefig(tmp_path / "sheet.png")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["lie"]
    assert colours(tmp_path / "sheet.png") > 20


def test_the_grid_lays_images_out_in_rows():
    images = np.stack([np.full((3, 4, 4), value, dtype=np.float32) for value in (0.0, 0.25, 0.5, 0.75)])
    picture = grid(images, 2)
    assert picture.shape == (14, 14, 3)
    assert picture[3, 3].tolist() == [0.0] * 3
    assert picture[3, 9].tolist() == [0.25] * 3
    assert picture[9, 3].tolist() == [0.5] * 3
    assert picture[9, 9].tolist() == [0.75] * 3
    assert picture[0, 0].tolist() == [1.0] * 3
