"""Networks compute where they are asked to, or say why they cannot."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from depthmix.errors import ConfigError
from depthmix.predict import DEVICES, on_device
from tests.predict.networks import trained


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


class Moved(nn.Module):
    """Remember where it was moved to, without such a device being there."""

    def to(self, device):
        self.place = device
        return self


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_computes(device):
    assert on_device(replace(trained(), net=Moved()), device).net.place == "cpu"


@pytest.mark.usefixtures("gpu")
def test_a_gpu_computes_where_there_is_one_unless_the_cpu_is_asked_for():
    assert [on_device(replace(trained(), net=Moved()), name).net.place for name in DEVICES] == [
        "cuda",
        "cpu",
        "cuda",
    ]


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("version", "said"), [(None, "torch was built without CUDA"), ("13.0", "torch finds no CUDA device")]
)
def test_a_gpu_that_is_not_there_is_one_clear_line(monkeypatch, version, said):
    monkeypatch.setattr(torch.version, "cuda", version)
    with pytest.raises(ConfigError, match=f"^device: {said}; predict with --device cpu$"):
        on_device(trained(), "cuda")


@pytest.mark.usefixtures("gpu")
def test_a_gpu_without_room_is_one_clear_line():
    class Heavy(nn.Module):
        def to(self, device):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nand a page of advice")

    with pytest.raises(
        ConfigError, match=r"device: the network cannot be moved to cuda: CUDA out .* 2 GiB; p"
    ):
        on_device(replace(trained(), net=Heavy()), "auto")


def test_an_unknown_device_is_named():
    with pytest.raises(ConfigError, match="device: must be one of auto, cpu, cuda, got 'tpu'"):
        on_device(trained(), "tpu")
