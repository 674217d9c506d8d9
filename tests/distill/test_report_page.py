"""The page is one file that lets nothing in, escapes every name, and holds what it was given."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from distill.report.page import Page, Section, anchors
from distill.report.parts import Chart, Charts, Code, Facts, Prose
from distill.report.tables import Cell, Confusions, SortableTable

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "link", "wbr", "img", "br"}


class Tree(HTMLParser):
    """Every element with its attributes and its own text; end tags must close what is open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "within": [e["tag"] for e in self.open]} | {"attrs": dict(attrs)}
        assert len(dict(attrs)) == len(attrs), "an attribute twice"
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, cls=None):
        found = [e for e in self.elements if e["tag"] == tag]
        return [e for e in found if cls is None or cls in e["attrs"].get("class", "").split()]


def page(*parts, title="Report", lead="What was found."):
    return Page(title=title, lead=lead, sections=(Section(title="All", parts=parts),)).html()


def every_part(name=EVIL):
    figure = Figure(figsize=(2, 1))
    figure.subplots().set_xlabel(name)
    chart = Chart(figure=figure, title=name, description=name, facts=((name, name),))
    rows = ((name, 1.5, Cell(shown=name, value=name)), ("b", None, "x"))
    return (
        Prose(content=name),
        Prose(content=name, notice=True),
        Charts(charts=(chart,), caption=name),
        SortableTable(columns=(name, "accuracy", "said"), rows=rows, caption=name),
        Confusions(counts={name: np.array([[1, 2], [0, 3]])}, class_names=(name, 'with "quotes" & more')),
        Code(content=name, label=name),
        Facts(items=((name, name),)),
    )


def test_a_name_that_is_a_script_is_text_everywhere():
    made = page(*every_part(), title=EVIL, lead=EVIL)
    tree = Tree(made)
    assert len(tree.all("script")) == 1
    assert "alert(1)" not in tree.all("script")[0]["text"]
    assert EVIL in tree.all("h1")[0]["text"]
    assert tree.all("title")[0]["text"] == EVIL
    assert tree.all("code")[0]["text"] == EVIL
    assert {e["text"] for e in tree.all("dt")} == {EVIL}
    assert "1 " + EVIL in [e["text"] for e in tree.all("th")]
    assert 'with "quotes" & more' in [e["attrs"].get("title") for e in tree.all("th")]
    assert made.count("alert(1)") > 20


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_no_name_makes_an_element_or_an_attribute(name):
    parts = (*every_part("plain")[:2], *every_part("plain")[3:])
    named = (*every_part(name)[:2], *every_part(name)[3:])
    # A name may add places where its line may break, and paragraphs, but nothing else.
    plain, made = (
        [(e["tag"], sorted(e["attrs"])) for e in Tree(page(*p)).elements if e["tag"] != "wbr"] for p in (parts, named)
    )
    assert made == plain


def test_only_its_own_script_runs_and_nothing_is_fetched():
    made = page(*every_part())
    tree = Tree(made)
    (policy,) = (e["attrs"]["content"] for e in tree.all("meta") if "http-equiv" in e["attrs"])
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    script = re.search(r"<script>(.*?)</script>", made, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    names = [e["attrs"].get("name", e["attrs"].get("http-equiv", "charset")) for e in tree.all("meta")]
    assert names.index("Content-Security-Policy") < names.index("viewport")
    for element in tree.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert element["attrs"].get(name, "#").startswith(("#", "data:")), element
        assert not any(name.startswith("on") for name in element["attrs"])
    css = re.search(r"<style>(.*?)</style>", made, re.DOTALL)[1]
    assert "url(" not in css
    assert "@import" not in css


def test_the_script_is_the_file_beside_the_module_whole():
    files = resources.files("distill.report")
    script, css = (files.joinpath(name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    assert "</script" not in script
    assert "</style" not in css
    assert f"<script>{script}</script>" in page()
    assert css in page()


def test_ids_are_unique_and_labels_and_links_lead_somewhere():
    sections = tuple(Section(title="All", parts=every_part()) for _ in range(3))
    tree = Tree(Page(title="Report", lead="", sections=sections).html())
    ids = [e["attrs"]["id"] for e in tree.elements if "id" in e["attrs"]]
    assert len(ids) == len(set(ids))
    links = [e["attrs"]["href"] for e in tree.all("a")]
    assert links == ["#all", "#all-2", "#all-3"]
    wanted = [name for e in tree.elements for name in e["attrs"].get("aria-labelledby", "").split()]
    assert len(wanted) == 3 + 3 * 2  # sections, and titles and descriptions of charts
    assert {link[1:] for link in links} | set(wanted) <= set(ids)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=12), max_size=8))
