"""What each loss costs: time, launched operations, waits for the device and memory, forward and backward.

Every loss class of `depthmix.losses` is run with its default options on one generated batch. Times are CPU
times of one thread, medians over rounds, given as multiples of the floor of the same round: the time in which
the machine copies as many bytes as reading prediction, target and mask and writing the gradient takes.

Columns:
    ms         CPU milliseconds, forward and backward (raw losses: no objective, no network).
    floors     the same as a multiple of the floor.
    ops        operations that launch something (views do not); one number if it is equal for all batch sizes,
               masks and numbers of planes that were tried, else all the numbers that were met.
    waits      operations that make a GPU wait for the host or give shapes that depend on data.
    MB         most memory alive at once above that of the inputs.

Usage:
    python benchmarks/losses.py                          # a few minutes on an idle core
    python benchmarks/losses.py --only SilogLoss --compiled
    python benchmarks/losses.py --size 96 96 --rounds 1  # a smoke test
"""

import argparse
import json
import statistics
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from depthmix import losses
from depthmix.batch import Batch
from depthmix.losses import DepthLoss
from depthmix.prediction import HEADS, Prediction
from depthmix.sample import LabelKind, Quality

ROOT = Path(__file__).resolve().parent.parent
FOCAL = 400.0
SMALL = (96, 96)  # for counting; operations do not depend on the size of an image
MIXED = "whole mixed loss"
MIXED_PARTS = (
    "ScaleShiftInvariantLoss",
    "GradientMatchingLoss",
    "RankingLoss",
    "EdgeNormalLoss",
    "PlaneNormalLoss",
)
# Floors at most, eager and compiled: about a tenth of what public code of these losses was measured to take.
GOALS = dict.fromkeys(
    ("PlaneLoss", "PlaneNormalLoss", "PlaneAngleLoss", "PlaneOffsetLoss", "SamePlaneLoss", "ManhattanLoss"),
    135,
) | {"EdgeNormalLoss": 300, "RegionNormalisedLoss": 195, "LeastSquaresLoss": 40}
COMPILED_GOALS = {"LeastSquaresLoss": 12}
MEMORY_GOAL = 60.0  # MB
MIXED_OPERATIONS = 600

VIEWS = {
    "view", "expand", "select", "slice", "unsqueeze", "squeeze", "alias", "detach", "split", "t", "unbind",
    "permute", "transpose", "as_strided", "_unsafe_view", "_reshape_alias", "diagonal", "unfold",
    "split_with_sizes", "lift_fresh",
}  # fmt: skip
# Neither launch anything: types are worked out on the host, and a Python number becomes an argument.
HOST = {"promote_types", "scalar_tensor", "empty", "empty_like", "new_empty", "empty_strided"}
WAITS = {
    "_local_scalar_dense", "item", "nonzero", "masked_select", "unique_dim", "_unique2", "unique_consecutive",
    "multinomial", "is_nonzero", "equal", "_linalg_check_errors", "bincount", "repeat_interleave",
}  # fmt: skip


@dataclass
class Row:
    """Hold what was measured for one loss."""

    loss: str
    ms: float
    floors: float
    operations: list[int]
    waits: int
    megabytes: float
    compiled_floors: float | None = None


def main() -> None:
    """Measure, print a table and write it as JSON."""
    options = _options()
    torch.set_num_threads(1)
    names = options.only or [*_names(), MIXED]
    batch, log_canonical = make_inputs(8, options.size, planes=12)
    rows = [_measure(name, batch, log_canonical, options) for name in names]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"batch": 8, "size": options.size, "rounds": options.rounds, "torch": torch.__version__}
    options.out.write_text(json.dumps(facts | {"rows": [asdict(row) for row in rows]}, indent=1))
    _print(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*_names(), MIXED], metavar="LOSS")
    parser.add_argument("--size", type=int, nargs=2, default=[384, 384])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--compiled", action="store_true", help="time torch.compile (inductor) for all; takes long"
    )
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "losses.json")
    return parser.parse_args()


def _names() -> list[str]:
    classes = [getattr(losses, name) for name in losses.__all__]
    return [
        c.__name__ for c in classes if isinstance(c, type) and issubclass(c, DepthLoss) and c is not DepthLoss
    ]


# --- inputs -------------------------------------------------------------------------------------------------


