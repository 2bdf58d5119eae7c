"""The built site as a person sees it: every page in a real browser, in both color schemes, on a phone, with the
search."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from browser import (
    COLORS,
    console_errors,
    open_browser,
    requested,
    scheme,
    serious,
    served,
    size,
)
from selenium.webdriver.support.ui import WebDriverWait

KINDS = ("", "guide/first-report/", "tutorials/", "tutorials/audit_of_the_claim/", "command-line/", "coverage/",
         "tree/", "rules/X05/", "reference/bill.bill/")
REACHED = ("return [...document.querySelectorAll('pre > code, .md-typeset__scrollwrap')].every(each => "
           "each.tabIndex === 0)")
RESULTS = ("return [...document.querySelectorAll('*')].filter(each => each.shadowRoot).flatMap(each => "
           "[...each.shadowRoot.querySelectorAll('a')].map(link => link.href))")
OVERFLOW = "return document.scrollingElement.scrollWidth - window.innerWidth"
BROKEN = ("return [...document.images].filter(each => each.loading !== 'lazy' && !(each.complete && "
          "each.naturalWidth)).map(each => each.src)")


@pytest.fixture(scope="module")
def site(root, tmp_path_factory) -> Path:
    """The site, built as `make docs` builds it, unless another run of the same commit has handed on the one that it
    built"""
    if (kept := Path(f"{os.environ.get('PASSED_FROM', '')}.site")).is_dir():
        return kept
    folder = tmp_path_factory.mktemp("site") / "docs"
    done = subprocess.run([sys.executable, "tools/build_site.py", "--out", str(folder)], cwd=root, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if os.environ.get("PASSED_TO"):
        shutil.copytree(folder, f"{os.environ['PASSED_TO']}.site", dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def address(site):
    """Where it is served"""
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def driver():
    """One browser for all of it"""
    with open_browser() as found:
        yield found


TAG = re.compile(r"""<([a-z][\w-]*)((?:\s+[^\s=<>/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'>]+))?|\s+/|/)*)\s*>""")
NAMED = re.compile(r"""\s(id|name|href|src)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


class Page:
    """The links and the anchors of a page, found in its tags; Python's parser takes 10 s for all pages"""

    def __init__(self, text: str) -> None:
        self.links, self.anchors = [], set()
        for tag, attributes in TAG.findall(text):
            for name, *values in NAMED.findall(attributes):
                if value := unescape("".join(values)):
                    self.note(tag, name, value)

    def note(self, tag: str, name: str, value: str) -> None:
        """Note what a tag names and what it points at"""
        if name in ("id", "name"):
            self.anchors.add(value)
        elif name == "src" or tag in ("a", "link"):
            self.links.append(value)


def test_links_are_found_however_they_are_written():
    """Quoted in both ways and not at all, escaped, over lines, with values that look like tags; not those of text"""
    page = Page("<a href=a/ id='x'>a</a> <a\n title=\"1 > 0\" href=\"b?c=1&amp;d=2\" />"
                "<img alt='<' src=c.png><p href=d>&lt;a href=e&gt;</p><h2 id=y&lt;z></h2>")
    assert (page.links, page.anchors) == (["a/", "b?c=1&d=2", "c.png"], {"x", "y<z"})


def test_every_link_leads_somewhere(site):
    """Each link within the site has its file, and each fragment its anchor"""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}
    dead = []

    @cache
    def leads(target: str, anchor: str) -> bool:
        file = site / unquote(urlparse(target).path).lstrip("/")
        file = file / "index.html" if file.is_dir() else file
        return urlparse(target).netloc != "site" or file.is_file() and (
            not anchor or file not in pages or unquote(anchor) in pages[file].anchors)

    for path, page in pages.items():
        here = f"http://site/{path.relative_to(site).as_posix()}"
        dead += [f"{path.relative_to(site)}: {link}" for link in dict.fromkeys(page.links)
                 if not leads(*urldefrag(urljoin(here, link)))]
    assert len(pages) > 100 and dead == []


def faults(driver, address: str, names: list[str]) -> list[str]:
    """Open each page on a phone; return what is wrong with it: the console, a picture that is missing, what was
    asked of others, its width"""
    size(driver, 390, 844)
    found, asked = [], set()
    for name in names:
        driver.get(f"{address}/{name}/")
        found += [f"{name}: {each}" for each in [*console_errors(driver), *driver.execute_script(BROKEN)]]
        found += [f"{name}: {over} px wider than a phone"] if (over := driver.execute_script(OVERFLOW)) > 0 else []
        asked |= requested(driver)
    return found + sorted(each for each in asked if not each.startswith(address))


def asked_of_others(site: Path) -> list[str]:
    """What a page or a style sheet would fetch from another host, by file"""
    found = []
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:img|script|iframe|source|video|audio)\b[^>]*?\bsrc=[\"']?([^\"' >]+)", text)
        fetched += [each for link in re.findall(r"<link\b[^>]*rel=[\"']?(?:stylesheet|icon|preload)[^>]*>", text)
                    for each in re.findall(r"href=[\"']?([^\"' >]+)", link)]
        found += [f"{path.relative_to(site)}: {each}" for each in fetched if urlparse(each).netloc]
    for path in site.rglob("*.css"):
        found += [f"{path.relative_to(site)}: {each}" for each in
                  re.findall(r"url\([\"']?((?:https?:)?//[^)\"']+)", path.read_text(encoding="utf-8"))]
    return found


def test_no_page_asks_anybody_else(site):
    """Pictures, scripts, styles and fonts are the site's own; and what would tell is able to"""
    assert asked_of_others(site) == []
    page = next(site.rglob("X05/index.html"))
    strange = page.parent / "strange.html"
    strange.write_text('<img alt="" src="https://example.org/a.png">', encoding="utf-8")
    assert asked_of_others(site) == ["rules/X05/strange.html: https://example.org/a.png"]
    strange.unlink()


def widest(path: Path) -> int:
    """Letters of the longest piece of a page's text that no browser breaks: what makes a page wider than a phone"""
    text = re.sub(r"<(script|style|pre)\b.*?</\1>|<[^>]+>", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return max(map(len, text.split()), default=0)


def test_pages_stand_alone(site, address, driver):
    """No error in the console, every picture is there, no page scrolls sideways on a phone: each page that a person
    wrote; of those that one template makes the first, the last, the longest and the three with the longest words"""
    made = {folder: sorted(site.glob(f"{folder}/*/**/index.html")) for folder in ("reference", "rules")}
    chosen = {*site.rglob("index.html")} - {each for pages in made.values() for each in pages}
    for pages in made.values():
        assert len(pages) > 20
        chosen |= {pages[0], pages[-1], max(pages, key=lambda page: page.stat().st_size)}
        chosen |= {*sorted(pages, key=widest)[-3:]}
    assert faults(driver, address, sorted(path.parent.relative_to(site).as_posix() for path in chosen)) == []


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_pages_can_be_read_by_everybody(kind, colors, address, driver):
    """Axe, with its measure of contrast, in both color schemes; in the second only what colors can change"""
    size(driver, 1280)
    scheme(driver, colors)
    driver.get(f"{address}/extra.css")  # of the same origin, and without the theme that keeps its choice
    driver.execute_script("localStorage.clear()")
    driver.get(f"{address}/{kind}")
    assert driver.execute_script("return document.body.dataset.mdColorScheme") == {"light": "default",
                                                                                   "dark": "slate"}[colors]
    WebDriverWait(driver, 10).until(lambda found: found.execute_script(REACHED))
    assert serious(driver, COLORS if colors == "dark" else ()) == []


def test_every_folder_has_a_page(site):
    """Whoever cuts an address short finds a page: each folder with pages below it has one, and it names those that
    stand in it"""
    folders = {folder for path in site.rglob("index.html") for folder in path.relative_to(site).parents}
    assert [str(each) for each in folders if not (site / each / "index.html").is_file()] == []
    for name in ("guide", "tutorials", "reference"):
        links = Page((site / name / "index.html").read_text(encoding="utf-8")).links
        pages = [each.parent.name for each in (site / name).glob("*/index.html")]
        assert len(pages) > 2 and [each for each in pages if f"{each}/" not in links] == []


def test_the_theme_follows_the_system_until_it_is_chosen(address, driver):
    """Another visit in another scheme is shown in that one, until somebody chooses; pictures follow the choice"""
    shown = ("return [document.body.dataset.mdColorScheme, "
             "getComputedStyle(document.querySelector('img[src$=\".svg\"]')).colorScheme]")
    size(driver, 1280)
    driver.get(f"{address}/extra.css")
    driver.execute_script("localStorage.clear()")
    for colors, expected in (("light", ["default", "light"]), ("dark", ["slate", "dark"]),
                             ("light", ["default", "light"])):
        scheme(driver, colors)
        driver.get(f"{address}/")
        WebDriverWait(driver, 10).until(lambda found, expected=expected: found.execute_script(shown) == expected)
    for wanted in ("default", "slate"):
        next(each for each in driver.find_elements("css selector",
                                                   "[data-md-component=palette] label") if each.is_displayed()).click()
        WebDriverWait(driver, 10).until(lambda found, wanted=wanted: found.execute_script(shown)[0] == wanted)
    driver.get(f"{address}/")
    WebDriverWait(driver, 10).until(lambda found: found.execute_script(shown) == ["slate", "dark"])
    driver.execute_script("localStorage.clear()")


def test_the_answer_is_not_cut(address, driver):
    """The key sentence of the first page is text that wraps, on a phone too, and no block of code"""
    size(driver, 390, 844)
    driver.get(f"{address}/")
    box = driver.execute_script("const found = [...document.querySelectorAll('p')].find(each => "
                                "each.textContent.includes('USD a month on EKS'));"
                                "return [found.scrollWidth - found.clientWidth, getComputedStyle(found).whiteSpace, "
                                "found.closest('pre, code') === null]")
    assert box == [0, "normal", True]


def test_search_finds_a_rule_by_its_id(address, driver):
    """Typing X05 offers the page of that rule"""
    size(driver, 1280)
    driver.get(f"{address}/")
    WebDriverWait(driver, 10).until(lambda found: found.execute_script(REACHED))
    driver.find_element("css selector", ".md-search__button").click()
    WebDriverWait(driver,
                  10).until(lambda found: found.execute_script("return document.activeElement !== document.body"))
    driver.switch_to.active_element.send_keys("X05")
    first = WebDriverWait(driver, 20).until(lambda found: found.execute_script(RESULTS))[0]
    assert urlparse(first).path == "/rules/X05/"
