"""Mistakes in a configuration are found where they stand."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import pytest
import yaml

from depthmix.cli.schema import call_problems, read_document, resolve_class


class Animal(ABC):
    @abstractmethod
    def noise(self) -> str: ...


class Dog(Animal):
    def __init__(self, loud: bool = True) -> None:
        self.loud = loud

    def noise(self) -> str:
        return "woof"


@dataclass
class Food:
    grams: float = 1.0
    kind: Literal["dry", "wet"] = "dry"


class Zoo:
    def __init__(self, name: str, pets: dict[str, Animal], food: Food | None = None, days: int = 1) -> None:
        pass


def problems(text: str) -> list[str]:
    found = call_problems(yaml.compose(text), Zoo, "zoo")
    return [f"{p.line}:{p.column} {p.where}: {p.text}" for p in found]


def test_a_right_configuration_has_no_problems():
    assert not problems(
        "name: a\npets: {rex: {class_path: Dog, init_args: {loud: false}}, bo: Dog}\nfood: {grams: 2}"
    )


def test_an_unknown_option_is_answered_with_the_nearest_known_one():
    assert problems("nane: a\nname: b\npets: {}") == ["1:1 zoo.nane: unknown option; did you mean 'name'?"]


def test_the_place_of_a_nested_mistake_is_given():
    text = "name: a\npets:\n  rex:\n    class_path: Dog\n    init_args: {lout: true}"
    assert problems(text) == ["5:17 zoo.pets.rex.init_args.lout: unknown option; did you mean 'loud'?"]


def test_an_unknown_class_is_answered_with_the_nearest_known_one():
    assert problems("name: a\npets: {rex: Dogg}") == [
        "2:13 zoo.pets.rex: no Animal is called 'Dogg'; did you mean 'Dog'?"
    ]


def test_all_mistakes_are_reported_at_once():
    found = problems("pets: []\ndays: soon\nfood: {grams: much, kind: moist}")
    assert [line.split(": ")[1] for line in found] == [
        "must be a mapping from names, got a list",
        "must be a whole number, got 'soon'",
        "must be a number, got 'much'",
        "must be one of dry, wet, got 'moist'",
        "lacks the option 'name'",
    ]


def test_null_is_taken_only_where_it_may_be():
    assert not problems("name: a\npets: {}\nfood: null")
    assert problems("name: a\npets: {}\ndays: null") == ["3:7 zoo.days: must be a whole number, got 'null'"]


@pytest.mark.parametrize("path", ["os.system", "subprocess.Popen", "no.such.module.Dog", "Cat"])
def test_a_class_that_is_not_of_the_wanted_kind_does_not_resolve(path):
    assert resolve_class(path, Animal) is None


def test_a_class_resolves_by_short_name_and_by_path():
    assert resolve_class("Dog", Animal) is Dog
    assert resolve_class(f"{__name__}.Dog", Animal) is Dog


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1,\n", "not valid YAML"),
        (b"- a\n", "must be a mapping"),
        (b"", "must be a mapping"),
        (b"\xff\xfe\x00", "is not a UTF-8 text file"),
        (b"a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_files_that_are_no_configuration_are_refused_in_one_line(tmp_path, content, said):
    file = tmp_path / "mix.yaml"
    file.write_bytes(content)
    document, found = read_document(file)
    assert document is None
    assert said in found[0].text


def test_a_missing_file_is_named(tmp_path):
    _, found = read_document(tmp_path / "no.yaml")
    assert (
        found[0].located(tmp_path / "no.yaml")
        == f"{tmp_path}/no.yaml:1:1: cannot be read: No such file or directory"
    )


def test_a_key_given_twice_is_a_problem(tmp_path):
    file = tmp_path / "mix.yaml"
    file.write_text("data:\n  root: a\n  root: b\n")
    _, found = read_document(file)
    assert [p.located(file) for p in found] == [f"{file}:3:3: data.root: is given twice"]
