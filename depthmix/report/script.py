"""The scripts of a page: written into it, and named by their hash so that the browser runs no other."""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from markupsafe import Markup

__all__ = ["Script", "read_script"]


@dataclass(frozen=True, slots=True)
class Script:
    """Hold a script as the page embeds it, and what the page's policy calls it."""

    text: Markup
    source: str


def read_script(package: str, name: str) -> Script:
    """Read a script that lies in a package."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    digest = b64encode(sha256(text.encode()).digest()).decode("ascii")
    return Script(Markup(text), f"'sha256-{digest}'")  # our own file, and no input of anyone
