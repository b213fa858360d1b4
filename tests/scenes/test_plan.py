"""The plan: shares of the families, names without clashes, and no scene in two splits."""

from collections import Counter

import pytest

from depthmix.scenes.layouts import file_names
from depthmix.scenes.plan import PRESETS, SHARES, TRAINING, Job, Preset, jobs_of, scene_seed


def _seeds(preset: Preset, split: str, attempts: int = 3) -> set[tuple[int, ...]]:
    return {
        tuple(scene_seed(7, job, attempt).generate_state(4).tolist())
        for job in jobs_of(preset)
        if job.split == split
        for attempt in range(attempts)
    }


def test_training_validation_and_evaluation_never_share_a_scene():
    preset = PRESETS["core"]
    train, val, evaluation = (_seeds(preset, split) for split in ("train", "val", "eval"))
    assert len(train) == 3 * 4 * preset.train
    assert len(val) == 3 * 4 * preset.val
    assert len(evaluation) == 3 * 3 * preset.evaluation
    assert not train & val
    assert not train & evaluation
    assert not val & evaluation


def test_another_seed_gives_other_scenes():
    job = Job("web", "train", "rooms", 0)
    states = [scene_seed(seed, job).generate_state(4).tolist() for seed in (0, 1)]
    assert states[0] != states[1]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
def test_a_preset_has_the_counts_that_it_states(preset: Preset):
    counted = Counter((job.source, job.split) for job in jobs_of(preset))
    expected = {(source, "train"): preset.train for source in TRAINING}
    expected |= {(source, "val"): preset.val for source in TRAINING}
    expected |= {(family, "eval"): preset.evaluation for family in ("rooms", "streets", "clutter")}
    assert counted == expected


@pytest.mark.parametrize("source", TRAINING)
def test_each_source_sees_all_families_in_its_shares(source: str):
    families = [
        job.family for job in jobs_of(PRESETS["demo"]) if job.source == source and job.split == "train"
    ]
    for family, share in zip(("rooms", "streets", "clutter"), SHARES[source], strict=True):
        assert families.count(family) == pytest.approx(share * len(families), abs=1)
        assert family in families[:10]


def test_the_narrow_preset_has_metres_in_streets_and_rooms_only_and_is_measured_like_core():
    narrow, core = (set(jobs_of(PRESETS[name])) for name in ("narrow", "core"))
    seen = {(job.source, job.family) for job in narrow if job.split == "train"}
    assert {pair for pair in seen if pair[0] in ("kitti", "middlebury")} == {
        ("kitti", "streets"),
        ("middlebury", "rooms"),
    }
    changed = narrow ^ core
    assert {(job.source, job.split) for job in changed} == {("kitti", "train"), ("middlebury", "train")}


def test_a_larger_preset_starts_with_the_same_scenes():
    small, large = set(jobs_of(PRESETS["demo"])), set(jobs_of(PRESETS["core"]))
    assert small < large


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
def test_no_two_images_write_the_same_file(preset: Preset):
    names = [name for job in jobs_of(preset) for name in file_names(job, preset.exact)]
    assert len(names) == len(set(names))
