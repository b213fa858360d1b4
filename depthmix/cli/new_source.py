"""`depthmix new-source`: a source of one's own, its fixture writer and its test, which passes at once."""

import argparse
import re
from pathlib import Path
from typing import Final

from depthmix.errors import ConfigError

__all__ = ["KINDS", "add_arguments", "run"]

# Folder and suffix of the label, and what the card says.
KINDS: Final = {
    "metric": ("depth", "png", "METRIC_DEPTH", "HIGH", "dense", "m"),
    "scaled": ("depth", "png", "SCALED_DEPTH", "MIDDLE", "dense", "unknown factor of metres"),
    "inverse": ("inverse_depth", "png", "AFFINE_DISPARITY", "LOW", "dense", "1/m up to scale and shift"),
    "planes": ("planes", "png", "NONE", "WEAK", "none", ""),
    "pairs": ("pairs", "txt", "ORDINAL", "WEAK", "none", ""),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", help="name of the class, such as CaveScans")
    parser.add_argument("--kind", choices=KINDS, default="metric", help="what the numbers of its labels mean")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the three files")


def run(options: argparse.Namespace) -> int:
    """Write the three files and say what to do next."""
    from depthmix.store.record import storage_errors

    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", options.name):
        hint = "a class name is written like CaveScans"
        raise ConfigError(f"must be the name of a class, got {options.name!r}", field="name", hint=hint)
    module = "_".join(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", options.name))
    texts = {
        options.out / f"{prefix}{module}.py": _filled(template, options.name, module, options.kind)
        for prefix, template in (("", "source"), ("make_", "make"), ("test_", "test"))
    }
    for file in texts:
        if file.exists():
            raise ConfigError("is there already", field=str(file), hint="choose another name or --out")
    with storage_errors(options.out):
        options.out.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
    source, make, test = texts
    print(f"wrote {source}, {make} and {test}. Next:")
    print(f"  1. run its test, which passes as it stands:  python -m pytest {test}")
    print(f"  2. write the true layout in {make.name}, then make {source.name} read it, test by test")
    print(f"  3. look at your data, from the folder of {source.name}:")
    print(f"     depthmix inspect RAW --source {module}:{options.name} --page {module}.html")
    print("  4. publish it in the entry-point group depthmix.sources; then its name alone is enough")
    return 0


def _filled(template: str, name: str, module: str, kind: str) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("depthmix.templates", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    folder, suffix, label_kind, quality, density, unit = KINDS[kind]
    return environment.get_template(f"{template}.py.jinja").render(
        name=name,
        title=name,
        module=module,
        short=module,
        kind=kind,
        folder=folder,
        suffix=suffix,
        label_kind=label_kind,
        quality=quality,
        density=density,
        unit=unit,
    )
