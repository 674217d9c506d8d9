"""The page in a real browser: Chromium without a window, moved by its driver, without network."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import distill
from distill.report.curves import learning_curves
from distill.report.examples import draw_example
from distill.report.page import Page, Section
from distill.report.parts import Chart, Charts, Code, Facts, Prose
from distill.report.report import report
from distill.report.similarity import similarity_maps
from distill.report.study import study_of
from distill.report.tables import Cell, Confusions, SortableTable
from tests.distill.made_runs import made_windows
from tests.distill.tiny_runs import QUICK
from tsimage.imager import Imager

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1100,900"
)
LONG = tuple(f"STAND_TO_LIE_ON_THE_{i}" for i in range(14))
ROWS = (
    ("ten", 10, Cell(shown="ten 9.5", value=9.5), "seed 10"),
    ("two", 2, Cell(shown="two 10.0", value=10.0), "seed 2"),
    ("none", None, Cell(shown="failed", value=None), None),
    ("also two", 2, Cell(shown="also 8.0", value=8.0), "seed 1"),
    ("minus", -1.5, Cell(shown="minus 100", value=100.0), "seed 2"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def url(tmp_path_factory, make_windows):
    history = pd.DataFrame({"model": "a", "training": [0, 0, 1, 1], "epoch": [1, 2] * 2, "loss": [3.0, 1.0, 4.0, 2.0]})
    charts = [
        learning_curves(history, "loss", label="loss"),
        similarity_maps({"teacher": np.eye(4), "student": np.eye(4), "scratch": np.eye(4)}, np.arange(4), LONG),
        draw_example(make_windows(), 0, Imager(stack="gasf+mtf", size=8)),
    ]
    page = Page(
        title="<script>document.title = 'taken'</script>",
        lead="A student with a very long name " + "x" * 200,
        sections=(
            Section(title="Results", parts=(SortableTable(columns=("model", "n", "accuracy", "by seed"), rows=ROWS, caption="All " * 30),)),
            Section(title="Charts", parts=(Charts(charts=tuple(Chart(figure=f, title="<b>chart", description="x") for f in charts)),)),
            Section(title="Confusion", parts=(Confusions(counts={m: np.full((14, 14), 1234) for m in "abc"}, class_names=LONG),)),
            Section(title="Reproduce", parts=(Code(content="distill " + "--option " * 40, label="Command"), Prose(content="y" * 300), Facts(items=(("hash", "0" * 64),)))),
        ),
    )  # fmt: skip
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(page.html(), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The report of a run that was done: its study, and the address of its page."""
    folder, windows = tmp_path_factory.mktemp("runs") / "run", made_windows()
    distill.run(distill.Run(**QUICK | {"seeds": (0, 1)}), windows=windows, folder=folder)
    study = study_of([folder], windows=windows)
    path = folder / "report.html"
    path.write_text(report(study).html(), encoding="utf-8")
    return study, path.as_uri()


@pytest.fixture
def shown(browser, url):
    """The page, freshly opened in a light window of 1,100 pixels."""
    as_seen_by(browser, width=1100, scheme="light")
    browser.get(url)
    return browser


def as_seen_by(browser, *, width, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def column(browser, place):
    return [
        row.find_elements(By.CSS_SELECTOR, "th, td")[place].text
        for row in browser.find_elements(By.CSS_SELECTOR, ".sortable tbody tr")
    ]


def titles(browser):
    return browser.find_elements(By.CSS_SELECTOR, ".sortable thead th")


def background(browser):
    return browser.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_nothing_is_wrong_on_the_console_and_nothing_is_fetched(shown, url):
    shown.get_log("browser"), shown.get_log("performance")  # of earlier pages
    shown.get(url)
    assert [entry for entry in shown.get_log("browser") if entry["level"] == "SEVERE"] == []
    sent = [json.loads(entry["message"])["message"] for entry in shown.get_log("performance")]
    wanted = {m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"}
    assert url in wanted
    assert {address for address in wanted - {url} if not address.startswith("data:")} == set()
    assert shown.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert shown.title == "<script>document.title = 'taken'</script>"


def test_the_policy_stops_what_is_not_the_pages_own(shown):
    shown.get_log("browser")
    shown.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s);"
        "const i = document.createElement('img'); i.src = 'https://example.org/a.png'; document.body.append(i);"
    )
    assert shown.title != "1"
    refused = [entry["message"] for entry in shown.get_log("browser") if "Content Security Policy" in entry["message"]]
    assert len(refused) == 2


def test_numbers_sort_as_numbers_both_ways_with_what_is_missing_last(shown):
    button = titles(shown)[1].find_element(By.TAG_NAME, "button")
    assert titles(shown)[1].get_attribute("aria-sort") is None
    button.click()
    assert column(shown, 0) == ["minus", "two", "also two", "ten", "none"]
    assert titles(shown)[1].get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(shown, 0) == ["ten", "two", "also two", "minus", "none"]
    assert titles(shown)[1].get_attribute("aria-sort") == "descending"
    titles(shown)[2].find_element(By.TAG_NAME, "button").click()
    assert column(shown, 2) == ["also 8.0", "ten 9.5", "two 10.0", "minus 100", "failed"]
    assert [title.get_attribute("aria-sort") for title in titles(shown)] == [None, None, "ascending", None]


