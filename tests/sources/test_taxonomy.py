"""Roles belong to names; classes of the reviewed taxonomies have one, spelled as their data set does."""

from pathlib import Path

import pytest

from depthmix.errors import BadSource
from depthmix.sources.segmentation import read_class_names
from depthmix.sources.taxonomy import Role, own_roles, plain_name, role_of, roles_of

FILE = Path("names.txt")
FOLDER = Path(__file__).parents[1] / "data" / "taxonomies"
COUNTS = {"cityscapes": 34, "coco_panoptic": 133, "ade20k": 150, "mapillary": 66}

SPELLINGS = {
    "cityscapes": [
        "unlabeled",
        "ego vehicle",
        "out of roi",
        "ground",
        "rail track",
        "polegroup",
        "license plate",
    ],
    "coco": [
        "floor-wood",
        "wall-brick",
        "window-other",
        "tree-merged",
        "sky-other-merged",
        "pavement-merged",
    ],
    "coco more": ["door-stuff", "mirror-stuff", "water-other", "building-other-merged", "wall-other-merged"],
    "ade20k": [
        "windowpane",
        "crt screen",
        "trade name",
        "chest of drawers",
        "swimming pool",
        "bulletin board",
    ],
    "mapillary": [
        "Lane Marking - Crosswalk",
        "Traffic Sign (Back)",
        "CCTV Camera",
        "Crosswalk - Plain",
        "Other Vehicle",
    ],
    "nyu40": ["refridgerator", "night stand", "floor mat", "otherstructure", "shower curtain", "whiteboard"],
}


@pytest.mark.parametrize("taxonomy", SPELLINGS)
def test_names_of_the_reviewed_taxonomies_have_a_role(taxonomy):
    assert all(isinstance(role_of(name), Role) for name in SPELLINGS[taxonomy])


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("road", Role.GROUND),
        ("Lane Marking - General", Role.GROUND),
        ("floor-other-merged", Role.GROUND),
        ("ceiling-merged", Role.PLANE),
        ("table-merged", Role.PLANE),
        ("wall-other-merged", Role.PIECEWISE),
        ("Building", Role.PIECEWISE),
        ("sky-other-merged", Role.SKY),
        ("Sky", Role.SKY),
        ("mirror-stuff", Role.OTHER),
        ("window-other", Role.OTHER),
        ("water-other", Role.OTHER),
    ],
)
def test_roles_are_those_that_were_reviewed(name, role):
    assert role_of(name) is role


def test_only_sky_is_sky():
    assert role_of("skyscraper") is Role.PIECEWISE


@pytest.mark.parametrize("taxonomy", COUNTS)
def test_every_name_of_a_reviewed_taxonomy_has_a_role(taxonomy):
    names = (FOLDER / f"{taxonomy}.txt").read_text(encoding="utf-8").splitlines()
    assert len(names) == len(set(names)) == COUNTS[taxonomy]
    assert [name for name in names if role_of(name) is None] == []
    assert [plain_name(name) for name in names if role_of(name) is Role.SKY] == ["sky"]
    assert len([name for name in names if role_of(name) in (Role.GROUND, Role.PLANE)]) >= 5


def test_several_words_for_one_class_count_by_the_first(tmp_path):
    assert role_of("building, edifice") is role_of("building;edifice") is Role.PIECEWISE
    assert role_of("floor, flooring") is Role.GROUND
    file = tmp_path / "names.txt"
    file.write_text("2 building, edifice\n3, sky\n4;floor;flooring\n5\troad, route\n")
    names = read_class_names(file)
    assert names == {2: "building, edifice", 3: "sky", 4: "floor;flooring", 5: "road, route"}
    assert set(roles_of(names, {}, file).values()) == {Role.PIECEWISE, Role.SKY, Role.GROUND}


@pytest.mark.parametrize("line", ["road", "1", "-1 license plate", "1 road\n1 car"])
def test_a_table_of_names_that_is_none_is_refused(tmp_path, line):
    file = tmp_path / "names.txt"
    file.write_text(f"{line}\n")
    with pytest.raises(BadSource, match=f"names.txt: {line.splitlines()[-1]}: must hold lines"):
        read_class_names(file)


def test_an_unknown_name_is_an_error_and_an_own_role_mends_it():
    with pytest.raises(BadSource, match=r"names\.txt: class names: the class 'teleporter' is not"):
        roles_of({1: "road", 2: "teleporter"}, {}, FILE)
    assert roles_of({1: "road", 2: "teleporter"}, own_roles({"Teleporter": "plane"}), FILE)[2] is Role.PLANE
    assert roles_of({1: "road"}, own_roles({"road": "other"}), FILE)[1] is Role.OTHER
    with pytest.raises(ValueError, match="`roles` must hold one of ground, plane"):
        own_roles({"road": "flat"})


def test_a_name_of_filler_words_alone_stays_a_name():
    assert plain_name("other") == "other"
