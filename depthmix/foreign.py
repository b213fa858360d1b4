"""Import code from outside of depthmix that its user trusts: a file of the present folder, a package."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from depthmix.errors import ConfigError

__all__ = ["IMPORT_TROUBLE", "import_foreign", "look_here"]

# What importing a foreign module may throw, short of the wish to stop the program.
IMPORT_TROUBLE: Final = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(OSError, RuntimeError, SyntaxError, TypeError, ValueError),
)


def look_here() -> None:
    """Let modules be found in the present folder, where a console command does not look by itself.

    Behind all other places, so that no file here stands in for a package.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def import_foreign(module: str) -> ModuleType:
    """Import a module by its name, from the present folder, too.

    Raises:
        ConfigError: that fails; the hint says where a missing module was looked for.
    """
    look_here()
    try:
        return import_module(module)
    except IMPORT_TROUBLE as error:
        missing = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        reason = f"cannot be imported: {error if missing else f'{type(error).__name__}: {error}'}"
        raise ConfigError(reason, file=module, hint=_where() if missing else None) from error


def _where() -> str:
    return (
        f"looked for in the present folder, {Path.cwd()}, in those of PYTHONPATH and among the installed "
        "packages: go to its folder, or say `export PYTHONPATH=FOLDER`"
    )