def test_text_sorts_with_its_numbers_in_order_by_keyboard(shown):
    button = titles(shown)[3].find_element(By.TAG_NAME, "button")
    shown.execute_script("arguments[0].focus()", button)
    shown.switch_to.active_element.send_keys(Keys.ENTER)
    assert column(shown, 3) == ["seed 1", "seed 2", "seed 2", "seed 10", "\N{EN DASH}"]
    assert column(shown, 0)[1:3] == ["two", "minus"]
    shown.switch_to.active_element.send_keys(Keys.SPACE)
    assert column(shown, 0) == ["ten", "two", "minus", "also two", "none"]
    assert titles(shown)[3].get_attribute("aria-sort") == "descending"


def test_every_picture_is_there(shown):
    charts = shown.find_elements(By.CSS_SELECTOR, "svg.chart")
    assert len(charts) == 3
    assert all(min(chart.size.values()) > 100 for chart in charts)
    images = shown.find_elements(By.CSS_SELECTOR, "svg.chart image")
    assert len(images) == 3 + 1 + 2  # maps, their colour bar, images of a window
    for image in images:
        size = shown.execute_script("const r = arguments[0].getBoundingClientRect(); return [r.width, r.height]", image)
        assert min(size) > 5
        whole = shown.execute_async_script(
            "const [node, done] = arguments; const i = new Image(); i.onload = () => done(i.naturalWidth);"
            "i.onerror = () => done(0); i.src = node.href.baseVal;",
            image,
        )
        assert whole > 5


@pytest.mark.parametrize("width", [360, 768, 1500])
def test_the_page_never_scrolls_sideways_and_wide_tables_do_in_their_box(browser, url, width):
    as_seen_by(browser, width=width, scheme="light")
    browser.get(url)
    seen = browser.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert seen[0] == seen[1]
    assert width - 20 < seen[1] <= width  # beside the bar for scrolling down
    if width == 360:
        box = browser.find_element(By.CSS_SELECTOR, ".confusion").find_element(By.XPATH, "..")
        assert box.get_attribute("scrollWidth") > box.get_attribute("clientWidth")
        assert box.get_attribute("tabindex") == "0"


def test_the_theme_follows_the_system_until_the_button_is_pressed(shown, url):
    light, button = background(shown), shown.find_element(By.CSS_SELECTOR, "button.theme")
    line = "return getComputedStyle(document.querySelector('svg.chart text')).fill"
    dark_text_on_light = shown.execute_script(line)
    assert light == "rgb(255, 255, 255)"
    assert button.text == "Dark colours"
    button.click()
    dark = background(shown)
    assert dark != light
    assert shown.execute_script(line) != dark_text_on_light
    assert button.text == "Light colours"
    button.click()
    assert background(shown) == light
    as_seen_by(shown, width=1100, scheme="dark")
    assert background(shown) == light  # chosen by hand
    shown.get(url)
    assert background(shown) == dark
    assert shown.find_element(By.CSS_SELECTOR, "button.theme").text == "Light colours"


def test_paper_is_light_and_has_no_buttons(shown):
    shown.find_element(By.CSS_SELECTOR, "button.theme").click()
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    assert background(shown) == "rgb(255, 255, 255)"
    assert not shown.find_element(By.CSS_SELECTOR, "button.theme").is_displayed()
    assert not shown.find_element(By.CSS_SELECTOR, ".code button").is_displayed()
    assert titles(shown)[1].text == "n"
    overflow = "return getComputedStyle(document.querySelector('.scroll')).overflowX"
    assert shown.execute_script(overflow) == "visible"


def test_code_is_copied_or_selected(shown):
    button = shown.find_element(By.CSS_SELECTOR, ".code button")
    button.click()
    wait = "const [b, done] = arguments; const w = () => b.textContent === 'Copy' ? setTimeout(w, 10) : done(b.textContent); w()"
    assert shown.execute_async_script(wait, button) in ("Copied", "Selected")


def test_without_script_there_are_no_buttons_and_all_is_there(browser, url):
    as_seen_by(browser, width=1100, scheme="light")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(url)
        assert browser.find_elements(By.TAG_NAME, "button") == []
        assert titles(browser)[2].text == "accuracy"
        assert len(column(browser, 0)) == len(ROWS)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (360, "dark")])
def test_the_report_of_a_run_is_whole(browser, whole, width, scheme):
    study, address = whole
    browser.get_log("browser")
    as_seen_by(browser, width=width, scheme=scheme)
    browser.get(address)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    seen = browser.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert seen[0] == seen[1]
    charts = browser.find_elements(By.CSS_SELECTOR, "svg.chart")
    disagreeing = len([h for h in browser.find_elements(By.TAG_NAME, "h3") if "right" in h.text or "wrong" in h.text])
    # the diagram of ranks, two curves, people, reliability of four, three costs, a window of three classes, the similarity maps
    assert len(charts) == 1 + 2 + 1 + 4 + 3 + 3 + disagreeing + 1
    assert all(min(chart.size.values()) > 50 for chart in charts)
    assert len(browser.find_elements(By.CSS_SELECTOR, "table.confusion")) == len(study.rows) == 4
    browser.find_element(By.CSS_SELECTOR, ".sortable thead th:nth-child(2) button").click()
    means = study.comparison.frame.sort_values("mean", kind="stable")["name"].tolist()
    shown_first = browser.find_elements(By.CSS_SELECTOR, ".sortable")[0].find_elements(By.CSS_SELECTOR, "tbody th")
    assert [cell.text for cell in shown_first] == means
