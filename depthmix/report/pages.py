"""The way in which every page of depthmix is made from its template, and written."""

from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from depthmix import __version__
from depthmix.store.record import commit, storage_errors

__all__ = ["fill_template", "write_page"]


def fill_template(package: str, template: str, **values: Any) -> str:
    """Return a page as text, from a template of a package, or of the report behind it; all text is escaped.

    A name that a template misspells is an error, and not an empty place.

    Args:
        package: where the template lies.
        template: its file name.
        values: what it shows, beside `version` and the time at which the page is `made`.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("depthmix.report", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = datetime.now().astimezone()
    return environment.get_template(template).render(version=__version__, made=made, **values)


def write_page(target: Path, text: str) -> Path:
    """Write a page, whole or not at all, and return its path.

    Raises:
        StorageError: the file system refuses.
    """
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    commit(target, text.encode("utf-8", "replace"))
    return target
