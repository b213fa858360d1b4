"""What can be compared: shipped recipes, files, one source alone, all but one, and two without training."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from depthmix.bench.corpus import Corpus
from depthmix.configured import recipe, term_from
from depthmix.errors import ConfigError
from depthmix.plain_yaml import parse_yaml, read_yaml_text
from depthmix.scenes.plan import TRAINING
from depthmix.sources.base import SourceCard
from depthmix.terms import term_problems

__all__ = ["ALL", "BASE", "BASELINES", "CORE", "Recipe", "find_recipe"]

BASE: Final = "quality_aware"
RIVALS: Final = ("naive", "midas", "midas_pareto", "leres", "metric3d_routing", "moge_routing", "metric_only")
BASELINES: Final = ("constant", "ramp")  # nothing is trained
SINGLE: Final = tuple(f"only_{name}" for name in TRAINING)
WITHOUT: Final = tuple(f"without_{name}" for name in TRAINING)
CORE: Final = (BASE, *RIVALS, *SINGLE, "oracle", *BASELINES)
ALL: Final = (*CORE, *WITHOUT)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hold one way of using the labels.

    Args:
        name: what the table calls it.
        values: its configuration, with the sources that the corpus has; empty for a baseline.
    """

    name: str
    values: Mapping[str, Any]

    @property
    def trains(self) -> bool:
        """Whether a network is trained; if not, the recipe is a baseline."""
        return bool(self.values)

    def sets(self) -> list[str]:
        """List the prepared sets that it learns from."""
        return [(spec or {}).get("path") or name for name, spec in self.values["data"]["sources"].items()]


def find_recipe(name: str, corpus: Corpus) -> Recipe:
    """Return the recipe of a name: a shipped one, a YAML file, only_SOURCE, without_SOURCE or a baseline.

    Options of the section `model` may follow, as in "midas,balance=gradient,learning_rate=0.001".

    Convention: sources that the corpus lacks are left out (`oak`, which needs a wheel of its own); a source
    alone keeps every term of `quality_aware` that its label bears, and a source less leaves the others alone.

    Raises:
        ConfigError: there is no such recipe or source, or nothing is left of it.
    """
    name, *changes = name.split(",")
    if changes:
        plain = find_recipe(name, corpus)
        values = deepcopy(dict(plain.values))
        for change in changes:
            _set(values, name, change)
        return Recipe(",".join([plain.name, *changes]), values)
    if name in BASELINES:
        return Recipe(name, {})
    kind, _, source = name.partition("_")
    if kind in ("only", "without") and not Path(name).is_file():
        if source not in TRAINING:
            reason = f"{source!r} is not one of {', '.join(TRAINING)}"
            raise ConfigError(reason, field=f"--recipes {name}")
        values = _read(BASE)
        _keep_sources(values, [one for one in TRAINING if (one == source) == (kind == "only")])
        _keep_terms(values, {one: corpus.card(one) for one in values["data"]["sources"]})
        return Recipe(name, values)
    values = _read(name)
    known = corpus.names()
    sources = values["data"]["sources"]
    _keep_sources(
        values, [one for one, spec in sources.items() if ((spec or {}).get("path") or one) in known]
    )
    return Recipe(Path(name).stem, values)


def _set(values: dict[str, Any], name: str, change: str) -> None:
    """Change one plain option of the section `model`."""
    option, _, text = change.partition("=")
    model = values.get("model", {})
    plain = sorted(key for key, value in model.items() if not isinstance(value, dict | list))
    if option not in plain or not text:
        reason = f"{change!r} must be OPTION=VALUE with one of {', '.join(plain) or 'no option'}"
        raise ConfigError(reason, field=f"--recipes {name}")
    model[option] = parse_yaml(text)[1]


def _read(name: str) -> dict[str, Any]:
    file = recipe(name)
    try:
        values: Any = parse_yaml(read_yaml_text(file))[1]
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(" ".join(str(error).split()), file=file) from error
    for section, option in (("data", "sources"), ("model", "terms")):
        if not isinstance(values, dict) or not (values.get(section) or {}).get(option):
            hint = f"see what is wrong with `depthmix check {name}`"
            raise ConfigError("is missing", file=file, field=f"{section}.{option}", hint=hint)
    return deepcopy(values)


def _keep_sources(values: dict[str, Any], kept: list[str]) -> None:
    """Leave out the other sources, also where a term names them."""
    sources = values["data"]["sources"]
    values["data"]["sources"] = {name: spec for name, spec in sources.items() if name in kept}
    if not values["data"]["sources"]:
        reason = f"has none of the sources of this corpus: {', '.join(sources)}"
        raise ConfigError(reason, field="data.sources")
    for name, term in list(values["model"]["terms"].items()):
        if term.get("sources"):
            term["sources"] = [source for source in term["sources"] if source in kept]
            if not term["sources"]:
                del values["model"]["terms"][name]


def _keep_terms(values: dict[str, Any], cards: Mapping[str, SourceCard]) -> None:
    """Leave out the terms that no source can bear."""
    terms = values["model"]["terms"]
    refused = [
        name
        for name, options in terms.items()
        if any(line.startswith("terms.") for line in term_problems({name: term_from(options)}, cards))
    ]
    values["model"]["terms"] = {name: options for name, options in terms.items() if name not in refused}
