"""Charts draw the numbers they are given, and what goes with them is computed as by hand."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from distill.calibration import reliability
from distill.report.costs import accuracy_by_cost
from distill.report.curves import learning_curves
from distill.report.examples import colour_key, disagreements, draw_example, examples_by_class
from distill.report.placing import place_labels, spread_apart
from distill.report.reliability import reliability_diagram
from distill.report.similarity import similarity_maps
from distill.report.subjects import accuracy_by_subject
from distill.report.svg import inline
from distill.report.sweeps import sweep_curves
from distill.report.theme import looks
from tsimage.imager import Imager


def box(collection):
    """Lowest and highest value of a band by its place."""
    points = collection.get_paths()[0].vertices
    return {
        x: (points[points[:, 0] == x, 1].min(), points[points[:, 0] == x, 1].max()) for x in np.unique(points[:, 0])
    }


# Learning curves


@pytest.fixture
def history():
    rows = [("teacher", 0, 1, 8.0), ("teacher", 0, 2, 6.0), ("student", 0, 1, 1.0), ("student", 0, 2, 2.0)]
    rows += [("student", 0, 3, 5.0), ("student", 1, 1, 3.0), ("student", 1, 2, 6.0)]
    return pd.DataFrame(rows, columns=["model", "training", "epoch", "loss"])


def test_a_curve_is_the_mean_with_a_band_and_goes_on_dotted(history):
    axes = learning_curves(history, "loss", label="loss").axes[0]
    teacher, rest_of_teacher, student, rest = (line.get_xydata().tolist() for line in axes.lines)
    assert teacher == [[1, 8], [2, 6]]
    assert rest_of_teacher == [[2, 6]]
    assert student == [[1, 2], [2, 4]]
    assert rest == [[2, 4], [3, 5]]
    assert axes.lines[3].get_linestyle() == ":"
    assert [box(band) for band in axes.collections] == [{1: (1, 3), 2: (2, 6), 3: (5, 5)}]


def test_models_are_drawn_as_in_the_other_charts(history):
    models = looks(["none of it", "student", "teacher"])
    figure = learning_curves(history, "loss", label="loss", models=models)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["student", "teacher"]
    assert figure.axes[0].lines[0].get_color() == models["student"].colour


def test_an_unknown_quantity_is_named(history, says):
    with says("unknown column of the history 'los': did you mean 'loss'? Valid: model, training, epoch, loss"):
        learning_curves(history, "los", label="loss")


# Reliability


def test_the_diagram_shows_bins_counts_and_error():
    found = reliability(np.log([[0.9, 0.1], [0.7, 0.3], [0.7, 0.3]]), np.array([0, 0, 1]), bins=5)
    above, below = reliability_diagram(found).axes
    assert [bar.get_height() for bar in above.patches] == [0.5, 1.0]
    assert [bar.get_height() for bar in below.patches] == [2, 1]
    assert above.texts[0].get_text() == f"ECE {100 * (2 * 0.2 + 0.1) / 3:.1f} %"


# People


def test_people_stand_in_the_order_of_their_mean_with_a_bar_for_each_model():
    frame = pd.DataFrame({"scratch": [50.0, 90.0, np.nan], "student": [70.0, 92.0, 95.0]}, index=["ann", "bob", "<c>"])
    axes = accuracy_by_subject(frame).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["<c>", "bob", "ann"]
    scratch, student = ([bar.get_width() for bar in bars] for bars in axes.containers)
    assert scratch[1:] == [90, 50]
    assert np.isnan(scratch[0])
    assert student == [95, 92, 70]
    means = [line.get_xdata()[0] for line in axes.lines[:2]]
    assert means == [70, pytest.approx(257 / 3)]


@pytest.mark.parametrize("people", [1, 9, 30])
@pytest.mark.parametrize("models", [1, 3, 5])
def test_bars_do_not_overlap_however_many(people, models):
    frame = pd.DataFrame(np.full((people, models), 90.0), columns=[f"m{i}" for i in range(models)])
    figure = accuracy_by_subject(frame)
    spans = sorted((b.get_y(), b.get_y() + b.get_height()) for bars in figure.axes[0].containers for b in bars)
    assert all(low[1] <= high[0] + 1e-9 for low, high in pairwise(spans))
    figure.draw_without_rendering()
    height = figure.axes[0].get_window_extent().height / figure.dpi
    assert height / people / models > 0.06  # inches for each bar


# Cost


def boxes_of(figure):
    figure.draw_without_rendering()
    return [Text.get_window_extent(text) for text in figure.axes[0].texts]  # without the line of a label


def test_names_of_points_that_coincide_do_not_overlap_and_stay_inside():
    n = 6
    found = pd.DataFrame({"model": [f"network {i}" for i in range(n)], "cost": 78_000, "accuracy": 93.0, "error": 0.5})
    figure = accuracy_by_cost(found.assign(cost_low=70_000, cost_high=90_000), label="parameters")
    boxes = boxes_of(figure)
    frame = figure.axes[0].get_window_extent()
    for i, one in enumerate(boxes):
        assert frame.x0 - 1 <= one.x0 <= one.x1 <= frame.x1 + 1
        assert frame.y0 - 1 <= one.y0 <= one.y1 <= frame.y1 + 1
        assert not any(one.overlaps(other) for other in boxes[:i])


def test_names_do_not_cover_bars():
    found = pd.DataFrame({"model": ["teacher", "student"], "cost": [10.0, 20.0], "accuracy": [90.0, 94.0]})
    figure = accuracy_by_cost(found.assign(error=1.0, cost_low=[5, 15], cost_high=[18, 30]), label="ms")
    boxes, axes = boxes_of(figure), figure.axes[0]
    bars = [axes.transData.transform(bar.get_segments()[0]) for bar in axes.collections]
    assert len(bars) == 4
    for box_of_name in boxes:
        for (left, low), (right, high) in bars:
            assert box_of_name.x0 >= right or box_of_name.x1 <= left or box_of_name.y0 >= high or box_of_name.y1 <= low


def test_points_stand_where_they_belong_and_unknown_costs_are_left_out():
    found = pd.DataFrame(
        {"model": ["a", "b"], "cost": [100.0, np.nan], "accuracy": [90.0, 91.0], "error": [np.nan, 1.0]}
    )
    axes = accuracy_by_cost(found, label="MACs").axes[0]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.texts] == ["a"]
    assert axes.lines[0].get_xydata().tolist() == [[100, 90]]


def test_bars_have_their_length():
    found = pd.DataFrame(
        {"model": ["a"], "cost": [10.0], "accuracy": [90.0], "error": [2.0], "cost_low": [8.0], "cost_high": [15.0]}
    )
    segments = [c.get_segments()[0].tolist() for c in accuracy_by_cost(found, label="ms").axes[0].collections]
    assert sorted(segments) == [[[8, 90], [15, 90]], [[10, 88], [10, 92]]]


def test_a_cost_that_is_not_positive_is_refused(says):
    found = pd.DataFrame({"model": ["a"], "cost": [0], "accuracy": [90.0], "error": [np.nan]})
    with says("MACs of a are 0: the axis is logarithmic, so give positive numbers, or NaN where unknown"):
        accuracy_by_cost(found, label="MACs")


# Placing


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_labels_never_overlap_where_there_is_room(seed, n):
    rng = np.random.default_rng(seed)
    points, sizes = rng.uniform(0, 800, (n, 2)), rng.uniform((40, 10), (120, 14), (n, 2))
    places = place_labels(points, sizes, within=(800, 800))
    assert (places >= 0).all()
    assert (places + sizes <= 800 + 1e-9).all()
    for i in range(n):
        for j in range(i):
            apart = (places[i] >= places[j] + sizes[j] - 1e-9) | (places[j] >= places[i] + sizes[i] - 1e-9)
            assert apart.any()
        inside = (points > places[i] + 1e-9) & (points < places[i] + sizes[i] - 1e-9)
        assert not inside.all(axis=1).any()


def test_a_label_goes_round_what_is_taken():
    taken = np.array([[55.0, 0.0, 100.0, 100.0]])
    place = place_labels(np.array([[50.0, 50.0]]), np.array([[20.0, 10.0]]), within=(100, 100), taken=taken)
    assert place.tolist() == [[24.0, 45.0]]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12).map(sorted), st.floats(0, 8))
def test_places_are_spread_as_far_as_needed(places, least):
    places = np.array(places)
    found = spread_apart(places, least, (0, 100))
    assert (np.diff(found) >= least - 1e-6).all()
    assert (found >= -1e-6).all()
    assert (found <= 100 + 1e-6).all()
    if (np.diff(places) >= least).all():
        assert found == pytest.approx(places, abs=1e-6)


# Sweeps


def test_a_sweep_is_sorted_and_has_bands_and_the_baseline():
    found = pd.DataFrame(
        {
            "curve": ["T = 4", "T = 4", "T = 8", "T = 4"],
            "value": [0.9, 0.1, 0.1, 0.5],
            "mean": [90.0, 92.0, 91.0, np.nan],
            "ci95": [1.0, 0.5, np.nan, np.nan],
        }
    )
    figure = sweep_curves(found, label="alpha", baseline=(89.0, 0.25))
    axes = figure.axes[0]
    assert [line.get_xydata().tolist() for line in axes.lines[:2]] == [[[0.1, 92], [0.9, 90]], [[0.1, 91]]]
    assert box(axes.collections[0]) == {0.1: (91.5, 92.5), 0.9: (89, 91)}
    assert axes.lines[2].get_ydata()[0] == 89
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == (pytest.approx(88.75), pytest.approx(89.25))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.5", "0.9"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["T = 4", "T = 8", "from scratch"]


def test_temperatures_may_lie_on_a_logarithmic_axis():
    found = pd.DataFrame({"curve": "kd", "value": [1, 4, 16], "mean": [90.0, 92.0, 91.0], "ci95": np.nan})
    axes = sweep_curves(found, label="T", logarithmic=True).axes[0]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "4", "16"]


# Similarity


def test_maps_are_sorted_by_class_with_borders_and_one_range():
    labels = np.array([2, 0, 2, 0, 0])
    one = np.arange(25.0).reshape(5, 5)
    figure = similarity_maps({"teacher": one, "student": -one}, labels, ["sit", "never", "walk"])
    left, right = figure.axes[:2]
    order = [1, 3, 4, 0, 2]
    assert left.images[0].get_array().tolist() == [[one[i, j] for j in order] for i in order]
    assert left.images[0].get_clim() == right.images[0].get_clim() == (-24, 24)
    assert [line.get_ydata()[0] for line in left.lines[::2]] == [2.5]
    assert [line.get_xdata()[0] for line in left.lines[1::2]] == [2.5]
    assert [text.get_text() for text in left.texts] == ["sit", "walk"]


def test_names_of_rare_classes_do_not_overlap_in_a_map():
    labels = np.repeat(np.arange(14), [60, 60, 60, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    figure = similarity_maps({"student": np.eye(len(labels))}, labels, [f"STAND_TO_{i}" for i in range(14)])
    boxes = sorted((b.y0, b.y1) for b in boxes_of(figure))
    assert len(boxes) == 14
    overlaps = [low[1] - high[0] for low, high in pairwise(boxes)]
    assert max(overlaps) < 2  # pixels of a box with its room for descenders


def test_a_map_of_other_windows_is_refused(says):
    with says("the similarity map of student has shape (2, 2) beside 3 labels: give (3, 3)"):
        similarity_maps({"student": np.eye(2)}, np.zeros(3, int), ["sit"])


# Examples


def test_channels_of_a_unit_are_drawn_together_in_seconds(make_windows):
    windows = make_windows(channels=("acc-x", "gyro-x"))
    figure = draw_example(windows, 2, Imager(stack="gasf+mtf", size=8))
    acc, gyro = figure.subfigs[0].axes
    assert acc.lines[0].get_ydata().tolist() == windows.values[2, 0].tolist()
    assert acc.lines[0].get_xdata()[-1] == pytest.approx(19 / 50)
    assert gyro.lines[0].get_ydata().tolist() == windows.values[2, 1].tolist()
    assert (gyro.get_xlabel(), gyro.get_ylabel()) == ("time [s]", "rad/s")
    assert len([axes for axes in figure.subfigs[1].axes if axes.images]) == 2
    assert colour_key(windows) == "Images show channel acc-x."


def test_images_show_three_channels_as_colours(make_windows):
    values = np.random.default_rng(1).normal(size=(4, 3, 20)).astype(np.float32)
    windows = make_windows(4, values=values, channels=("x", "y", "z"), units=("g",) * 3)
    imager = Imager(stack="gasf", size=8)
    shown = draw_example(windows, 1, imager).subfigs[1].axes[0].images[0].get_array()
    painted = imager(windows.select([1]))[0].astype(np.float32)  # (channel, S, S), from -1 to 1
    np.testing.assert_allclose(np.asarray(shown), np.moveaxis((painted + 1) / 2, 0, -1), atol=0.01)
    assert colour_key(windows) == "Images show x in red, y in green and z in blue."


def test_a_window_without_rate_or_unit_and_with_a_joint_image(make_windows):
    windows = make_windows(units=("", ""), rate_hz=None)
    figure = draw_example(windows, 0, Imager(stack="jrp", size=8))
    (panel,) = figure.subfigs[0].axes
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("time [samples]", "unit unknown")
    assert len(panel.lines) == 2


def test_examples_are_evenly_spaced_in_every_class():
    labels = np.array([1] * 6 + [0] * 2)
    assert examples_by_class(labels, 3).tolist() == [6, 7, 1, 3, 5]
    assert examples_by_class(np.array([], dtype=np.int64)).tolist() == []


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=30))
def test_disagreements_are_told_apart_completely(rows):
    labels, teacher, student = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    found = disagreements(labels, teacher, student)
    together = sorted(i for positions in found.values() for i in positions.tolist())
    assert together == [i for i, (_, t, s) in enumerate(rows) if t != s]
    for i in found["only the teacher is right"]:
        assert rows[i][1] == rows[i][0] != rows[i][2]
    for i in found["only the student is right"]:
        assert rows[i][2] == rows[i][0] != rows[i][1]


def test_every_chart_becomes_svg_without_a_warning_and_always_the_same(history, make_windows):
    def drawn():
        costs = pd.DataFrame({"model": ["$a$"], "cost": [9], "accuracy": [90.0], "error": [1.0]})
        sweep = pd.DataFrame({"curve": ["$b$"], "value": [1], "mean": [1.0], "ci95": [np.nan]})
        figures = [
            learning_curves(history, "loss", label="loss"),
            reliability_diagram(reliability(np.array([[0.9, 0.1]]), np.array([0]))),
            accuracy_by_subject(pd.DataFrame({"student": [90.0]}, index=["ann"])),
            accuracy_by_cost(costs, label="MACs"),
            sweep_curves(sweep, label="T"),
            similarity_maps({"$c$": np.eye(2)}, np.array([0, 1]), ["<a>", "$b$"]),
            draw_example(make_windows(), 0, Imager(stack="gasf", size=8)),
        ]
        return [inline(figure, place=f"p{i}", title="chart") for i, figure in enumerate(figures)]

    texts = drawn()
    assert ">$a$</text>" in texts[3]
    assert ">$c$</text>" in texts[5]
    assert ">&lt;a&gt;</text>" in texts[5]
    assert texts == drawn()
