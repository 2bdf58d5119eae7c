"""The tools of development: running notebooks, README.md, guides, pages of the site, reading a plan back."""
from __future__ import annotations

from pathlib import Path

import guide
import pytest
from build_site import room, site_links
from execnb.nbio import mk_cell, new_nb, read_nb, write_nb
from nbdev.process import NBProcessor
from plan_to_resources import planned_resources
from publish import (
    NotebookError,
    left_out,
    markdown,
    output_markdown,
    pipe_table,
    readme,
    refresh,
    run,
    texts,
)
from reference import definition, relative_links, with_pictures
from site_pages import difference, explained

from pretamane_analysis.base.errors import PretamaneError
from pretamane_analysis.bill.architectures import architecture
from pretamane_analysis.prices.snapshot import bundled
from pretamane_analysis.stack.stack import example


def notebook(path: Path, *cells: object) -> Path:
    """Write a notebook of `cells`, sources or made cells, and return its path"""
    write_nb(new_nb([mk_cell(each) if isinstance(each, str) else each for each in cells]), path)
    return path


def test_cells_that_nbdev_leaves_out():
    """A cell without a directive runs; one with `eval: false` or with a test flag does not"""
    cells = NBProcessor(
        nb=new_nb([mk_cell(source) for source in ("1 + 1", "#| eval: false\n1 + 1", "#| net\n1 + 1")])).nb.cells
    assert [left_out(cell, {"net", "notest"}) for cell in cells] == [False, True, True]
    assert not left_out(cells[2], set())


def test_what_can_be_read_in_an_output():
    """Text is compared, a picture is not: it depends on fonts"""
    assert texts([{"text": ["a\n", "b"]},
                  {"data": {"image/png": "iVBO", "text/plain": ["<Figure>"]}}]) == ["a\nb", "<Figure>"]


def test_outputs_are_kept_and_stable(tmp_path):
    """A run keeps what is printed and shown, runs no cell that nbdev leaves out, and a second run gives the same
    bytes"""
    small = notebook(tmp_path / "small.ipynb", "print('hello')", "6 * 7", "#| eval: false\n1 / 0")
    refresh(small)
    printed, value = [output for cell in read_nb(small).cells for output in cell.outputs]
    assert "".join(printed["text"]) == "hello\n" and value["data"]["text/plain"] == ["42"]
    first = small.read_bytes()
    refresh(small)
    refresh(small, check=True)
    assert small.read_bytes() == first


def test_stale_outputs_are_told(tmp_path):
    """A check names the cell whose kept output is another, and writes nothing"""
    stale = notebook(tmp_path / "stale.ipynb", mk_cell("print('hello')", id="cafe0002"))
    before = stale.read_bytes()
    with pytest.raises(NotebookError, match="cafe0002"):
        refresh(stale, check=True)
    assert stale.read_bytes() == before


def test_a_failure_says_where(tmp_path):
    """A failed notebook is as it was; the message has the number of the cell, its id and its first line"""
    small = notebook(tmp_path / "small.ipynb", "6 * 7")
    failing = notebook(tmp_path / "failing.ipynb", "fine = 1", mk_cell("fine / 0", id="cafe0001"))
    before = failing.read_bytes()
    with pytest.raises(NotebookError,
                       match=r"failing.ipynb, code cell 2 \(id cafe0001\): fine / 0\n  ZeroDivisionError"):
        refresh(failing)
    with pytest.raises(NotebookError, match="failing.ipynb"):
        run([small, failing])
    assert failing.read_bytes() == before and read_nb(small).cells[0].outputs


def test_tables_become_pipe_tables():
    """Columns of numbers stand to the right, no figure is touched, a bar is escaped"""
    table = "<table><tr><th>item</th><th>cost</th></tr><tr><td>NAT | gateway</td><td>32.40</td></tr></table>"
    assert pipe_table(table).splitlines()[1:] == ["|:---------------|-------:|", "| NAT \\| gateway |  32.40 |"]


def test_a_picture_inside_a_notebook_is_an_error():
    """README.md cannot hold it: no silent gap"""
    with pytest.raises(ValueError, match="cannot show"):
        output_markdown({"output_type": "display_data", "data": {"image/png": "…", "text/plain": "<Figure>"}})


def test_directives_are_obeyed(tmp_path):
    """`hide`, `echo: false` and `output: asis`; their lines never show"""
    page = notebook(tmp_path / "page.ipynb", mk_cell("# Title\n\n![A drawing](images/drawing.svg)", "markdown"),
                    "#| hide\nsecret = 1",
                    "#| echo: false\nprint('32.40')", "#| output: asis\nprint('**bold**')", "6 * 7")
    refresh(page)
    text = markdown(page)
    assert "secret" not in text and "print('32.40')" not in text and "#|" not in text
    assert "```text\n32.40\n```" in text and "\n**bold**\n" in text and "```python\n6 * 7\n```" in text
    assert "![A drawing](images/drawing.svg)" in text


