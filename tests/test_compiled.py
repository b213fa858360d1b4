"""A compiled network trains, saves and loads like any other."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything
from torch import Tensor, nn

from depthmix.errors import ConfigError
from depthmix.models import LightDepthNet
from depthmix.task import DepthTask, load_trained
from tests.small_run import differences
from tests.test_task import task, trainer
from tests.toy_data import ToyData

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # what torch.compile does with itself
    pytest.mark.filterwarnings("ignore::FutureWarning:torch"),
]


def tiny() -> LightDepthNet:
    return LightDepthNet(widths=(8,), bottleneck=1)


def trained(folder: Path, **options: Any) -> DepthTask:
    seed_everything(3)
    module, run = task(tiny(), **options), trainer(folder, logger=False)
    run.fit(module, ToyData(steps=2))
    run.save_checkpoint(folder / "last.ckpt")
    return module


def use(backend: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch.compile trace as ever, but hand the graph to something quicker than a compiler."""
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))


def test_a_compiled_network_trains_alike_and_its_checkpoint_is_that_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    graphs: list[nn.Module] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        found: Callable[..., Any] = graph.forward
        return found

    plain = trained(tmp_path / "plain")
    assert not graphs
    use(backend, monkeypatch)
    fast = trained(tmp_path / "fast", compile=True)
    assert graphs
    assert not differences(plain.state_dict(), fast.state_dict())
    state = torch.load(tmp_path / "fast" / "last.ckpt", weights_only=True)["state_dict"]
    assert state.keys() == plain.state_dict().keys()
    image = torch.rand(1, 3, 32, 40)
    assert torch.equal(load_trained(tmp_path / "fast" / "last.ckpt").net(image), plain.net.eval()(image))


def test_where_nothing_compiles_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        raise RuntimeError("No working C++ compiler found\nin any place")

    use(backend, monkeypatch)
    with pytest.raises(ConfigError) as found:
        trained(tmp_path, compile=True)
    (line,) = str(found.value).splitlines()
    assert line.startswith("model.compile: torch.compile failed: No working C++ compiler found; ")
    assert line.endswith("install a compiler (g++; on a GPU, Triton), or set `compile: false`")


def test_only_training_steps_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        raise RuntimeError

    use(backend, monkeypatch)
    trainer(tmp_path, logger=False).test(task(tiny(), compile=True), ToyData(), verbose=False)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"checkpoint_gradients": True}])
def test_the_compiler_of_this_machine_gives_the_same_network(tmp_path: Path, more: dict[str, Any]):
    torch.compiler.reset()
    plain, fast = trained(tmp_path / "plain"), trained(tmp_path / "fast", compile=True, **more)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fast.state_dict()[name], value, rtol=1e-3, atol=1e-4)