def make_inputs(rows: int, size: Sequence[int], planes: int, holes: float = 0.04) -> tuple[Batch, Tensor]:
    """Make dense metric rows with planes, pairs, noise and edges, and a prediction for them."""
    h, w = size
    draw = torch.Generator().manual_seed(0)
    v, u = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
    slopes = torch.rand(rows, 3, 1, 1, generator=draw)
    inverse = torch.maximum(
        torch.minimum(0.2 + slopes[:, :1] * u, 0.9 - slopes[:, 1:2] * u), slopes[:, 2:] * v
    )
    inverse = (inverse + 0.05).clamp_min(0.02)
    steps = (torch.sin(9 * u) * torch.sin(7 * v) > 0.3) * 0.3
    inverse = inverse + steps
    valid = torch.rand(rows, 1, h, w, generator=draw) >= holes
    image = (inverse * 120 + 8 * torch.rand(rows, 3, h, w, generator=draw)).clamp(0, 255).to(torch.uint8)
    target = torch.where(valid, 1 / inverse, 0)
    points = [torch.randint(0, n, (rows, 512), generator=draw) for n in (w, h, w, h)]
    batch = Batch(
        image=image,
        target=target,
        valid=valid,
        sky=~valid,
        planes=_plane_map(rows, h, w, planes),
        sigma=0.02 * target.square(),
        intrinsics=torch.tensor([[1.1 * w, 1.1 * w, w / 2, h / 2]]).repeat(rows, 1),
        camera_known=torch.ones(rows, dtype=torch.bool),
        quality=torch.full((rows,), int(Quality.HIGH)),
        kind=torch.full((rows,), int(LabelKind.METRIC_DEPTH)),
        source=torch.zeros(rows, dtype=torch.long),
        pairs=torch.stack([*points, torch.randint(-1, 2, (rows, 512), generator=draw)], 2).int(),
    )
    noise = 0.05 * torch.randn(rows, 1, h, w, generator=draw)
    return batch, -(inverse * (1 + 0.3 * u)).log() + noise


