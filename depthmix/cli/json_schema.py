"""A JSON schema of configurations: editors complete options by it and mark mistakes while they are typed."""

import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import Any, Final, Literal, Union, get_args, get_origin

from depthmix.cli.check import TOP_LEVEL
from depthmix.cli.options import REQUIRED, options_of
from depthmix.configured import names_of_plug_ins, offered_classes

__all__ = ["config_schema"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCALARS: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}
FOREIGN: Final = r"^(?!depthmix\.).+\..+$"  # classes of other packages: their options are not known here
Schema = dict[str, Any]


def config_schema() -> Schema:
    """Return the schema of a training configuration, made from the constructors that read it."""
    from lightning.pytorch import Trainer

    import depthmix.losses
    import depthmix.models  # noqa: F401  (imported so that their classes are known)
    from depthmix.data import MixData
    from depthmix.task import DepthTask

    made = _Maker()
    sections: Schema = {name: {} for name in TOP_LEVEL}
    sections |= {"model": made.call(DepthTask), "data": made.call(MixData)}
    # Lightning takes more than its hints say, such as a dictionary for a callback.
    sections["trainer"] = made.call(Trainer, strict=False)
    return {
        "$schema": DIALECT,
        "title": "depthmix training",
        "type": "object",
        "properties": sections,
        "required": ["model", "data"],
        "additionalProperties": False,
        "$defs": made.records,
    }


class _Maker:
    """Collect the schemas of records and classes, each once."""

    def __init__(self) -> None:
        self.records: dict[str, Schema] = {}

    def call(self, target: Callable[..., object], *, strict: bool = True) -> Schema:
        """Describe a mapping of the arguments of a constructor."""
        options = list(options_of(target))
        parameters = inspect.signature(target).parameters.values()
        is_open = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
        described = {}
        for option in options:
            shape = self.hint(option.hint) if strict else {}
            plain = isinstance(option.default, bool | int | float | str)
            described[option.name] = {
                **shape,
                **({"description": option.text} if option.text else {}),
                **({"default": option.default} if plain else {}),
            }
        required = [one.name for one in options if one.default is REQUIRED and strict]
        return {
            "type": "object",
            "properties": described,
            "additionalProperties": is_open,
            **({"required": required} if required else {}),
        }

    def hint(self, hint: Any) -> Schema:
        """Describe the values of a type; what is not known may be anything."""
        origin, inner = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.hint(one) for one in inner]}
        if origin is Literal:
            return {"enum": list(inner)}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.hint(inner[1])}
        if origin is list:
            return {"type": "array", "items": self.hint(inner[0])}
        if hint is type(None):
            return {"type": "null"}
        if hint in SCALARS:
            return {"type": SCALARS[hint]}
        if isinstance(hint, type) and hint.__module__ not in ("builtins", "typing"):
            return self._named(hint)
        return {}

    def _named(self, kind: type) -> Schema:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name not in self.records:
            self.records[name] = {}  # it may hold itself
            is_record = dataclasses.is_dataclass(kind)
            self.records[name] = self.call(kind) if is_record else self._choice(kind)
        return {"$ref": f"#/$defs/{name}"}

    def _choice(self, base: type) -> Schema:
        """Describe a class by its name or by class_path and init_args, and those of other packages."""
        own = {
            name: one for name, one in offered_classes(base).items() if one.__module__.startswith("depthmix.")
        }
        choices: list[Schema] = []
        for name, one in sorted(own.items()):
            paths = [name, f"{base_package(one)}.{name}"]
            about = (inspect.getdoc(one) or "").partition("\n")[0]
            required = [option.name for option in options_of(one) if option.default is REQUIRED]
            whole = {
                "type": "object",
                "properties": {"class_path": {"enum": paths}, "init_args": self.call(one)},
                "required": ["class_path", *(["init_args"] if required else [])],
                "additionalProperties": False,
                "description": about,
            }
            choices += [whole] if required else [{"enum": paths, "description": about}, whole]
        others: list[Schema] = [{"type": "string", "pattern": FOREIGN}]
        others += [{"enum": sorted(names)}] if (names := names_of_plug_ins(base)) else []
        for path in others:
            choices += [
                path,
                {"type": "object", "properties": {"class_path": path}, "required": ["class_path"]},
            ]
        return {"anyOf": choices}


def base_package(kind: type) -> str:
    """Return the package that a class of depthmix is exported from."""
    return ".".join(kind.__module__.split(".")[:2])
