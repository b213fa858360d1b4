"""The copies of constructors that `check` reads without torch refuse what the constructors refuse."""

import ast
import inspect
from typing import get_args, get_origin, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import depthmix.losses
import depthmix.models
from depthmix import kinds
from depthmix.cli import constructors
from depthmix.cli.check import PLAIN_NETS, config_problems
from depthmix.errors import DepthmixError
from docs import make_constructors
from tests.cli.test_check import MISTAKES, config, put, sets

__all__ = ["sets"]

RECORDS = ("EdgeMask", "Disagreement", "DeviceAugmentOptions")
LOSSES = [name for name, module in constructors.ORIGINS.items() if module.startswith("depthmix.losses.")]
BUILT = sorted(set(LOSSES) - {"DepthLoss", "EdgeMask"})
NUMBERS = [-1, 0, 1, 2, 3, 8, 45, 65, 1000, -0.5, 0.04, 0.3, 0.999, 1.5, float("inf"), float("nan")]
LISTS = [[], [1], [8], [8, 16], [16, 64, 128], [0], [0.5, 0.25], [0.1, 0.5], [8] * 11, ["edges"], ["edgy"]]


def outcome(kind: type, options: dict[str, object]) -> str:
    try:
        kind(**options)
    except (DepthmixError, ValueError, TypeError, IndexError) as error:
        return f"{type(error).__name__}: {error}"
    return "built"


def values_of(hint: object) -> list[object]:
    """List values of the form that `check` lets through, right and wrong."""
    if type(None) in get_args(hint):
        (inner,) = (one for one in get_args(hint) if one is not type(None))
        return [None, *values_of(inner)]
    if "Literal" in str(get_origin(hint)):
        return list(get_args(hint))
    if hint is int:
        return [number for number in NUMBERS if isinstance(number, int)]
    named = {bool: [True, False], str: ["web"], float: NUMBERS}
    return named.get(hint, LISTS)


def options_of(name: str) -> dict[str, list[object]]:
    kind = getattr(constructors, name)
    hints = get_type_hints(kind.__init__)
    return {one: values_of(hints[one]) for one in inspect.signature(kind).parameters if one in hints}


@st.composite
def builds(draw: st.DrawFn, names: list[str]) -> tuple[str, dict[str, object]]:
    name = draw(st.sampled_from(names))
    options = options_of(name)
    chosen = draw(st.lists(st.sampled_from(list(options)), unique=True)) if options else []
    return name, {one: draw(st.sampled_from(options[one])) for one in chosen}


def real(name: str) -> type:
    return next(getattr(one, name) for one in (depthmix.losses, depthmix.models, kinds) if hasattr(one, name))


def test_the_copies_are_up_to_date():
    made = ast.parse(make_constructors.text())
    assert ast.dump(made) == ast.dump(ast.parse(make_constructors.OUT.read_text())), (
        "run docs/make_constructors.py"
    )


@pytest.mark.parametrize("name", [*BUILT, *RECORDS])
def test_a_copy_refuses_each_value_of_each_option_with_the_same_words(name):
    for option, values in options_of(name).items():
        for value in values:
            build = {option: value}
            assert outcome(getattr(constructors, name), build) == outcome(real(name), build), build


@settings(max_examples=60)
@given(builds([*BUILT, *RECORDS]))
def test_a_copy_refuses_the_same_options_together(build):
    name, options = build
    assert outcome(getattr(constructors, name), options) == outcome(real(name), options)


@settings(max_examples=25)
@given(builds(list(PLAIN_NETS)))
def test_a_network_and_its_copy_refuse_the_same_options(build):
    name, options = build
    options["bottleneck" if name == "LightDepthNet" else "pretrained"] = (
        1 if name == "LightDepthNet" else None
    )
    assert outcome(getattr(constructors, name), options) == outcome(real(name), options)


@pytest.mark.parametrize("name", BUILT)
def test_a_copy_states_which_labels_its_loss_accepts(name):
    copy, loss = getattr(constructors, name), getattr(depthmix.losses, name)
    assert (copy.accepts, copy.needs) == (loss.accepts, loss.needs)


@pytest.mark.parametrize(("path", "value"), [case[:2] for case in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_the_light_and_the_full_check_find_the_same(tmp_path, sets, path, value):
    values = config(sets)
    put(values, path, value)
    file = tmp_path / "mix.yaml"
    file.write_text(yaml.safe_dump(values))
    light, full = (config_problems(file, light=light) for light in (True, False))
    assert light == full
    assert light