def _plane_map(rows: int, h: int, w: int, planes: int) -> Tensor:
    """Cut the image into as many tiles as there shall be planes, with unlabelled seams."""
    across = max(1, round(planes**0.5))
    down = -(-planes // across)
    v, u = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    ids = (v * down // h) * across + u * across // w + 1
    seam = (v * down % h < down) | (u * across % w < across)
    ids = torch.where(seam | (ids > planes), 0, ids).int()
    return ids.expand(rows, 1, h, w).contiguous()


# --- measuring ----------------------------------------------------------------------------------------------


def _measure(name: str, batch: Batch, log_canonical: Tensor, options: argparse.Namespace) -> Row:
    parts = [_make(part) for part in (MIXED_PARTS if name == MIXED else (name,))]
    times, multiples, floor_bytes = [], [], _floor_bytes(batch, log_canonical)
    _run(parts, batch, _predict(parts, batch, log_canonical))
    for _ in range(options.rounds):
        floor, prediction = _floor_seconds(floor_bytes), _predict(parts, batch, log_canonical)
        started = time.process_time()
        _run(parts, batch, prediction)
        times.append(time.process_time() - started)
        multiples.append(times[-1] / floor)
    compile_it = options.compiled or name in COMPILED_GOALS
    compiled = _compiled(parts, batch, log_canonical, options) if compile_it else None
    counts, waits = _counts(parts)
    peak = _peak(parts, batch, log_canonical)
    row = Row(
        name, 1e3 * statistics.median(times), statistics.median(multiples), counts, waits, peak, compiled
    )
    print(_line(row), flush=True)
    return row


def _make(name: str) -> DepthLoss:
    loss: DepthLoss = getattr(losses, name)()
    return loss


def _predict(parts: Sequence[Any], batch: Batch, log_canonical: Tensor) -> Prediction:
    """Make leaves without a gradient: they are inputs, so neither their time nor their memory counts."""
    leaf = log_canonical.detach().requires_grad_()
    heads = [torch.zeros_like(leaf).requires_grad_() for _ in HEADS] if _needs_heads(parts) else []
    return Prediction(leaf, batch.intrinsics, FOCAL, *heads)


def _run(parts: Sequence[Any], batch: Batch, prediction: Prediction) -> None:
    for part in parts:
        part(prediction, batch, step=1).sum().backward()


def _needs_heads(parts: Sequence[DepthLoss]) -> bool:
    return any(set(HEADS) & set(getattr(part, "needs", ())) for part in parts)


def _floor_bytes(batch: Batch, log_canonical: Tensor) -> int:
    read = (log_canonical, batch.target, batch.valid)
    return sum(t.numel() * t.element_size() for t in (*read, log_canonical))


def _floor_seconds(count: int) -> float:
    """Time the copying of half the bytes (each is read and written); the best of some tries."""
    source = torch.empty(count // 2, dtype=torch.uint8).fill_(1)
    goal = torch.empty_like(source).fill_(0)
    tries = []
    for _ in range(7):
        started = time.process_time()
        for _ in range(4):
            goal.copy_(source)
        tries.append((time.process_time() - started) / 4)
    return statistics.median(tries)


def _compiled(
    parts: Sequence[DepthLoss], batch: Batch, log_canonical: Tensor, options: argparse.Namespace
) -> float:
    torch._dynamo.reset()
    compiled = [torch.compile(part, fullgraph=True) for part in parts]
    _run(compiled, batch, _predict(parts, batch, log_canonical))
    multiples = []
    for _ in range(options.rounds):
        floor = _floor_seconds(_floor_bytes(batch, log_canonical))
        prediction = _predict(parts, batch, log_canonical)
        started = time.process_time()
        _run(compiled, batch, prediction)
        multiples.append((time.process_time() - started) / floor)
    return statistics.median(multiples)


def _counts(parts: Sequence[DepthLoss]) -> tuple[list[int], int]:
    found, waits = [], 0
    for rows, planes, holes in ((2, 1, 0.04), (8, 12, 0.04), (32, 40, 0.04), (2, 40, 0.99), (2, 1, 1.0)):
        batch, log_canonical = make_inputs(rows, SMALL, planes, holes)
        prediction = _predict(parts, batch, log_canonical)
        with _Counter() as counter:
            _run(parts, batch, prediction)
        found.append(counter.operations)
        waits = max(waits, counter.waits)
    return sorted(set(found)), waits


class _Counter(TorchDispatchMode):
    operations = waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.operations += name not in VIEWS | HOST
        by_mask = name in ("index", "index_put", "index_put_") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        self.waits += name in WAITS or by_mask
        return func(*args, **(kwargs or {}))


def _peak(parts: Sequence[DepthLoss], batch: Batch, log_canonical: Tensor) -> float:
    """Return the most memory alive at once above that of the inputs, in MB of 10^6 bytes."""
    prediction = _predict(parts, batch, log_canonical)
    with _Memory() as memory:
        _run(parts, batch, prediction)
    return memory.peak / 1e6


class _Memory(TorchDispatchMode):
    """Follow the storages that operations make, from birth until nothing refers to them."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage()._cdata for t in _tensors((args, kwargs or {}))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._follow(tensor.untyped_storage(), given)
        self.peak = max(self.peak, self.alive)
        return result

    def _follow(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in given or key in self.known:
            return
        self.known.add(key)
        self.alive += size
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.alive -= size


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, Tensor))


# --- table --------------------------------------------------------------------------------------------------


def _print(rows: Sequence[Row]) -> None:
    print("\n| loss | ms | floors | compiled | ops | waits | MB | goal |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(_line(row))


def _line(row: Row) -> str:
    compiled = "-" if row.compiled_floors is None else f"{row.compiled_floors:.1f}"
    operations = ", ".join(map(str, row.operations))
    cells = (
        f"{row.ms:.1f}",
        f"{row.floors:.0f}",
        compiled,
        operations,
        str(row.waits),
        f"{row.megabytes:.0f}",
    )
    return f"| {row.loss} | {' | '.join(cells)} | {_verdict(row)} |"


def _verdict(row: Row) -> str:
    if row.loss == MIXED:
        few = len(row.operations) == 1 and row.operations[0] <= MIXED_OPERATIONS and not row.waits
        return f"ops <= {MIXED_OPERATIONS}, constant, 0 waits {'met' if few else 'missed'}"
    limits = [
        ("floors", row.floors, GOALS.get(row.loss)),
        ("compiled", row.compiled_floors, COMPILED_GOALS.get(row.loss)),
        ("MB", row.megabytes, MEMORY_GOAL),
    ]
    return ", ".join(
        f"{name} <= {limit:g} {'met' if value <= limit else 'missed'}"
        for name, value, limit in limits
        if limit is not None and value is not None
    )


if __name__ == "__main__":
    main()
