"""The pages of the repository, their blocks of code and the commands that they show."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "sources" / "README.md",
    ROOT / "losses" / "README.md",
]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, the line of its fence, its language, its text without the indent."""

    page: str
    line: int
    language: str
    body: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text, name = TEXTS[page], str(page.relative_to(ROOT))
    found = []
    for match in FENCE.finditer(text):
        indent, language, body = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(name, line, language, re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(text: str, language: str = "sh") -> list[str]:
    """Return the fenced blocks of a language, without their indent."""
    found = [(indent, body) for indent, named, body in FENCE.findall(text) if named == language]
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def shell_lines(body: str) -> list[str]:
    """Return the commands of a block, each as one line, without comments."""
    joined = re.sub(r"\s*\\\n\s*", " ", body)
    lines = [re.split(r"(?:^|\s+)#", line)[0].strip() for line in joined.splitlines()]
    return [line for line in lines if line]


def commands() -> list[str]:
    """Return every whole `depthmix ...` command of the pages, from blocks and from running text."""
    found = [line for block in BLOCKS if block.language == "sh" for line in shell_lines(block.body)]
    found = [line.removeprefix("srun ") for line in found]
    for text in TEXTS.values():
        named = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]
        found += [line for line in named if line.count(" ") > 1]  # the name of a command alone is no call
    return sorted({line for line in found if line.startswith("depthmix ")})
