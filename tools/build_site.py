"""The published site, built offline in seconds: guides, tutorials, reference, rules, the emitted tree, the command
line.

    python tools/build_site.py --out _docs

nbdev processes the notebooks; reference.py and site_pages.py turn them and the package's own facts into Markdown;
Zensical builds the
pages, and a link that leads nowhere fails the build. Needs no network and no Quarto.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from publish import markdown
from reference import reference_page
from site_pages import pages

ROOMS = {"base": "Base", "stack": "Stack", "facts": "Facts", "prices": "Prices", "resources": "Resources",
         "providers": "Providers", "bill": "Bills",
         "intake": "Intake", "draw": "Drawings and charts", "emit": "Emitted artifacts", "check": "Check",
         "report": "Report", "cli": "Command line"}


def room(
    module: str,  # name such as `bill.compare`
) -> str:
    "The part of the reference that a module belongs to."
    return ROOMS[module.partition(".")[0]]


def _notebooks(root: Path) -> list[tuple[str, Path]]:
    "Module and notebook of every page of the reference, room by room."
    found = [(".".join([*path.relative_to(root / "nbs").parts[:-1], path.stem.partition("_")[2]]), path)
             for path in sorted((root / "nbs").rglob("[0-9]*.ipynb")) if "tutorials" not in path.parts]
    order = [*ROOMS, *(module.partition(".")[0] for module, _ in found)]
    return sorted(found, key=lambda each: order.index(each[0].partition(".")[0]))


def _reference(root: Path, source: Path, site: str, git: str) -> dict[str, list[Any]]:
    "Write the pages of the reference; return their navigation by room."
    found: dict[str, list[Any]] = {}
    for name, original in _notebooks(root):
        module = root / "pretamane_analysis" / f"{name.replace('.', '/')}.py"
        link = f"{git}/{module.relative_to(root).as_posix()}"
        folder = source / "reference"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(reference_page(original, module, folder, site, link), encoding="utf-8")
        found.setdefault(room(name), []).append({name: f"reference/{name}.md"})
    _with_index(source, "Reference",
                "Every module of the package, lowest first: a module imports only from those above it.",
                [path for pages_of in found.values() for each in pages_of for path in each.values()])
    return found


def _tutorials(root: Path, source: Path) -> list[Any]:
    "Write the tutorials, which are notebooks without a module."
    from reference import tutorial_page

    (source / "tutorials").mkdir(parents=True, exist_ok=True)
    found = []
    for each in sorted((root / "nbs" / "tutorials").glob("*.ipynb")):
        name = each.stem.partition("_")[2]
        (source / "tutorials" / f"{name}.md").write_text(tutorial_page(each, source / "tutorials", name),
                                                         encoding="utf-8")
        found.append(f"tutorials/{name}.md")
    return _with_index(source, "Tutorials",
                       "The package's story, told with its own code: each page is a notebook.", found)


GUIDES = ("why", "first-report", "your-stack", "import-compose", "import-kubernetes", "import-terraform", "saas",
          "static-site", "gpu", "live-prices", "emit-and-check", "when-one-host-is-not-enough")


def site_links(
    text: str,  # Markdown of a page at the top of the repository
    git: str,  # address of the repository's files
) -> str:
    "The text with links to files of the repository as links to their pages, or to the repository."
    text = text.replace("nbs/pictures/", "pictures/").replace("(CHANGELOG.md)", "(changelog.md)")
    return re.sub(r"\]\((?!https?:|#|pictures/|changelog\.md)([^)\s]+)\)", rf"]({git}/\1)", text)


def _home(root: Path, source: Path, git: str) -> None:
    "The index notebook and its pictures."
    (source / "index.md").write_text(site_links(markdown(root / "nbs" / "index.ipynb"), git), encoding="utf-8")
    shutil.copytree(root / "nbs" / "pictures", source / "pictures")


def _guide(root: Path, source: Path) -> list[Any]:
    "Copy the hand-written pages; return their navigation."
    shutil.copytree(root / "docs" / "guide", source / "guide")
    return _with_index(source, "Guide", "What to do, step by step.", [f"guide/{each}.md" for each in GUIDES])


def _with_index(
    source: Path,  # folder of the pages
    title: str,
    intro: str,
    paths: list[str],  # of the pages of one folder, below `source`
) -> list[Any]:
    "Write the page that lists the pages of a folder; return their navigation, it first."
    folder, lines = paths[0].partition("/")[0], []
    for path in paths:
        text = (source / path).read_text(encoding="utf-8")
        heading, about = (re.search(pattern, text, flags=re.MULTILINE) for pattern in (r"^# (.+)$", r"^> (.+)$"))
        lines.append(
            f"- [{heading[1] if heading else Path(path).stem}]({Path(path).name}){f': {about[1]}' if about else ''}")
    (source / folder / "index.md").write_text(f"# {title}\n\n{intro}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return [f"{folder}/index.md", *paths]


def _written(source: Path, made: dict[str, str]) -> list[Any]:
    for path, text in made.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text, encoding="utf-8")
    return list(made)


# The first follows the system; without it the theme keeps the scheme of the first visit as if it had been chosen
_PALETTE = [
    {"media": "(prefers-color-scheme)", "toggle": {"icon": "lucide/sun-moon", "name": "Always light"}},
    {"media": "(prefers-color-scheme: light)", "scheme": "default",
     "toggle": {"icon": "lucide/sun", "name": "Always dark"}},
    {"media": "(prefers-color-scheme: dark)", "scheme": "slate",
     "toggle": {"icon": "lucide/moon", "name": "As the system"}},
]
_EXTENSIONS = ["admonition", "attr_list", "def_list", "footnotes", "md_in_html", "tables", {"toc": {"permalink": True}},
               "pymdownx.superfences", {"pymdownx.highlight": {"pygments_lang_class": True}}, "pymdownx.inlinehilite"]


def configuration(
    title: str,  # name of the site
    address: str,  # where it is published
    navigation: list[Any],  # as MkDocs and Zensical read it
) -> str:
    "The build's configuration: nothing in it is fetched from elsewhere."
    return yaml.safe_dump({
        "site_name": title, "site_url": f"{address}/", "docs_dir": "pages", "site_dir": "built", "nav": navigation,
        "theme": {"name": "material", "font": False, "palette": _PALETTE, "language": "en",
                  "features": ["content.code.copy", "navigation.footer", "navigation.indexes", "navigation.top",
                               "search.highlight"]},
        "extra_css": ["extra.css"], "extra_javascript": ["extra.js"], "markdown_extensions": _EXTENSIONS},
                          sort_keys=False)


CSS = """.source { float: right; font-size: smaller }
img { background: #fff; border-radius: 4px }
img[src$=".svg"] { background: none }
[data-md-color-scheme="default"] img { color-scheme: light }
[data-md-color-scheme="slate"] img { color-scheme: dark }
.md-typeset table:not([class]) { font-size: .7rem }
.md-typeset__table { overflow-x: auto }
[data-md-color-scheme="default"] .md-nav__link--active .md-ellipsis { color: #3949c8 }
[data-md-color-scheme="slate"] .md-nav__link--active .md-ellipsis { color: #aab6ff }
"""
# What scrolls can be reached with the keyboard; the theme resets it while it starts.
SCRIPT = """const reach = () => document.querySelectorAll("pre > code, .md-typeset__scrollwrap").forEach(each => { each.tabIndex = 0 })
addEventListener("load", () => setTimeout(reach, 300))
"""  # noqa: E501


def _navigation(guide: list[Any], tutorials: list[Any], reference: dict[str, Any], made: list[str]) -> list[Any]:
    "What stands where in the menu."
    of = {group: [each for each in made if each.startswith(f"{group}/")] for group in ("rules", "tree")}
    return [{"Home": "index.md"}, {"Guide": guide}, {"Tutorials": tutorials}, {"Command line": "command-line.md"},
            {"Prices by region": "coverage.md"},
            {"Emitted tree": of["tree"]}, {"Rules": of["rules"]}, {"The host, run": "e2e.md"},
            {"How often check is right": "precision.md"}, {"Benchmarks": "benchmarks.md"}, {"Licenses": "licenses.md"},
            {"Reference": ["reference/index.md", *({name: each} for name, each in reference.items())]},
            {"Changelog": "changelog.md"}]


def build(
    root: Path,  # the repository
    work: Path,  # a folder for what lies between; it is emptied
    target: Path,  # where the site goes
) -> None:
    "Build the site. Raises SystemExit with the builder's own words when a page or a link is broken."
    from nbdev.config import get_config

    config = get_config(path=root)
    address, git = config.doc_host + config.doc_baseurl, f"{config.git_url}/blob/{config.branch}"
    shutil.rmtree(work, ignore_errors=True)
    source = work / "pages"
    source.mkdir(parents=True)
    _home(root, source, git)
    reference = _reference(root, source, address, git)
    navigation = _navigation(_guide(root, source), _tutorials(root, source), reference, _written(source, pages(root)))
    (source / "extra.css").write_text(CSS, encoding="utf-8")
    (source / "extra.js").write_text(SCRIPT, encoding="utf-8")
    (work / "mkdocs.yml").write_text(configuration(config.title, address, navigation), encoding="utf-8")
    _zensical(work, target)


def _zensical(work: Path, target: Path) -> None:
    "Run the builder strictly and put its pages in place."
    program = Path(sys.executable).with_name("zensical")
    environment = os.environ | {"NO_COLOR": "1"}
    ended = subprocess.run([program, "build", "--clean", "--strict", "-f", "mkdocs.yml"], cwd=work, env=environment,
                           capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{ended.stdout}{ended.stderr}")
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(work / "built", target)
    (target / ".nojekyll").touch()


def main(
    arguments: list[str] | None = None,  # as on the command line
) -> int:
    "Build the site from the repository in the current folder."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("_docs"), metavar="DIR",
                        help="where to put the site (default: _docs)")
    options = parser.parse_args(arguments)
    build(Path.cwd(), Path("_site").resolve(), options.out.resolve())
    print(f"{sum(1 for each in options.out.rglob('*.html'))} pages in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
