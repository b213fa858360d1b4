"""What the written folders hold, read back by the adapters and held against the rendered truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from depthmix.sample import LabelKind
from depthmix.scenes import PRESETS
from depthmix.scenes.layouts import file_names, make_files
from depthmix.scenes.plan import FAMILIES, TRAINING, Job, Preset, jobs_of
from depthmix.scenes.render import View
from depthmix.scenes.sets import demo_sources, exact_sources
from depthmix.scenes.shot import Shot, take
from depthmix.sources import ExactScenes, KittiLidar, MiddleburyStereo, WebStereo
from depthmix.sources.decode import read_ids, read_png16

pytest.importorskip("open3d")
DEMO = PRESETS["demo"]


def _written(root: Path, job: Job, preset: Preset = DEMO) -> tuple[Shot, View]:
    """Write the files of one image, and render its truth anew."""
    for name, content in make_files(job, preset, seed=3).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    shot = take(job, preset, seed=3)
    return shot, shot.renderer.view(shot.renderer.scene.pose, shot.intrinsics, preset.size)


def test_the_files_that_are_made_are_the_files_that_were_announced(tiny_corpus: Path):
    for job in jobs_of(PRESETS["tiny"]):
        assert all((tiny_corpus / name).is_file() for name in file_names(job))
    announced = {name for job in jobs_of(PRESETS["tiny"]) for name in file_names(job)}
    found = {str(file.relative_to(tiny_corpus)) for file in tiny_corpus.rglob("*") if file.is_file()}
    assert found == announced | {"corpus.json"}


def test_every_adapter_reads_every_sample(tiny_corpus: Path):
    pytest.importorskip("skimage")
    for source in demo_sources(tiny_corpus, oak=None)[:-1]:
        samples = list(source)
        assert len(samples) == 2
        for sample in samples:
            assert sample.size == PRESETS["tiny"].size
            assert 30 < sample.image.mean() < 225
            assert sample.image.std() > 10
            assert sample.kind is LabelKind.NONE or sample.valid.mean() > 0.1


def test_exact_labels_are_those_of_the_very_images_that_are_trained_on(tmp_path: Path):
    preset = replace(DEMO, exact=True)
    for number, source in enumerate(TRAINING):
        job = Job(source, "train", "rooms", number)
        without = make_files(job, DEMO, seed=3)
        _, view = _written(tmp_path, job, preset)
        exact = ExactScenes(tmp_path / "exact" / "train" / source).read(job.key)
        files = {name: (tmp_path / name).read_bytes() for name in file_names(job, exact=True)}
        assert {name: files[name] for name in without} == without  # the exact label changes nothing else
        [image] = [
            content for name, content in files.items() if name.startswith(f"exact/train/{source}/images")
        ]
        assert image in without.values()
        np.testing.assert_array_equal(exact.target[exact.valid], view.depth[exact.valid])
        np.testing.assert_array_equal(exact.planes, view.planes)


def test_validation_images_have_exact_labels_below_their_scenes(tmp_path: Path):
    preset = PRESETS["smoke"]
    for job in jobs_of(preset):
        if job.index == 0 or job.split == "val":
            _written(tmp_path, job, preset)
    names = [source.name for source in exact_sources(tmp_path)]
    assert names == [*(f"{name}_exact" for name in TRAINING), *(f"{family}_val" for family in FAMILIES)]
    counted = {source.name: len(source) for source in exact_sources(tmp_path)}
    assert sum(counted[f"{family}_val"] for family in FAMILIES) == 4 * preset.val
    assert all(counted.values())


@pytest.mark.parametrize(("family", "index"), [("rooms", 0), ("streets", 1), ("clutter", 2)])
def test_stereo_disparity_is_focal_length_times_baseline_over_depth(tmp_path: Path, family: str, index: int):
    job = Job("middlebury", "train", family, index)
    _, view = _written(tmp_path, job)
    sample = MiddleburyStereo(tmp_path / "middlebury" / "train").read(f"scene{job.key}")
    assert sample.valid.mean() > 0.4
    assert sample.sigma is not None
    # sigma = z^2 * 0.5 / (f B), which gives f B without another parser.
    focal_baseline = np.median((0.5 * sample.target**2)[sample.valid] / sample.sigma[sample.valid])
    error = focal_baseline / sample.target[sample.valid] - focal_baseline / view.depth[sample.valid]
    assert np.median(np.abs(error)) < 0.5


@pytest.mark.parametrize(("family", "index"), [("rooms", 0), ("streets", 1), ("clutter", 2)])
def test_web_labels_are_inverse_depth_up_to_scale_and_shift(tmp_path: Path, family: str, index: int):
    job = Job("web", "train", family, index)
    _, view = _written(tmp_path, job)
    sample = WebStereo(tmp_path / "web").read(job.key)
    assert sample.valid.mean() > 0.4
    assert np.array_equal(sample.sky, view.sky)
    truth, label = 1 / view.depth[sample.valid], sample.target[sample.valid]
    scale, shift = np.polyfit(truth, label, 1)
    residual = label - (scale * truth + shift)
    for _ in range(5):  # least squares without the matcher's outliers
        kept = np.abs(residual) < 3 * np.median(np.abs(residual))
        scale, shift = np.polyfit(truth[kept], label[kept], 1)
        residual = label - (scale * truth + shift)
    assert scale > 0
    assert np.median(np.abs(residual)) < 0.03


@pytest.mark.parametrize(("family", "index"), [("rooms", 0), ("streets", 1), ("clutter", 2)])
def test_laser_points_fall_on_the_surfaces_that_the_camera_sees(tmp_path: Path, family: str, index: int):
    job = Job("kitti", "train", family, index)
    shot, view = _written(tmp_path, job)
    sample = KittiLidar(tmp_path / "kitti").read(job.key)
    assert 0.05 < sample.valid.mean() < 0.35
    known = sample.valid & ~view.sky
    assert known.sum() > 0.97 * sample.valid.sum()
    error = np.abs(sample.target[known] / view.depth[known] - 1)
    assert np.median(error) < 0.02
    assert sample.intrinsics is not None
    assert sample.intrinsics.fx == pytest.approx(shot.intrinsics.fx, rel=1e-9)


def test_evaluation_scenes_are_exact_and_their_planes_planar(tmp_path: Path):
    job = Job("rooms", "eval", "rooms", 4)
    _, view = _written(tmp_path, job)
    source = ExactScenes(tmp_path / "eval" / "rooms")
    sample = source.read(job.key)
    np.testing.assert_array_equal(sample.target[sample.valid], view.depth[sample.valid])
    np.testing.assert_allclose(source.normals(job.key), view.normals, atol=1e-3)
    camera = sample.intrinsics
    assert camera is not None
    v, u = np.mgrid[: DEMO.height, : DEMO.width]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(DEMO.size)], axis=-1)
    points = rays * sample.target[..., None].astype(np.float64)
    ids, counts = np.unique(sample.planes[sample.planes > 0], return_counts=True)
    assert len(ids) > 5
    for number in ids[counts > 50]:
        members = points[sample.planes == number]
        thickness = np.linalg.svd(members - members.mean(axis=0), compute_uv=False)[2] / np.sqrt(len(members))
        assert thickness < 1e-3


def test_plane_ids_are_sixteen_bit_and_exceed_255(tmp_path: Path):
    job = Job("planes", "train", "streets", 0)
    _, view = _written(tmp_path, job)
    file = tmp_path / "planes" / "train" / "planes" / f"{job.key}.png"
    assert read_png16(file).max() > 255
    np.testing.assert_array_equal(read_ids(file), view.planes)


def test_some_calibrated_pairs_have_an_offset_of_the_principal_points():
    found = set()
    for index in range(8):
        files = make_files(Job("middlebury", "val", "clutter", index), PRESETS["tiny"], seed=1)
        text = next(content for name, content in files.items() if name.endswith("calib.txt")).decode()
        found.add("doffs=0.000000" in text)
    assert found == {True, False}
