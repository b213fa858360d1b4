"""One run in a process of its own: `python -m depthmix.bench.one` reads the run as JSON from standard input.

It trains the network unless that was done before, measures it unless that was done before, and writes both
below its folder. What is written is there completely or not at all, so a killed run is simply done again.
"""

import json
import sys
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthmix.bench.baselines import Calibrated, Line, fit_line, network_places, nowhere, row_places
from depthmix.bench.corpus import BLOCKS, METRIC, METRIC_VAL
from depthmix.bench.measuring import image_rows, mean_of
from depthmix.bench.settings import Settings
from depthmix.bench.training import fit, make_data, make_task
from depthmix.errors import DepthmixError
from depthmix.store.record import commit, storage_errors
from depthmix.terms import learns_metres

__all__ = ["Run", "load_network", "main", "run"]


@dataclass(frozen=True, slots=True)
class Run:
    """Hold everything that one run needs.

    Args:
        recipe: name of the recipe.
        values: its configuration; empty for a baseline.
        seed: of initial weights, order and augmentation.
        settings: what all recipes have in common.
        prepared: folder of the prepared sets.
        folder: where its results go; the name depends on everything that they depend on.
        measured: name of the file of its measures in that folder.
        on: block that is measured, test or val.
    """

    recipe: str
    values: dict[str, Any]
    seed: int
    settings: Settings
    prepared: Path
    folder: Path
    measured: str
    on: str

    @property
    def finished(self) -> bool:
        """Whether the run was trained and measured."""
        return (self.folder / "run.json").is_file() and (self.folder / self.measured).is_file()

    def dumped(self) -> str:
        """Write the run as JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def loaded(cls, text: str) -> "Run":
        """Read a run that `dumped` wrote."""
        facts = json.loads(text)
        facts["settings"] = Settings(**facts["settings"])
        facts |= {name: Path(facts[name]) for name in ("prepared", "folder")}
        return cls(**facts)


def main() -> int:
    """Do the run that standard input describes; one line on standard error says what went wrong."""
    torch.set_num_threads(1)
    try:
        run(Run.loaded(sys.stdin.read()))
    except DepthmixError as error:
        sys.stderr.write("; ".join(str(error).split("\n")) + "\n")
        return 1
    return 0


def run(one: Run) -> None:
    """Train and measure what is missing of one run.

    Raises:
        DepthmixError: the recipe does not fit the corpus, the training diverged, or the folder cannot be
            written.
    """
    with storage_errors(one.folder):
        one.folder.mkdir(parents=True, exist_ok=True)
    if not (one.folder / "run.json").is_file():
        _train(one)
    rows = image_rows(load_network(one), one.prepared, BLOCKS[one.on], one.settings)
    _write(one.folder / one.measured, rows)


def load_network(one: Run) -> nn.Module:
    """Build the network of a run that is trained; one that learned no metres is calibrated."""
    facts = json.loads((one.folder / "run.json").read_text(encoding="utf-8"))
    if not one.values:
        return Line(_PLACES[one.recipe], *facts["line"]).eval()
    net = make_task(one.values, one.settings).net
    net.load_state_dict(torch.load(one.folder / "net.pt", weights_only=True))
    net.eval()
    return Calibrated(net, *facts["line"]).eval() if facts["line"] else net


_PLACES = {"constant": nowhere, "ramp": row_places}


def _train(one: Run) -> None:
    facts: dict[str, Any] = {"recipe": one.recipe, "seed": one.seed, "settings": asdict(one.settings)}
    if one.values:
        relative = _is_relative(one)
        task, curve, seconds = fit(
            one.values,
            one.settings,
            one.seed,
            one.prepared,
            one.folder,
            lambda net: _look(one, net, relative),
        )
        task.eval()
        line = _calibration(one, task.net) if relative else None
        weights = BytesIO()
        torch.save(task.net.state_dict(), weights)
        commit(one.folder / "net.pt", weights.getvalue())
        facts |= {"line": line, "curve": curve, "cpu_seconds": seconds, "values": one.values}
    else:
        facts |= {"line": _line(one, METRIC, _PLACES[one.recipe]), "curve": [], "cpu_seconds": 0.0}
    _write(one.folder / "run.json", facts)


def _look(one: Run, net: nn.Module, relative: bool) -> dict[str, float]:
    """Return AbsRel on the validation scenes, as predicted and after the affine fit, mean of the families."""
    seen = Calibrated(net, *_calibration(one, net)) if relative else net
    rows = image_rows(seen, one.prepared, BLOCKS["val"], one.settings)
    kinds = ("none", "affine_inverse_depth")
    found = {f"abs_rel/{kind}": mean_of(rows, "abs_rel", kind) for kind in kinds}
    return {name: value for name, value in found.items() if value is not None}


def _is_relative(one: Run) -> bool:
    cards = make_data(one.values, one.settings, one.seed, one.prepared).cards
    return not learns_metres(make_task(one.values, one.settings).terms, cards)


def _calibration(one: Run, net: nn.Module) -> tuple[float, float]:
    """Fit the scale and shift that give metres to a relative network, on the metric validation sets."""
    return _line(one, METRIC_VAL, network_places(net))


def _line(one: Run, names: tuple[str, ...], places: Any) -> tuple[float, float]:
    size = (one.settings.height, one.settings.width)
    return fit_line(places, one.prepared, names, size, one.settings.focal)


def _write(file: Path, facts: Any) -> None:
    commit(file, json.dumps(facts, indent=1).encode("ascii"))


if __name__ == "__main__":
    sys.exit(main())
