"""Read what a run left behind: whatever is missing or broken becomes a sentence, never an exception."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml

from depthmix.errors import DepthmixError, StorageError
from depthmix.metrics.image_file import IMAGES, read_images
from depthmix.plain_yaml import parse_yaml, read_yaml_text
from depthmix.report.curves import Curve, read_curves
from depthmix.report.mix import expected_shares, trained_steps
from depthmix.store import ShardSet
from depthmix.store.local import find_sets
from depthmix.store.record import read_plain
from depthmix.store.strict_json import parse

if TYPE_CHECKING:
    from depthmix.trained import Trained

Found = TypeVar("Found")
_MAX_RESULTS: Final = 16 << 20
WORST: Final = "worst.json"  # as `depthmix.worst` calls it, which imports all losses

__all__ = ["RunFacts", "SetFacts", "collect"]


@dataclass(frozen=True, slots=True)
class SetFacts:
    """Hold one prepared set and its part in the run: "training", "validation" or "test".

    `shards` is None where the set could not be opened; the reason stands among the run's problems.
    """

    name: str
    role: str
    folder: Path
    weight: float | None
    share: float | None
    shards: ShardSet | None


@dataclass
class RunFacts:
    """Hold everything that the page shows; `problems` and `missing` are sentences."""

    folder: Path
    data_root: Path
    config_text: str | None = None
    curves: dict[str, Curve] = field(default_factory=dict)
    results: dict[str, Any] | None = None
    images: list[dict[str, Any]] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)
    sets: list[SetFacts] = field(default_factory=list)
    trained: "Trained | None" = None
    problems: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def training(self) -> list[SetFacts]:
        """The sources of the mix."""
        return [facts for facts in self.sets if facts.role == "training"]

    @property
    def evaluation(self) -> list[SetFacts]:
        """All other sets."""
        return [facts for facts in self.sets if facts.role != "training"]


def collect(run: Path, data_root: Path, checkpoint: Path | None = None, *, trust: bool = False) -> RunFacts:
    """Read configuration, curves, results, worst samples, prepared sets and network of a run.

    Args:
        run: the run folder.
        data_root: root of the prepared sets.
        checkpoint: the network to show; `last.ckpt` of the run folder by default.
        trust: let the checkpoint import a network class from outside depthmix.

    Raises:
        StorageError: there is no such run folder, or not the checkpoint that was named.
    """
    if checkpoint is not None and not checkpoint.is_file():
        raise StorageError("no such checkpoint", file=checkpoint, hint="leave it out to show last.ckpt")
    if not run.is_dir():
        raise StorageError("no such run folder", file=run, hint="give the folder that `depthmix fit` wrote")
    facts = RunFacts(run, data_root)
    config = _config(facts)
    _metrics(facts)
    _results(facts)
    _images(facts)
    _worst(facts)
    _sets(facts, config)
    _network(facts, run / "last.ckpt" if checkpoint is None else checkpoint, trust)
    _changed_data(facts)
    return facts


def _config(facts: RunFacts) -> dict[str, Any]:
    file = facts.folder / "config.yaml"
    if not file.is_file():
        facts.missing["config"] = "No config.yaml in the run folder: `depthmix fit --config …` writes it."
        return {}
    try:
        facts.config_text = read_yaml_text(file)
        config = parse_yaml(facts.config_text)[1]
    except (OSError, ValueError, yaml.YAMLError) as error:
        facts.problems.append(f"{file}: cannot be read: {' '.join(str(error).split())}")
        return {}
    return config if isinstance(config, dict) else {}


def _metrics(facts: RunFacts) -> None:
    file = facts.folder / "metrics.csv"
    if not file.is_file():
        facts.missing["curves"] = "No metrics.csv in the run folder yet: `depthmix fit --config …` writes it."
        return
    _try(facts, lambda: facts.curves.update(read_curves(file)))
    skipped = facts.curves.get("train/skipped")
    if skipped and skipped.values[-1]:
        facts.problems.append(
            f"{skipped.values[-1]:.0f} training steps had no finite gradient and were skipped; "
            "skipped.jsonl names their samples"
        )
    for name, curve in facts.curves.items():
        if curve.gaps:
            facts.problems.append(f"{name}: {curve.gaps} of {len(curve.values)} logged values are not finite")


def _results(facts: RunFacts) -> None:
    file = facts.folder / "test.json"
    if not file.is_file():
        command = f"depthmix test --config {facts.folder / 'config.yaml'}"
        facts.missing["results"] = (
            f"Not evaluated yet: run `{command} --ckpt_path {facts.folder / 'last.ckpt'}`."
        )
        return
    try:
        found = parse(read_plain(file, most=_MAX_RESULTS))
        rows = found["rows"]
        if not all(isinstance(row, dict) and {"set", "alignment"} <= row.keys() for row in rows):
            raise ValueError("its rows lack set or alignment")
        facts.results = found
    except DepthmixError as error:
        facts.problems.append(str(error))
    except (ValueError, KeyError, TypeError) as error:
        facts.problems.append(f"{file}: not a record of an evaluation ({error!r})")


def _images(facts: RunFacts) -> None:
    file = facts.folder / IMAGES
    if file.is_file():
        facts.images = _try(facts, lambda: read_images(file)) or []


def _worst(facts: RunFacts) -> None:
    file = facts.folder / WORST
    if not file.is_file():
        facts.missing["worst"] = (
            "Not asked for: `disagreement: {}` in the model section lists the samples whose loss stands out."
        )
        return
    try:
        entries = parse(read_plain(file, most=_MAX_RESULTS))["samples"]
        facts.worst = [_worst_entry(entry) for entry in entries]
    except DepthmixError as error:
        facts.problems.append(str(error))
    except (ValueError, KeyError, TypeError) as error:
        facts.problems.append(f"{file}: no list of samples ({error!r})")


def _worst_entry(entry: dict[str, Any]) -> dict[str, Any]:
    losses = {str(term): value for term, value in dict(entry["losses"]).items()}
    texts = {name: str(entry[name]) for name in ("sample", "source")}
    return (
        texts | {name: float(entry[name]) for name in ("mean_score", "weight", "seen")} | {"losses": losses}
    )


def _sets(facts: RunFacts, config: Mapping[str, Any]) -> None:
    data = config.get("data")
    data = data if isinstance(data, dict) else {}
    data = data.get("init_args", data)
    data = data if isinstance(data, dict) else {}
    specs = {name: _spec(name, spec) for name, spec in _mapping(data, "sources").items()}
    if not specs:
        found = _try(facts, lambda: find_sets(facts.data_root)) or []
        specs = {folder.name: (1.0, folder.name) for folder in found if folder != facts.data_root}
    total = sum(weight for weight, _ in specs.values()) or 1.0
    for name, (weight, path) in specs.items():
        _add(facts, name, "training", path, weight, weight / total)
    planned = expected_shares(data, facts.training, trained_steps(facts.curves))
    if planned:
        facts.sets = [replace(one, share=planned[one.name]) for one in facts.sets]
    seen = {(name, path) for name, (_, path) in specs.items()}
    for key, role in (("test_sources", "test"), ("val_sources", "validation")):
        for name, spec in _mapping(data, key).items():
            path = _spec(name, spec)[1]
            if (name, path) not in seen:
                _add(facts, name, role, path, None, None)
            seen.add((name, path))
    if not facts.sets:
        facts.missing["mix"] = f"No prepared set in {facts.data_root}: run `depthmix prepare` first."


def _mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return {str(name): spec for name, spec in found.items()} if isinstance(found, dict) else {}


def _spec(name: str, spec: object) -> tuple[float, str]:
    """Return weight and path of a source, however short its entry in the configuration is."""
    if isinstance(spec, str):
        return 1.0, spec
    entry = spec if isinstance(spec, dict) else {}
    weight = entry.get("weight", 1.0)
    return (float(weight) if isinstance(weight, int | float) else 1.0), str(entry.get("path") or name)


def _add(facts: RunFacts, name: str, role: str, path: str, weight: float | None, share: float | None) -> None:
    folder = facts.data_root / path  # an absolute path stays as it is
    shards = _try(facts, lambda: ShardSet(folder))
    facts.sets.append(SetFacts(name, role, folder, weight, share, shards))
    if shards is None:
        return
    skipped = len(shards.info["skipped"])
    if skipped:
        facts.problems.append(f"{name}: {skipped} of {skipped + len(shards)} samples were skipped, see below")


def _network(facts: RunFacts, checkpoint: Path, trust: bool) -> None:
    if not checkpoint.is_file():
        hint = "run `depthmix fit`, or name another checkpoint"
        facts.missing["network"] = f"No checkpoint at {checkpoint}, so there are no predictions: {hint}."
        return
    from depthmix.trained import load_trained

    facts.trained = _try(facts, lambda: load_trained(checkpoint, trust=trust))


def _changed_data(facts: RunFacts) -> None:
    """Compare what the network was trained on with what lies there now."""
    known = facts.trained.origin.data if facts.trained else {}
    for one in facts.training:
        if one.shards and one.name in known and known[one.name] != one.shards.root_hash:
            facts.problems.append(
                f"{one.name}: the data here is not what the network was trained on "
                f"(fingerprint {one.shards.root_hash[:12]}, then {known[one.name][:12]})"
            )


def _try(facts: RunFacts, work: Callable[[], Found]) -> Found | None:
    """Return what `work` returns; keep its error as a problem."""
    try:
        return work()
    except DepthmixError as error:
        facts.problems.append(str(error))
        return None
