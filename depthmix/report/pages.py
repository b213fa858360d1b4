"""The way in which every page of depthmix is made from its template."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

__all__ = ["page_environment"]


def page_environment(package: str) -> Environment:
    """Return templates of a package, and those of the report behind them, with escaping on.

    A name that a template misspells is an error, and not an empty place.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("depthmix.report", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