def test_anchors_are_unique_and_never_those_of_parts(titles):
    made = anchors(titles)
    assert len(set(made)) == len(titles)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", anchor) for anchor in made)  # parts have an underscore


def test_an_anchor_that_looks_like_a_repeated_one():
    assert anchors(["a", "a-2", "a"]) == ["a", "a-2", "a-3"]


def test_the_page_is_the_same_each_time():
    assert page(*every_part()) == page(*every_part())


# Tables


def cells(part):
    return [
        (e["attrs"].get("data-value"), e["text"]) for e in Tree(part.html("p1_1")).elements if e["tag"] in ("th", "td")
    ]


def test_cells_show_one_thing_and_sort_by_another():
    rows = (
        ("a", 1234, 0.5, Cell(shown="93.10 +- 0.18", value=93.1)),
        ("b", None, 0.125, Cell(shown="failed", value=None)),
    )
    found = cells(SortableTable(columns=("model", "parameters", "F1", "accuracy"), rows=rows, caption="All"))
    assert found[4:] == [
        *[("a", "a"), ("1234", "1,234"), ("0.5", "0.500"), ("93.1", "93.10 +- 0.18")],
        *[("b", "b"), (None, "\N{EN DASH}"), ("0.125", "0.125"), (None, "failed")],
    ]


def test_numbers_of_numpy_are_numbers():
    rows = (("a", np.float32(0.5), np.int64(2)), ("b", np.float32("nan"), np.int64(10)))
    found = cells(SortableTable(columns=("model", "F1", "n"), rows=rows, caption="All"))
    assert found[3:] == [("a", "a"), ("0.5", "0.5"), ("2", "2"), ("b", "b"), (None, "\N{EN DASH}"), ("10", "10")]


def test_kinds_of_columns():
    rows = (("a", 1, "1", None, Cell(shown="x", value=2.0)), ("b", float("nan"), 2, None, "words"))
    part = SortableTable(columns=("model", "number", "mixed", "empty", "shown"), rows=rows, caption="All")
    kinds = [e["attrs"]["data-kind"] for e in Tree(part.html("p")).all("th") if "data-kind" in e["attrs"]]
    assert kinds == ["text", "number", "text", "text", "text"]


def test_headers_have_their_scope():
    tree = Tree(page(*every_part()))
    for row, scope in (("thead", "col"), ("tbody", "row")):
        found = [e["attrs"].get("scope") for e in tree.all("th") if row in e["within"]]
        assert set(found) == {scope}


def test_a_row_of_another_length_is_a_mistake():
    with pytest.raises(ValueError, match=r"^a row of 1 cells in a table of 2 columns: \('a',\)$"):
        SortableTable(columns=("model", "accuracy"), rows=(("a",),), caption="All")


def test_confusions_show_percent_of_the_row_and_counts():
    counts = np.array([[1990, 10, 0], [1, 2, 3], [0, 0, 0]])
    found = [text for _, text in cells(Confusions(counts={"student": counts}, class_names=("sit", "walk", "lie_down")))]
    assert found == [
        *["true class", "1 sit", "2 walk", "3 lie_down", "n"],
        *["1 sit", ">991,990", "<110", "0", "2,000"],  # 99.5 % and 0.5 %
        *["2 walk", "171", "332", "503", "6"],
        *["3 lie_down", "0", "0", "0", "0"],
    ]


def test_a_confusion_matrix_of_other_classes_is_a_mistake():
    with pytest.raises(ValueError, match=r"^the confusion matrix of student has shape \(2, 2\) beside 3 classes$"):
        Confusions(counts={"student": np.eye(2, dtype=int)}, class_names=("a", "b", "c"))
