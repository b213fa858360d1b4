"""Run an ONNX file as a function of images."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from depthmix.errors import ConfigError
from depthmix.export.measure import Run

__all__ = ["EXTRA", "onnx_runner"]

EXTRA = "pip install depthmix[export]"


def onnx_runner(data: bytes) -> Run:
    """Return what the file computes, on one thread of the CPU.

    Raises:
        ConfigError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("onnxruntime is not installed", field="format onnx", hint=EXTRA) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def run(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        return torch.from_numpy(session.run(None, {"image": image.numpy()})[0])

    return run
