"""The options of a constructor, with the words that its docstring has for each."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args, get_type_hints

import docstring_parser

__all__ = ["REQUIRED", "Option", "options_of", "record_in"]

REQUIRED: Final = inspect.Parameter.empty
NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Option:
    """Describe one argument of a constructor.

    Args:
        name: of the argument.
        hint: its type.
        default: its default, `REQUIRED` where there is none.
        text: what the docstring says about it.
    """

    name: str
    hint: Any
    default: Any
    text: str


def options_of(target: Callable[..., object]) -> Iterator[Option]:
    """List the options of a class or function in their order."""
    initialiser = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    hints = get_type_hints(initialiser)
    documents = [inspect.getdoc(target) or "", inspect.getdoc(initialiser) or ""]
    texts = {one.arg_name: one.description or "" for text in documents for one in _arguments(text)}
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind in NAMED:
            words = " ".join(texts.get(name, "").split())
            yield Option(name, hints.get(name, Any), parameter.default, words)


def record_in(hint: Any) -> type | None:
    """Return the dataclass that a type hint is or holds, in a list, a mapping or beside None."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint
    found = [record_in(inner) for inner in get_args(hint)]
    return next((one for one in found if one is not None), None)


def _arguments(text: str) -> list[Any]:
    return list(docstring_parser.parse(text).params)
