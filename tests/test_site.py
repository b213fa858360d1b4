"""The site of docs/: every page has its place, links of the repository hold in it, nothing is fetched."""

import json
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import griffe
import pytest
import yaml
from mkdocs.exceptions import PluginError

from docs import hooks, make_drawings
from docs.doctests import Doctests
from docs.notebook_page import page_of, pictures_of
from tests.pages import ROOT

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def named_pages() -> set[str]:
    """Return the pages of the navigation; the file has a tag of Python, which a plain reader refuses."""
    text = re.sub(r"!!python/\S+", "", (ROOT / "mkdocs.yml").read_text())
    found, todo = set(), [yaml.safe_load(text)["nav"]]
    while todo:
        one = todo.pop()
        todo += list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        found |= {one} if isinstance(one, str) else set()
    return found


def test_every_page_has_its_place_in_the_navigation():
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert named_pages() == written | set(hooks.PAGES.values())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_page_with_its_code_its_outputs_and_its_pictures(notebook):
    page, pictures = page_of(notebook), pictures_of(notebook)
    cells = json.loads(notebook.read_text())["cells"]
    assert page.startswith("# ")
    assert (
        f"\n\n*A notebook with its outputs: [{notebook.name}](../files/notebooks/{notebook.name}).*\n" in page
    )
    assert all("".join(cell["source"]).partition("\n")[2].rstrip() in page for cell in cells)
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert all("".join(output["text"]).rstrip() in page for output in outputs if "text" in output)
    assert len(pictures) == sum("image/png" in output.get("data", {}) for output in outputs)
    shown = re.findall(r"!\[(.+?)\]\((.+?)\)", page)
    assert [name for _, name in shown] == list(pictures)
    assert all(re.match("Picture made by the code above: .", alt) for alt, _ in shown)
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


def test_text_that_holds_a_fence_stays_in_its_block(tmp_path):
    output = {"output_type": "stream", "name": "stdout", "text": ["```\n"]}
    code = {"cell_type": "code", "source": ["print('```')"], "outputs": [output]}
    cells = [{"cell_type": "markdown", "source": ["# A"]}, code]
    (file := tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    page = page_of(file)
    assert "\n````python\nprint('```')\n````\n" in page
    assert '\n````text title="Output"\n```\n````' in page


@pytest.mark.parametrize("name", make_drawings.DRAWINGS)
def test_the_drawings_are_what_the_script_draws(name):
    text = make_drawings.DRAWINGS[name]()
    assert (make_drawings.FOLDER / f"{name}.svg").read_text() == text, "run docs/make_drawings.py"
    root = ElementTree.fromstring(text)
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize(
    ("page", "written", "turned"),
    [
        ("faq.md", "[a](concepts.md#cameras)", "[a](concepts.md#cameras)"),
        ("faq.md", "[a](../README.md)", "[a](front.md)"),
        ("faq.md", "[a](../losses/README.md)", "[a](losses/README.md)"),
        ("api/losses.md", "[a](../losses.md)", "[a](../losses.md)"),
        ("losses/README.md", "[a](../docs/noise.md)", "[a](../noise.md)"),
        ("CONTRIBUTING.md", "[a](docs/noise.md)", "[a](noise.md)"),
        ("faq.md", "[a](../notebooks/07_write_a_loss.ipynb)", "[a](notebooks/07_write_a_loss.md)"),
        ("notebooks/03_mix_and_train.md", "[a](07_write_a_loss.ipynb)", "[a](07_write_a_loss.md)"),
        ("notebooks/03_mix_and_train.md", "[a](../docs/losses.md)", "[a](../losses.md)"),
        ("distil.md", "[a](../mkdocs.yml)", "[a](files/mkdocs.yml)"),
        ("faq.md", "`[a](../README.md)`", "`[a](../README.md)`"),
        ("faq.md", "```\n[a](../README.md)\n```", "```\n[a](../README.md)\n```"),
        ("faq.md", "[a](https://arxiv.org/abs/1406.2283)", "[a](https://arxiv.org/abs/1406.2283)"),
        ("faq.md", "[a](not_there.md)", "[a](not_there.md)"),
        ("faq.md", "0.2 ± 0.1 `0.2 ± 0.1`", "0.2\u00a0±\u00a00.1 `0.2 ± 0.1`"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(page, written, turned):
    assert hooks.for_site(written, page) == turned


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://unpkg.com/x"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        "<img alt=x src=http://example.org/x.png>",
    ],
)
def test_a_page_that_fetches_something_from_elsewhere_is_refused(tag):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="faq.md"))
    with pytest.raises(PluginError, match=r"faq\.md: the page fetches"):
        hooks.on_post_page(tag, page, None)
    assert hooks.on_post_page('<a href="https://example.org">', page, None)


def test_an_example_of_a_docstring_is_shown_as_code():
    module = griffe.load(
        "depthmix.geometry", search_paths=[ROOT], extensions=griffe.load_extensions(Doctests)
    )
    sections = module["unproject"].docstring.parse("google")
    (examples,) = (section.value for section in sections if section.kind.value == "examples")
    assert [kind.value for kind, _ in examples] == ["examples"]
    assert "extensions: [docs/doctests.py]" in (ROOT / "mkdocs.yml").read_text()
