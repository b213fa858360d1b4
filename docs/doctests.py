"""Show the examples of docstrings as code.

The reader of docstrings knows a block called Examples and takes one called Example for quoted text; ours are
called Example.
"""

import re
from typing import Any

from griffe import Extension, Object

__all__ = ["Doctests"]


class Doctests(Extension):
    """Rename the block while the pages of the API are made."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.M)
