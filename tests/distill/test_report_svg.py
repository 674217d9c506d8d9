"""Figures as SVG: the page's colours, no clash between figures, and colours that everybody can tell apart."""

import re
from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from distill.report.svg import inline
from distill.report.theme import DARK, LIGHT, SERIES, STYLE, VARIABLES, blank, legend_columns, looks, variables

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def drawn(**options):
    """A figure with what needs ids: clipped lines, markers, an image and a colour bar."""
    figure = Figure(figsize=(4, 3))
    left, right = figure.subplots(1, 2)
    left.plot([0, 1, 2], [0, 5, 1], color=SERIES[0], marker="o", label="student")
    left.fill_between([0, 1, 2], [0, 4, 0], [1, 6, 2], color=SERIES[1], alpha=0.2)
    left.axhline(2, color="black")
    figure.colorbar(right.imshow(np.arange(12.0).reshape(3, 4)))
    return inline(figure, **({"place": "p1_1", "title": "Loss"} | options))


def ids(text):
    return re.findall(r' id="([^"]+)"', text)


def test_the_same_figure_gives_the_same_bytes():
    assert drawn() == drawn()


def test_it_is_well_formed_and_named_for_screen_readers():
    root = ElementTree.fromstring(drawn(title="Loss & <more>", description='It "falls"'))
    assert root.get("role") == "img"
    named = [root.find(f".//*[@id='{name}']").text for name in root.get("aria-labelledby").split()]
    assert named == ["Loss & <more>", 'It "falls"']
    assert root.find(f"{SVG}title") is root[0]
    assert 'aria-labelledby="p1_1-title"' in drawn()


def test_it_scales_with_its_column():
    root = ElementTree.fromstring(drawn())
    assert root.get("viewBox") == "0 0 288 216"
    assert root.get("width") is None
    assert root.get("style") == "width: 384px; max-width: max(100%, 250px)"


def test_ids_of_two_figures_do_not_clash_and_every_reference_is_to_its_own_figure():
    texts = [drawn(place="a"), drawn(place="b")]
    assert not set(ids(texts[0])) & set(ids(texts[1]))
    for text in texts:
        root = ElementTree.fromstring(text)
        used = set(re.findall(r"url\(#([^)]+)\)", text))
        used |= {node.get(LINK)[1:] for node in root.iter() if (node.get(LINK) or "").startswith("#")}
        assert len(used) >= 3  # two clip paths and a marker
        own = ids(text)
        assert used == set(own) - {own[0]}  # the rest is the title
        assert len(own) == len(set(own))


def test_nothing_is_fetched_and_no_rule_leaves_the_figure():
    text = drawn()
    assert "<style" not in text
    assert "<metadata" not in text
    links = [node.get(LINK) for node in ElementTree.fromstring(text).iter() if node.get(LINK)]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert sum(link.startswith("data:") for link in links) == 2  # the image, and the colour bar as one
    assert set(re.findall(r"https?://[^\"]+", text)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_colours_follow_the_theme():
    text = drawn()
    assert "stroke: var(--series-1)" in text
    assert "fill: var(--series-2)" in text
    assert "stroke: var(--ink)" in text  # drawn in black
    assert not re.search(r"(stroke|fill): #(000000|ffffff)", text)
    assert not any(f": {colour}" in text for colour in VARIABLES)


def test_text_stays_text_in_the_pages_font():
    root = ElementTree.fromstring(drawn())
    texts = list(root.iter(f"{SVG}text"))
    assert "5" in {node.text.strip() for node in texts}
    assert all("var(--sans)" in node.get("style") for node in texts)
    assert "DejaVu" not in drawn()


def test_names_of_classes_are_neither_markup_nor_formulas_nor_missing_letters():
    names = ["<script>alert(1)</script>", "a$b$c", "\\frac{", "走る"]
    with matplotlib.rc_context(dict(STYLE)):
        figure = blank(4, 3)
        figure.subplots().set_yticks(range(4), names)
    text = inline(figure, place="p", title="classes")
    assert "<script" not in text
    shown = [node.text.strip() for node in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert [name for name in names if name in shown] == names


def test_settings_of_the_user_change_nothing():
    before = drawn()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "other", "savefig.facecolor": "red"}):
        assert drawn() == before


# Colours. Contrast as in WCAG 2.2; loss of colour vision by Machado et al. 2009 (complete); OKLab for distances.

BLIND = {
    "none": np.eye(3),
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour):
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb):
    cones = [[0.4122215, 0.5363325, 0.0514460], [0.2119035, 0.6806995, 0.1073970], [0.0883025, 0.2817188, 0.6299787]]
    lab = [[0.2104543, 0.7936178, -0.0040720], [1.9779985, -2.4285922, 0.4505937], [0.0259040, 0.7827718, -0.8086758]]
    return np.array(lab) @ np.cbrt(np.array(cones) @ rgb)


def test_contrast_of_black_on_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_can_be_read(theme):
    for name in ("ink", "muted", "link"):
        assert contrast(theme[name], theme["paper"]) >= 4.5
        assert contrast(theme[name], theme["raised"]) >= 4.5
    for name in theme:
        if name.startswith("series"):
            assert contrast(theme[name], theme["paper"]) >= 3


@pytest.mark.parametrize("kind", BLIND)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_series_are_told_apart_with_any_colour_vision(theme, kind):
    seen = {
        name: oklab(np.clip(np.array(BLIND[kind]) @ linear(colour), 0, 1))
        for name, colour in theme.items()
        if name.startswith("series")
    }
    assert len(seen) == 6
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 0.1, (one, other)


def test_both_themes_name_the_same_colours_and_each_drawn_colour_means_one():
    assert list(LIGHT) == list(DARK)
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert variables().count("--series-6") == 4  # light, dark, and either by hand


def test_looks_repeat_only_after_24_and_depend_on_order_alone():
    found = looks([f"m{i}" for i in range(24)])
    assert len({(look.colour, str(look.dashes)) for look in found.values()}) == 24
    assert found["m0"].colour != found["m1"].colour
    assert looks(["a", "b", "a"]) == looks(["a", "b"])


def test_a_legend_has_at_least_one_column():
    assert legend_columns(["x" * 200, "y"], 1.0) == 1
    assert legend_columns(["x", "y"], 100.0) == 2
