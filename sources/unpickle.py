"""Read pickles of data sets without running what is inside: plain containers, numbers and arrays only."""

import io
import pickle
import pickletools
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from depthmix.errors import BadSource
from depthmix.sources.files import read_bytes, refusing

__all__ = ["read_pickle"]

_KINDS: Final = (set, frozenset, bytearray, bytes, complex)
# What pickles of plain data name besides what the format builds by itself.
_ALLOWED: Final = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): dict,
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in _KINDS},
}
# The two ways NumPy rebuilds arrays and single numbers, under the module names of its versions 1 and 2.
_REBUILT: Final = {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
}


def read_pickle(file: str | Path, *, max_bytes: int = 500_000_000) -> Any:
    """Read a pickle that holds containers, numbers, text and NumPy arrays.

    A pickle is a program. Everything that it may name is listed here; every other name is refused before
    anything of it is looked up, so that a file of a stranger runs nothing.

    Args:
        file: the pickle, of any protocol; text of Python 2 is read as Latin-1, as NumPy asks for.
        max_bytes: refuse larger files.

    Raises:
        BadSource: no such file, too large, damaged, it names something else, or asks for room that it cannot
            fill.
    """
    data = read_bytes(file, max_bytes=max_bytes)
    with refusing(file):
        _check_program(data)
        try:
            return _Unpickler(io.BytesIO(data), encoding="latin1").load()
        except _ForeignName as error:
            hint = "convert the file on a machine without secrets, or leave it out"
            raise BadSource(f"names {error}, which is no plain data", file=file, hint=hint) from error


def _check_program(data: bytes) -> None:
    """Walk through the program before it runs: sizes and places that it states must be possible.

    Unpicklers make room for what is stated, so a file of 500 bytes could ask for gigabytes.

    Raises:
        ValueError: a place of the memo lies beyond what the file can fill, or the program is damaged.
    """
    for code, argument, place in pickletools.genops(data):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(data):
            raise ValueError(f"stores under the number {argument} at byte {place} of {len(data)}")


class _ForeignName(Exception):
    """A pickle names something that is not allowed."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if (module, name) in _REBUILT:
            return getattr(import_module(f"numpy._core.{module.rsplit('.', 1)[1]}"), name)
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise _ForeignName(f"{module}.{name}")


def _encoded(text: str, encoding: str) -> bytes:
    # Protocol 2 writes bytes as Latin-1 text and this call; no other encoding is needed for that.
    if encoding != "latin1":
        raise _ForeignName(f"the encoding {encoding}")
    return text.encode("latin1")
