"""Hooks of the site: pages and files of the repository outside docs/ take part, and links to them hold.

A page is written once, with links that hold where it lies in the repository. Here they are turned into links
of the site: `docs/x.md` is the page `x.md`; those of `PAGES` have a place there, too, and so have the
notebooks; any other file that a page links to is copied below `files/`.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.notebook_page import page_of, pictures_of

ROOT = Path(__file__).resolve().parents[1]
UNBROKEN = "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}"
# Pages that lie outside docs/, and their place in the site; its first page is docs/index.md.
PAGES = {
    "README.md": "front.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "losses/README.md": "losses/README.md",
    "sources/README.md": "sources/README.md",
    **{
        f"notebooks/{file.name}": f"notebooks/{file.stem}.md"
        for file in sorted(ROOT.glob("notebooks/*.ipynb"))
    },
}
CODE = re.compile(r"(^ *```.*?^ *```|`+[^`]+`+)", re.DOTALL | re.MULTILINE)
# What a browser fetches by itself when it shows a page.
FETCHED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)")
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?\)")


def repository_path(uri: str) -> str:
    """Return where a page of the site lies in the repository."""
    return next((path for path, place in PAGES.items() if place == uri), f"docs/{uri}")


def site_path(path: str) -> str:
    """Return where a file of the repository lies in the site."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}"


def linked(text: str, page: str) -> list[str]:
    """Return the files of the repository that a page links to, as paths from its root."""
    prose = CODE.sub("", text)
    links = [link for _, link, _ in LINK.findall(prose) if "://" not in link]
    return [posixpath.normpath(posixpath.join(posixpath.dirname(page), link)) for link in links]


def for_site(text: str, uri: str) -> str:
    """Return a page with links that hold in the site."""
    page = repository_path(uri)

    def turned(found: re.Match[str]) -> str:
        start, link, anchor = found.groups()
        if "://" in link:
            return found[0]
        (target,) = linked(found[0], page)
        if not (ROOT / target).is_file():
            return found[0]  # the strict build names it
        return f"{start}{posixpath.relpath(site_path(target), posixpath.dirname(uri) or '.')}{anchor or ''})"

    parts = CODE.split(text)  # prose and code in turn
    # A mean and its deviation are never parted: the cells of wide tables would break there.
    parts[::2] = [LINK.sub(turned, part).replace(" ± ", UNBROKEN) for part in parts[::2]]
    return "".join(parts)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and the linked files that lie outside docs/."""
    for path, uri in PAGES.items():
        if path.endswith(".ipynb"):
            _add_notebook(files, config, path, uri)
        else:
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for file in list(files.documentation_pages()):
        for path in linked(file.content_string, repository_path(file.src_uri)):
            uri = site_path(path)
            if uri.startswith("files/") and (ROOT / path).is_file() and uri not in files.src_uris:
                files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    return files


def _add_notebook(files: Files, config: MkDocsConfig, path: str, uri: str) -> None:
    """Add a notebook as a page, its pictures, and the file itself."""
    files.append(File.generated(config, uri, content=page_of(ROOT / path)))
    for name, picture in pictures_of(ROOT / path).items():
        files.append(File.generated(config, f"notebooks/{name}", content=picture))
    files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links of the repository into links of the site."""
    return for_site(markdown, page.file.src_uri)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that makes a browser fetch anything from another place."""
    if found := FETCHED.search(output):
        raise PluginError(
            f"{page.file.src_uri}: the page fetches {found[1]}; the site has to work without a network"
        )
    return output
