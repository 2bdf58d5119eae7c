"""The report's page as a person opens it: from a folder, in a real browser, in both color schemes, on a phone."""
from __future__ import annotations

import pytest
from browser import console_errors, open_browser, requested, scheme, serious, size

from pretamane_analysis.cli import main

OVERFLOW = "return document.scrollingElement.scrollWidth - window.innerWidth"
PICTURES = "return [...document.images].map(each => each.complete && each.naturalWidth > 0)"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """The report of the example, opened as a file"""
    folder = tmp_path_factory.mktemp("report") / "report"
    assert main(["report", "--out", str(folder)]) == 0
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def driver():
    """One browser for all of it"""
    with open_browser() as found:
        yield found


def test_it_stands_alone(page, driver):
    """No error in the console, nothing asked of anybody, every picture there"""
    size(driver, 1280)
    driver.get(page)
    assert (console_errors(driver), requested(driver)) == ([], set())
    pictures = driver.execute_script(PICTURES)
    assert all(pictures)
    assert len(pictures) + driver.execute_script("return document.querySelectorAll('svg').length") >= 3


def test_a_phone_does_not_scroll_sideways(page, driver):
    """390 CSS pixels are enough; what is wider scrolls by itself"""
    size(driver, 390, 844)
    driver.get(page)
    assert driver.execute_script(OVERFLOW) <= 0


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_it_can_be_read_by_everybody(colors, page, driver):
    """Axe, with its measure of contrast, in both color schemes"""
    size(driver, 1280)
    scheme(driver, colors)
    driver.get(page)
    assert driver.execute_script(f"return matchMedia('(prefers-color-scheme: {colors})').matches")
    assert serious(driver) == []
