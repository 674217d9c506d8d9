"""A picture of a report, as Chromium shows it.

    python experiments/report_picture.py runs/reduced-hapt docs/report.png

Writes the report of the runs with the given detail, opens it without a window at a width of 800 pixels, and keeps the
confusion matrices and what stands below. Needs chromium with its driver, and selenium.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import tempfile
from pathlib import Path

from selenium import webdriver

import distill

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
WIDTH, HEIGHT = 800, 660


def main() -> None:
    """Write the page, open it, and keep a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--detail", default="wrn16-1, lambda 0.3, temperature 2.0, alpha 0.1")
    parser.add_argument(
        "--from", dest="anchor", default="confusion-matrices", help="anchor of the section to begin with"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = distill.write_report([given.folder], Path(folder) / "report.html", detail=given.detail)
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*FLAGS, f"--user-data-dir={folder}/profile"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            screen = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
            browser.get(page.absolute().as_uri())
            place = "return document.getElementById(arguments[0]).getBoundingClientRect().top + scrollY"
            top = browser.execute_script(place, given.anchor) - 24
            clip = {"x": 0, "y": top, "width": WIDTH, "height": HEIGHT, "scale": 1}
            shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        finally:
            browser.quit()
    given.picture.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main()
