"""Write exported files, and compare each one with the network that it was made from."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from depthmix.artefact import FACTS, WEIGHTS
from depthmix.errors import ConfigError, DepthmixError
from depthmix.export.folder import packed_weights, write_card, write_folder
from depthmix.export.graph import CanonicalDepth, describe, public_facts
from depthmix.export.measure import Run
from depthmix.export.runner import EXTRA, onnx_runner
from depthmix.store.record import commit, storage_errors
from depthmix.trained import Trained

__all__ = ["FORMATS", "LIMIT", "Exported", "export_network"]

LIMIT: Final = 1e-4  # largest relative difference that an exported file may have
BATCHES: Final = (1, 3)  # that files are tried with
MOST: Final = 4096  # rows of a batch that a file must take


@dataclass(frozen=True)
class Exported:
    """Say what was written.

    Args:
        file: where it lies; the folder itself for `hf`.
        error: largest relative difference of canonical depth to the network itself, over batches of one and
            three images; None for weights alone, which are the same bits.
    """

    file: Path
    error: float | None


def export_network(
    trained: Trained,
    out: Path,
    *,
    stem: str = "model",
    formats: Sequence[str] = ("onnx",),
    size: tuple[int, int] | None = None,
    rows: Sequence[Mapping[str, Any]] = (),
    without: str | None = None,
) -> list[Exported]:
    """Write a network in each format, for images of one size and batches of any.

    Every file is loaded again and compared with the network before it is kept; every file says what its
    numbers mean. `safetensors` holds the weights alone, for `load_trained`; `hf` makes the folder itself one
    of the Hugging Face hub, which `load_trained` reads, too.

    Args:
        trained: the network and what its checkpoint says.
        out: folder to write to; made where it is missing.
        stem: name of the files without ending.
        formats: some of `FORMATS`.
        size: height and width of the images; by default those of training.
        rows: of its evaluation, for the model card of `hf`.
        without: why there are no rows.

    Raises:
        ConfigError: an unknown format, two forms of one file, an impossible size, or a package that is
            needed is not installed.
        DepthmixError: a file computes something else than the network.
        StorageError: a file cannot be written.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ConfigError(f"unknown format {unknown[0]!r}", field="format", hint=f"use {', '.join(FORMATS)}")
    if {"safetensors", "hf"} <= set(formats) and f"{stem}.safetensors" == WEIGHTS:
        hint = "write them to two folders"
        raise ConfigError(f"both forms would write {WEIGHTS}", file=out, field="format", hint=hint)
    height, width = size or (trained.height, trained.width)
    graph = CanonicalDepth(trained.net).eval()
    with torch.no_grad():
        try:
            graph(_images(1, height, width))
        except (RuntimeError, ValueError) as error:
            reason = f"the network does not take {height} x {width} pixels: {error}"
            raise ConfigError(reason, field="size") from error
        with storage_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        found = [FORMATS[name](trained, graph, out / f"{stem}.{name}", height, width) for name in formats]
    if "hf" in formats:
        write_card(trained, out, rows=rows, without=without)
    return found


def _onnx(trained: Trained, graph: CanonicalDepth, file: Path, height: int, width: int) -> Exported:
    try:
        import onnxruntime  # noqa: F401  (for the comparison; better missed now than after the work)
        import onnxscript  # noqa: F401  (torch needs it, and would say so in its own words)
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed", field="format onnx", hint=EXTRA) from error
    dynamic = ({0: torch.export.Dim("batch", min=1, max=MOST)},)
    with warnings.catch_warnings(), _quiet(), _written_down(trained, file):
        warnings.simplefilter("ignore")  # torch's own, about its exporter
        program: Any = torch.onnx.export(
            graph,
            (_images(2, height, width),),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=["canonical_depth"],
            dynamic_shapes=dynamic,
        )
    program.model.metadata_props["depthmix"] = describe(trained, height, width)
    with TemporaryDirectory() as folder:  # torch writes files only
        temporary = Path(folder) / "model.onnx"
        program.save(temporary)
        data = temporary.read_bytes()
    with _written_down(trained, file):  # a graph of one size of batch is found out when it runs
        difference = _compare(graph, onnx_runner(data), height, width, file)
    return _kept(file, data, difference)


def _pt2(trained: Trained, graph: CanonicalDepth, file: Path, height: int, width: int) -> Exported:
    dynamic = ({0: torch.export.Dim("batch", min=1, max=MOST)},)
    with _written_down(trained, file):
        program = torch.export.export(graph, (_images(2, height, width),), dynamic_shapes=dynamic)
    about = {"depthmix.json": describe(trained, height, width)}
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about tensors that share memory
        temporary = Path(folder) / "model.pt2"
        torch.export.save(program, temporary, extra_files=about)
        data = temporary.read_bytes()
        run: Run = torch.export.load(temporary).module()
    return _kept(file, data, _compare(graph, run, height, width, file))


def _safetensors(trained: Trained, graph: CanonicalDepth, file: Path, height: int, width: int) -> Exported:
    if trained.spec is None:
        raise ConfigError("the checkpoint does not say how its network is built", field="format safetensors")
    facts = {FACTS: json.dumps(public_facts(trained))}
    return _kept(file, packed_weights(trained.net.state_dict(), facts, field="format safetensors"), None)


def _hf(trained: Trained, graph: CanonicalDepth, file: Path, height: int, width: int) -> Exported:
    write_folder(trained, file.parent)
    return Exported(file.parent, None)


FORMATS: Final = {"onnx": _onnx, "pt2": _pt2, "safetensors": _safetensors, "hf": _hf}


def _kept(file: Path, data: bytes, error: float | None) -> Exported:
    commit(file, data)
    return Exported(file, error)


@contextmanager
def _written_down(trained: Trained, file: Path) -> Iterator[None]:
    """Turn torch's pages about what it cannot trace into one line."""
    try:
        yield
    except DepthmixError:
        raise
    except Exception as error:  # its exporters raise whatever the traced code and theirs raise
        kind = (trained.spec or {}).get("class_path", type(trained.net).__name__)
        what = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:200]
        reason = f"torch cannot write a graph of {kind} for batches of any size ({what})"
        hint = "its weights can go as safetensors or hf"
        raise DepthmixError(reason, file=file, hint=hint) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch says about packages that it would look into if they were there."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        yield
    finally:
        exporter.setLevel(level)


def _compare(graph: CanonicalDepth, run: Run, height: int, width: int, file: Path) -> float:
    worst = 0.0
    for count in BATCHES:
        image = _images(count, height, width)
        expected = graph(image)
        worst = max(worst, float(((run(image) - expected) / expected).abs().max()))
    if not worst <= LIMIT:
        reason = (
            f"computes other numbers than the network: off by {worst:.1e}, at most {LIMIT:.0e} is allowed"
        )
        raise DepthmixError(reason, file=file, hint="it was not kept; please report this")
    return worst


def _images(count: int, height: int, width: int) -> Float[Tensor, "b 3 h w"]:
    """Return smooth random images: the same ones for the same size."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((count, 3, max(height // 8, 1), max(width // 8, 1)), generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
