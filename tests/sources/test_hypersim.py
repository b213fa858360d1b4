"""Hypersim's distances become z through the camera that took the picture, tilted film or not."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose

from depthmix.errors import BadSource
from depthmix.sources.film import NOMINAL_CAMERA, film_of_matrix
from depthmix.sources.hypersim import Hypersim
from tests.data.hypersim import make as fake
from tests.data.known import write_image
from tests.sources.contract import SourceContract

TABLE = "metadata_camera_parameters.csv"
PLAIN, TILTED = "ai_001_001/cam_00/0003", "ai_037_002/cam_00/0003"


class TestHypersim(SourceContract):
    def make(self, tmp_path):
        fake.make(tmp_path / "raw")
        return Hypersim(tmp_path / "raw", cameras=TABLE, missing="sky")

    def truth(self, source, key):
        return fake.make(source.root.parent / "truth" / key, missing="sky")[key]

    def again(self, source, root):
        return Hypersim(root, name=source.name, cameras=TABLE, missing="sky")


class TestHypersimNominal(SourceContract):
    def make(self, tmp_path):
        fake.make(tmp_path / "raw")
        return Hypersim(tmp_path / "raw")


def test_nominal_camera_is_right_for_a_plain_film_and_wrong_for_a_tilted_one(tmp_path: Path):
    truths = fake.make(tmp_path)
    source = Hypersim(tmp_path)
    errors = {}
    for key, truth in truths.items():
        sample = source.read(key)
        errors[key] = np.abs(sample.target / truth.target - 1)[sample.valid].max()
    assert source.read(PLAIN).intrinsics == source.read(TILTED).intrinsics
    assert errors[PLAIN] < 1e-3
    assert errors[TILTED] > 0.04


def test_distances_are_not_z(tmp_path: Path):
    truth = fake.make(tmp_path)[PLAIN]
    file = Hypersim(tmp_path).files(PLAIN)[-1]
    with h5py.File(file) as opened:
        ratio = opened["dataset"][()] / truth.target
    assert np.nanmax(ratio) > 1.15


def test_nan_is_unknown_unless_called_sky(tmp_path: Path):
    fake.make(tmp_path)
    unknown, sky = (Hypersim(tmp_path, missing=word).read(PLAIN) for word in ("unknown", "sky"))
    assert not unknown.sky.any()
    assert sky.sky.any()
    assert np.array_equal(unknown.valid, sky.valid)
    assert np.array_equal(sky.sky, ~sky.valid)


@pytest.mark.parametrize(("split", "keys"), [("all", [PLAIN, TILTED]), ("train", [PLAIN]), ("val", [TILTED])])
def test_split_lists_the_frames_that_are_there(tmp_path: Path, split: str, keys: list[str]):
    fake.make(tmp_path)
    assert list(Hypersim(tmp_path, split=split).keys()) == keys


def test_split_without_a_frame_or_a_table_is_named(tmp_path: Path):
    fake.make(tmp_path)
    with pytest.raises(BadSource, match=r"metadata_images_split_scene_v1\.csv.*lists no image of test"):
        Hypersim(tmp_path, split="test").keys()
    with pytest.raises(BadSource, match=r"other\.csv"):
        Hypersim(tmp_path, split="train", split_table="other.csv").keys()
    with pytest.raises(BadSource, match="is no table of a split"):
        Hypersim(tmp_path, split="train", split_table=TABLE).keys()


def test_table_must_know_the_scene_and_is_read_anew_when_it_changes(tmp_path: Path):
    fake.make(tmp_path)
    source = Hypersim(tmp_path, cameras=TABLE)
    source.read(TILTED)
    lines = (tmp_path / TABLE).read_text().splitlines()
    (tmp_path / TABLE).write_text("\n".join(lines[:2]) + "\n")
    with pytest.raises(BadSource, match=f"{TABLE}: ai_037_002: the table has no such scene"):
        source.read(TILTED)
    (tmp_path / TABLE).write_text("scene_name,M_cam_from_uv_00\nai_037_002,1\n")
    with pytest.raises(BadSource, match="is no table of cameras"):
        source.read(TILTED)


def test_skewed_film_keeps_exact_depth_and_has_no_camera():
    matrix = np.reshape(fake.SKEWED, (3, 3))
    film = film_of_matrix(matrix, (768, 1024), Path("table.csv"))
    assert film.intrinsics is None
    # Points of a plane parallel to the film have one z, whatever the skew.
    v, u = np.mgrid[:768, :1024]
    rays = np.stack([u, v, np.ones_like(u)], -1) @ film.ray_of_pixel.T
    distance = np.linalg.norm(rays, axis=-1) * 3 / film.normal_part
    assert_allclose(film.depth_of_distance(distance.astype(np.float32)), 3, rtol=1e-5)


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), -NOMINAL_CAMERA, np.full((3, 3), np.nan), np.eye(3)])
def test_matrix_that_is_no_camera_is_named(matrix: np.ndarray):
    with pytest.raises(BadSource, match=r"table\.csv: ai_001_001: M_cam_from_uv is no camera"):
        film_of_matrix(matrix, (768, 1024), Path("table.csv"), "ai_001_001")


@pytest.mark.parametrize("option", [{"split": "training"}, {"missing": "nan"}])
def test_wrong_words_are_refused(tmp_path: Path, option: dict[str, str]):
    with pytest.raises(ValueError, match="must be one of"):
        Hypersim(tmp_path, **option)


def flatness(z: np.ndarray, side: int) -> float:
    """Return the residual of the flattest squares: on a plane, 1 / z is linear in the pixel."""
    v, u = np.mgrid[:side, :side]
    basis = np.linalg.qr(np.stack([u.ravel(), v.ravel(), np.ones(side * side)], 1))[0]
    rows, columns = (count // side for count in z.shape)
    cut = (1 / z.astype(np.float64))[: rows * side, : columns * side]
    blocks = cut.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side * side)
    left = blocks - blocks @ basis @ basis.T
    return float(np.quantile(np.sqrt((left**2).mean(1)) / blocks.mean(1), 0.05))


def test_real_distances_become_flat_walls_through_the_true_camera(tmp_path: Path, real_samples: Path):
    fake.make(tmp_path)
    key = "ai_037_002/cam_00/0000"
    # The sample has no photo; the reader needs one of the same size.
    image, *_, distance = Hypersim(tmp_path).files(key)
    write_image(image, np.zeros((768, 1024, 3), np.uint8))
    shutil.copy(real_samples / "hypersim" / distance.relative_to(tmp_path), distance)
    nominal, true = (Hypersim(tmp_path, cameras=table).read(key) for table in ("", TABLE))
    z = nominal.target
    assert nominal.valid.all()
    assert (z.min(), np.median(z), z.max()) == pytest.approx((2.663, 5.193, 12.965), abs=2e-3)
    assert nominal.intrinsics is not None
    assert nominal.intrinsics.fx == pytest.approx(886.81, abs=0.01)
    assert true.intrinsics is not None
    assert (true.intrinsics.cx, true.intrinsics.cy) == pytest.approx((572.94, 457.14), abs=0.01)
    # Half-precision numbers leave 1.4e-4 of any wall; what is above it shrinks.
    assert flatness(true.target, 64) - 1.4e-4 < 0.65 * (flatness(z, 64) - 1.4e-4)
