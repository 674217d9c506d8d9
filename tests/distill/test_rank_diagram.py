"""The critical-difference diagram, read back from the figure: where points and bars are, and that no text overlaps."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from distill.ranks import Ranking, rank_models
from distill.report.rank_diagram import CLIQUE, FAINT, draw_ranks

LONG = "wrn16-1 distilled from wrn28-3:gasf + wrn28-3:signal with CA-MKD, T = 4 and lambda = 0.7, variant {}"


def ranking(names, n=30, spread=4.0, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(80, 5, (n, 1)) + np.linspace(0, spread, len(names)) + rng.normal(0, 1, (n, len(names)))
    return rank_models(pd.DataFrame(scores, columns=names))


def boxes(figure):
    """Every text with its box in pixels."""
    renderer = figure.canvas.get_renderer()
    return {text: text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()}


@pytest.mark.parametrize("count", [2, 3, 8, 25])
@pytest.mark.parametrize("name", ["m{}", LONG], ids=["short", "long"])
def test_no_text_overlaps_another_or_the_edge(count, name):
    figure = draw_ranks(ranking([name.format(i) for i in range(count)]))
    found = boxes(figure)
    width, height = figure.canvas.get_width_height()
    for text, box in found.items():
        assert 0 < box.x0 < box.x1 < width, text
        assert 0 < box.y0 < box.y1 < height, text
    for (one, first), (other, second) in itertools.combinations(found.items(), 2):
        assert not first.overlaps(second), (one, other)


@pytest.mark.parametrize("count", [3, 20])
def test_no_leader_crosses_a_text_or_another_leader(count):
    figure = draw_ranks(ranking([f"m{i}" for i in range(count)]))
    paths = [line.get_transform().transform_path(line.get_path()) for line in leaders(figure)]
    assert len(paths) == count
    for path, box in itertools.product(paths, boxes(figure).values()):
        assert not path.intersects_bbox(box, filled=False)
    for one, other in itertools.combinations(paths, 2):
        one_rank = one.vertices[0, 0] == other.vertices[0, 0]  # these go down together
        assert one_rank or not one.intersects_path(other, filled=False)


def leaders(figure):
    return [line for line in figure.axes[0].lines if same_color(line.get_color(), FAINT)]


def by_hand():
    return Ranking(
        models=("best", "second", "third", "$worst_1$"),
        ranks=np.array([1.25, 2.0, 3.0, 3.75]),
        n=12,
        unit="data sets",
        friedman_p=0.004,
        p_values=np.full((4, 4), np.nan),
        cliques=((0, 2), (1, 3)),
    )


def test_points_and_bars_are_where_the_ranks_are():
    axes = draw_ranks(by_hand()).axes[0]
    ticks = {int(t.get_text()): t.get_position()[0] for t in axes.texts if t.get_text() in "1234"}
    assert sorted(ticks) == [1, 2, 3, 4]
    inch = ticks[2] - ticks[1]  # of one rank

    def rank_at(x):
        return 1 + (x - ticks[1]) / inch

    points = sorted(rank_at(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o")
    assert points == pytest.approx([1.25, 2.0, 3.0, 3.75])
    bars = [line for line in axes.lines if same_color(line.get_color(), CLIQUE)]
    ends = [[rank_at(x) for x in bar.get_xdata()] for bar in bars]
    assert ends[0] == pytest.approx([1.25, 3.0], abs=0.03)
    assert ends[1] == pytest.approx([2.0, 3.75], abs=0.03)
    assert bars[0].get_ydata()[0] != bars[1].get_ydata()[0]  # those that overlap lie in rows of their own


def test_names_ranks_and_caption_are_written_as_they_are():
    made = by_hand()
    figure = draw_ranks(made)
    texts = [text.get_text() for text in figure.axes[0].texts]
    for words in ("best", "second", "third", "$worst_1$", "1.25", "2.00", "3.00", "3.75", "mean rank (1 is best)"):
        assert words in texts
    assert " ".join(texts[-1].split()) == made.caption()
    assert "12 data sets, 1 is best, Friedman p = 0.004" in made.caption()
    left = {text.get_text() for text in figure.axes[0].texts if text.get_ha() == "right"}
    assert left == {"best", "1.25", "second", "2.00"}


def test_bars_that_do_not_touch_share_a_row():
    made = ranking([f"m{i}" for i in range(12)], spread=12.0)
    bars = [line for line in draw_ranks(made).axes[0].lines if same_color(line.get_color(), CLIQUE)]
    assert len(bars) == len(made.cliques)
    rows = {}
    for bar in bars:
        rows.setdefault(bar.get_ydata()[0], []).append(tuple(bar.get_xdata()))
    assert len(rows) < len(bars)
    for row in rows.values():
        assert all(a[1] < b[0] for a, b in itertools.pairwise(sorted(row)))


def test_models_of_one_mean_rank_are_drawn():
    made = rank_models(pd.DataFrame({"a": [1.0] * 8, "b": [1.0] * 8}))
    figure = draw_ranks(made)
    assert math.isfinite(figure.get_size_inches()[1])
    points = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert points[0] == points[1]
    made = rank_models(pd.DataFrame({"a": [1.0] * 8, "b": [2.0] * 8, "c": [1.0] * 8}).assign(d=lambda f: f["b"]))
    assert [t.get_text() for t in draw_ranks(made).axes[0].texts[:4]] == ["1", "2", "3", "4"]


def test_the_axis_has_room_for_its_numbers():
    many = rank_models(pd.DataFrame(np.tile(np.arange(60.0), (8, 1)), columns=[f"m{i}" for i in range(60)]))
    found = boxes(draw_ranks(many))
    for one, other in itertools.combinations(found.values(), 2):
        assert not one.overlaps(other)


def test_the_picture_is_written(tmp_path):
    path = tmp_path / "ranks.svg"
    draw_ranks(by_hand()).savefig(path)
    assert "<svg" in path.read_text(encoding="utf-8")
