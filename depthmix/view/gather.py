"""Choose the samples that are looked at: few of many, spread evenly, and of a run the worst ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from depthmix.audit.run import PreparedSet, spread_out
from depthmix.errors import DepthmixError, StorageError
from depthmix.plot.compare import compare
from depthmix.report.collect import RunFacts, SetFacts, collect
from depthmix.report.page import run_title
from depthmix.report.strips import predicted
from depthmix.sample import Sample
from depthmix.sources.base import Source
from depthmix.store.local import find_sets

__all__ = ["Item", "Items", "items_of_run", "items_of_sets", "items_of_source"]


@dataclass(frozen=True)
class Item:
    """Hold one sample that is looked at.

    Args:
        sample: the sample itself.
        source: name of its set.
        role: its part in a run; empty outside of one.
        score: how far its loss stands out in training, in robust standard deviations; None where not known.
        depth: predicted depth; None without a network.
        metric: whether that is in metres.
    """

    sample: Sample
    source: str
    role: str = ""
    score: float | None = None
    depth: Float[np.ndarray, "h w"] | None = None
    metric: bool = False

    @property
    def fitted(self) -> Float[np.ndarray, "h w"] | None:
        """The prediction in the unit of the label; None without a network."""
        if self.depth is None:
            return None
        return compare(self.sample, np.asarray(self.depth, np.float32), metric=self.metric).values


@dataclass
class Items:
    """Hold the chosen samples, where they come from, and what could not be read, in sentences."""

    title: str
    chosen: list[Item] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def items_of_source(source: Source, samples: int) -> Items:
    """Choose samples of a raw source.

    Raises:
        BadSource: it cannot be listed.
    """
    found = Items(f"{source.name}, raw")
    _read(found, source, spread_out(list(source.keys()), samples))
    return found


def items_of_sets(root: Path, samples: int) -> Items:
    """Choose samples of the prepared set at a path, or of all sets in that folder.

    Raises:
        StorageError: there is none.
        CorruptShard: the record of a set is damaged.
    """
    folders = find_sets(root)
    if not folders:
        hint = "for raw data say which source reads it: --source NAME, see `depthmix sources list`"
        raise StorageError("no prepared set and no run here", file=root, hint=hint)
    found = Items(run_title(root))
    for folder in spread_out([str(folder) for folder in folders], samples):
        source = PreparedSet(folder)
        _read(found, source, spread_out(list(source.keys()), max(1, samples // len(folders))))
    return found


def items_of_run(run: Path, data_root: Path | None, samples: int, *, trust: bool = False) -> Items:
    """Choose samples of the sets of a run: half of them the worst in training, where it listed them.

    Args:
        run: the run folder.
        data_root: root of the prepared sets; that of the configuration by default.
        samples: most samples.
        trust: let the checkpoint import a network class from outside depthmix.

    Raises:
        StorageError: there is no such run folder, or its sets are not found.
    """
    facts = collect(run, data_root or _root_of(run), trust=trust)
    # What was skipped in preparing them is no fault of the samples that are shown.
    found = Items(
        f"run {run_title(run)}", problems=[text for text in facts.problems if "skipped" not in text]
    )
    sets = [one for one in facts.sets if one.shards is not None]
    if not sets:
        hint = "say where the prepared sets lie: --data FOLDER"
        raise StorageError("no prepared set of this run was found", file=run, hint=hint)
    scores = {str(entry["sample"]): float(entry["mean_score"]) for entry in facts.worst}
    worst = list(scores)[: max(0, min(samples // 2, samples - len(sets)))]
    rest = max(1, (samples - len(worst)) // len(sets))
    chosen = spread_out([one.name for one in sets], samples)
    for one in (one for one in sets if one.name in chosen):
        _read_set(found, facts, one, scores, worst, rest)
    return found


def _read_set(
    found: Items, facts: RunFacts, one: SetFacts, scores: dict[str, float], worst: Sequence[str], rest: int
) -> None:
    try:
        source = PreparedSet(one.folder, name=one.name)
        assert one.shards is not None
        keys = source.keys()
        names = {key: f"{one.shards.name}/{key}" for key in keys}
    except DepthmixError as error:
        found.problems.append(str(error))
        return
    bad = [key for key, name in names.items() if name in worst and one.role == "training"]
    for key in dict.fromkeys([*bad, *spread_out(list(names), rest)]):
        try:
            sample = source.read(key)
            more: dict[str, Any] = {}
            if facts.trained is not None:
                more["metric"], more["depth"] = predicted(sample, facts.trained)
            score = scores.get(names[key]) if one.role == "training" else None
            found.chosen.append(Item(sample, one.name, one.role, score, **more))
        except DepthmixError as error:
            found.problems.append(str(error))


def _read(found: Items, source: Source, keys: Sequence[str]) -> None:
    for key in keys:
        try:
            found.chosen.append(Item(source.read(key), source.name))
        except DepthmixError as error:
            found.problems.append(str(error))


def _root_of(run: Path) -> Path:
    """Return the root of the sets as the configuration of a run states it."""
    import yaml

    from depthmix.plain_yaml import parse_yaml, read_yaml_text

    file = run / "config.yaml"
    hint = "say where the prepared sets lie: --data FOLDER"
    try:
        data = parse_yaml(read_yaml_text(file))[1]["data"]
        return Path(str(data.get("init_args", data)["root"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise StorageError("states no root of prepared sets", file=file, hint=hint) from error