def test_a_check_of_readme_writes_nothing(root):
    """It returns the difference, empty where README.md is what the index gives"""
    before = (root / "README.md").read_bytes()
    assert isinstance(readme(check=True), str) and (root / "README.md").read_bytes() == before


BOX = '''import math
class Box:
    "A box."
    width: float  # meters
    depth: float  # meters
    def area(self) -> float:  # square meters
        "Its area."
        return self.width * self.depth
'''


def test_a_definition_stands_as_in_the_module():
    """Fields with their comments, methods with signature and first line"""
    found = definition(BOX, "Box")
    assert found.text == "A box." and found.line == 2
    assert ("width: float  # meters\n    depth: float  # meters" in found.code
            and "def area(self) -> float:" in found.code and "return" not in found.code)
    with pytest.raises(KeyError):
        definition(BOX, "Bag")


def test_pictures_become_files(tmp_path):
    """A picture stands beside its page, and the page links to it"""
    picture = {"output_type": "display_data", "data": {"image/svg+xml": "<svg/>"}, "metadata": {}}
    shown = with_pictures({"cells": [{"outputs": [picture]}]}, tmp_path, "cost")
    assert shown["cells"][0]["outputs"][0]["data"] == {"text/markdown": "![Picture 1 of cost](cost-1.svg){ .picture }"}
    assert (tmp_path / "cost-1.svg").read_text() == "<svg/>"


def test_links_of_nbdev_become_links_to_files():
    """Also across rooms, and with the anchor as the heading is spelled"""
    site = "https://a.example/p"
    assert relative_links(f"[`bill`]({site}/cost.html#bill)", site) == "[`bill`](cost.md#bill)"
    assert relative_links(f"[`Row`]({site}/prices/rows.html#row)", site) == "[`Row`](prices.rows.md#Row)"


def test_links_of_the_repository_become_links_of_the_site():
    """A file that has no page is linked to in the repository"""
    assert site_links("[a](LICENSE) [b](CHANGELOG.md) [c](https://x.example)",
                      "G") == "[a](G/LICENSE) [b](changelog.md) [c](https://x.example)"


def test_modules_stand_in_their_rooms():
    """The first folder names the part of the reference"""
    assert [room(each) for each in ("stack.service", "emit.host.caddy")] == ["Stack", "Emitted artifacts"]


def test_guides_read_commands_and_outputs(tmp_path):
    """A command goes on in lines that start with `> `; what was printed replaces what stands there, unless three
    dots stand for it"""
    assert guide.commands("$ echo a\na\n$ echo b \\\n> c\nb c\n") == [("echo a", "a\n"), ("echo b \\\nc", "b c\n")]
    assert guide.shortened("a\nb\nc\n", "a\n...\nc\n") == "a\n...\nc\n"
    assert guide.shortened("a\nb\nd\n", "a\n...\nc\n") == "a\nb\nd\n"
    assert guide.refreshed("```console\n$ echo 1 > a\n$ cat a\n0\n```\n",
                           tmp_path) == "```console\n$ echo 1 > a\n$ cat a\n1\n```\n"


def test_the_page_of_the_tree_explains_every_file():
    """A file without an entry and an entry without a file are both told"""
    with pytest.raises(KeyError, match="does not explain caddy/Caddyfile"):
        explained(["caddy/Caddyfile"], [])
    with pytest.raises(KeyError, match=r"not emitted: old\.sh"):
        explained([], [{"path": "old.sh", "what": "", "items": []}])
    assert difference({"a": "1\n2\n"}, {"a": "1\n3\n"}).splitlines()[-2:] == ["-2", "+3"]


def planned(kind: str, **values: object) -> dict:
    """Return a plan of a network and one more resource"""
    found = [{"mode": "managed", "type": each, "values": value} for each, value in (("aws_vpc", {}), (kind, values))]
    return {"planned_values": {"root_module": {"resources": found}}}


def test_a_plan_is_read_back():
    """A disk is billed, a network is free, mail is billed by use; of an unknown kind it is not known what it costs"""
    data = next(each for each in architecture("ec2", example(), bundled()).resources if each.name == "data disk")
    disk, mail = planned_resources(planned("aws_ebs_volume", type="gp3", size=int(data.gb)), example())
    assert disk.gb == data.gb and mail.recipients == example().usage.at("typical")["emails"]
    with pytest.raises(PretamaneError, match="aws_kms_key"):
        planned_resources(planned("aws_kms_key"), example())
