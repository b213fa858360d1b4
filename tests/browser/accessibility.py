"""What tools such as axe check on a page, as plain rules over its elements and the colours of its style."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "input", "link"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# Text needs 4.5 to 1, parts of graphics and the outline of what is focused 3 to 1 (WCAG 1.4.3, 1.4.11).
TEXT = [
    ("ink", "page"),
    ("ink", "card"),
    ("soft", "page"),
    ("soft", "card"),
    ("link", "page"),
    ("link", "card"),
]
TEXT += [("bad", "bad-back"), ("good", "good-back")]
GRAPHICS = [(name, "card") for name in ("s0", "s1", "s2", "s3", "s4", "s5", "bar")] + [("link", "page")]


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None"
    children: list["Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def all(self) -> Iterator["Element"]:
        for child in self.children:
            yield child
            yield from child.all()

    def above(self) -> Iterator["Element"]:
        if self.parent:
            yield self.parent
            yield from self.parent.above()

    @property
    def text(self) -> str:
        return " ".join([*self.texts, *(child.text for child in self.children)]).strip()

    @property
    def named(self) -> bool:
        return bool(self.attributes.get("aria-label", "").strip() or self.text)


class Tree(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = self.at = Element("document", {}, None)
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_startendtag(self, tag, attrs):
        self.at.children.append(Element(tag, {name: value or "" for name, value in attrs}, self.at))

    def handle_endtag(self, tag):
        if self.at.tag == tag and self.at.parent:
            self.at = self.at.parent

    def handle_data(self, data):
        if data.strip() and self.at.tag not in ("style", "script"):
            self.at.texts.append(data.strip())


def problems(page: str) -> list[str]:
    """Name everything on a page that a keyboard, a screen reader or a zooming reader would stumble over."""
    root = Tree(page).root
    every = list(root.all())
    found = [*_document(every), *_headings(every), *_names(every), *_tables(every), *_keyboard(every)]
    return list(dict.fromkeys(found))


def _document(every):
    tags = Counter(element.tag for element in every)
    [html] = [element for element in every if element.tag == "html"]
    if not html.attributes.get("lang"):
        yield "the language is not stated"
    if not any(element.tag == "title" and element.text for element in every):
        yield "there is no title"
    for name in ("main", "h1"):
        if tags[name] != 1:
            yield f"there are {tags[name]} <{name}>"
    ids = Counter(element.attributes["id"] for element in every if "id" in element.attributes)
    yield from (f"id {name} is given {count} times" for name, count in ids.items() if count > 1)
    for element in every:
        target = element.attributes.get("href", "")
        if element.tag == "a" and target.startswith("#") and target[1:] not in ids:
            yield f"link to {target}, which is not there"
        if element.attributes.get("name") == "viewport" and re.search(
            "user-scalable=no|maximum", str(element)
        ):
            yield "the page forbids to zoom"
    regions = Counter(
        element.attributes.get("aria-label", "")
        for element in every
        if element.tag == "nav" or element.attributes.get("role") == "region"
    )
    yield from (f"{count} regions are called {name!r}" for name, count in regions.items() if count > 1)
    if "" in regions:
        yield "a region has no name"


def _headings(every):
    before = 0
    for element in every:
        if element.tag in HEADINGS:
            level = int(element.tag[1])
            if level > before + 1:
                yield f"h{before} is followed by {element.tag} {element.text!r}"
            if not element.text:
                yield f"an empty {element.tag}"
            before = level


def _names(every):
    for element in every:
        said, role = element.attributes.get("aria-label", ""), element.attributes.get("role", "")
        if element.tag == "img" and len(element.attributes.get("alt", "")) < 5:
            yield f"a picture without alternative text: {element.attributes.get('src', '')[:40]}"
        if element.tag == "svg" and not (
            (role == "img" and said) or element.attributes.get("aria-hidden") == "true"
        ):
            yield "an svg that is neither named nor hidden"
        if element.tag == "canvas" and not (said and element.text):
            yield "a canvas without a name or without text in its place"
        if element.tag in ("a", "button", "summary", "legend", "option") and not element.named:
            yield f"a <{element.tag}> without words"
        if element.tag in ("input", "select", "textarea") and not (
            said
            or _labelled(element, every)
            or any(one.tag == "label" and one.text for one in element.above())
        ):
            yield f"<{element.tag} name={element.attributes.get('name')}> has no label"
        if element.tag == "fieldset" and not any(one.tag == "legend" for one in element.children):
            yield "a fieldset without legend"
        if element.tag == "details" and not any(one.tag == "summary" for one in element.children):
            yield "details without summary"


def _labelled(element, every):
    own = element.attributes.get("id")
    return own and any(one.tag == "label" and one.attributes.get("for") == own and one.text for one in every)


def _tables(every):
    for table in (element for element in every if element.tag == "table"):
        heads = [one for one in table.all() if one.tag == "th"]
        if not heads:
            yield "a table without heads"
        for head in heads:
            if head.attributes.get("scope") not in ("col", "row", "colgroup", "rowgroup"):
                yield f"head {head.text!r} has no scope"
            if not head.text:
                yield "an empty head of a table"


def _keyboard(every):
    for element in every:
        index = element.attributes.get("tabindex")
        if index and int(index) > 0:
            yield f"<{element.tag}> jumps the order of the keyboard"
        scrolls = "wide" in element.attributes.get("class", "").split() or element.tag in ("pre", "canvas")
        if scrolls and index != "0":
            yield f"<{element.tag}> cannot be reached by keyboard"
        if element.tag == "pre" and "aria-label" not in element.attributes:
            yield "a <pre> that can be focused has no name"


def colours(style: str) -> dict[str, dict[str, str]]:
    """Return the named colours of the light and the dark mode."""
    found = re.findall(r":root\s*{(.*?)}", style, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block)) for block in found)
    return {"light": light, "dark": light | dark}


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours by WCAG 2: 1 for equal ones, 21 for black on white."""
    one, other = sorted((_luminance(first), _luminance(second)))
    return (other + 0.05) / (one + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
