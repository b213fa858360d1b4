"""What is done on the device keeps image, label and camera in one story, and does not depend on the batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from depthmix.batch import Batch, rank_planes
from depthmix.data import SourceSpec
from depthmix.device_augment import DeviceAugment, DeviceAugmentOptions, uniform
from depthmix.device_change import blur, recolour
from depthmix.errors import ConfigError
from depthmix.geometry import unproject
from depthmix.sample import LabelKind
from tests.fake_cuda import fake_cuda
from tests.test_data import fit, mixed, write_set
from tests.toy import random_batch

KINDS = [LabelKind.METRIC_DEPTH, LabelKind.AFFINE_DISPARITY, LabelKind.SCALED_DEPTH, LabelKind.NONE]
GEOMETRY = DeviceAugmentOptions(scale=1.6, rotation=15.0)
ALL = DeviceAugmentOptions(0.3, 0.3, 0.3, 0.1, 0.3, 1.0, 0.05, 0.7, 1.6, 15.0)
SIZE = (32, 48)


def batch_of(kinds: list[LabelKind] = KINDS, seed: int = 0) -> Batch:
    return replace(
        random_batch(kinds, seed, SIZE, sources=[0] * len(kinds)),
        draws=tuple(range(seed, seed + len(kinds))),
        pairs=torch.randint(0, 32, (len(kinds), 8, 5), dtype=torch.int32),
    )


def addressed(rows: int = 6, **changes: Tensor) -> Batch:
    """Valid everywhere, on a smooth surface on which each depth occurs once and says where it came from."""
    h, w = SIZE
    batch = batch_of([LabelKind.METRIC_DEPTH] * rows)
    depth = 2 + torch.arange(h * w).view(1, 1, h, w).repeat(rows, 1, 1, 1) * 1e-3
    camera = torch.tensor([[40.0, 50.0, 21.0, 17.0]]).repeat(rows, 1)
    fields = {"target": depth, "valid": torch.ones(rows, 1, h, w, dtype=torch.bool), "intrinsics": camera}
    return replace(batch, **{**fields, **changes})  # type: ignore[arg-type]


def origin(batch: Batch) -> tuple[Tensor, Tensor]:
    """Read column and row from depths of `addressed`."""
    number = ((batch.target - 2) * 1e3).round().long()
    return number % SIZE[1], number // SIZE[1]


def points(batch: Batch) -> Tensor:
    return unproject(batch.target, batch.intrinsics)


def test_nothing_happens_unless_asked_for() -> None:
    batch = batch_of()
    assert DeviceAugment([DeviceAugmentOptions()])(batch) is batch


def test_points_before_and_after_differ_by_a_roll_of_the_camera() -> None:
    before = addressed()
    after = DeviceAugment([GEOMETRY])(before)
    assert not torch.equal(after.intrinsics, before.intrinsics)
    column, row = origin(after)
    old = points(before).flatten(2).gather(2, (row * SIZE[1] + column).flatten(2).expand(-1, 3, -1))
    new = points(after).flatten(2)
    flat, rolled = torch.complex(old[:, 0], old[:, 1]), torch.complex(new[:, 0], new[:, 1])
    roll = (rolled * flat.conj()).sum(1)
    roll = roll / roll.abs()
    error = (rolled - roll[:, None] * flat).abs()
    # Labels are chosen at whole pixels: half a pixel's diagonal, seen through the shorter focal length.
    footprint = old[:, 2] * 0.5 / 40 * 2**0.5 + 1e-5
    kept = after.valid.flatten(1)
    assert kept.float().mean() > 0.95
    assert (error <= footprint)[kept].all()
    assert torch.rad2deg(roll.angle()).abs().max() > 5


def test_a_plane_stays_a_plane() -> None:
    h, w = SIZE
    ray = unproject(torch.ones(1, 1, h, w), torch.tensor([[40.0, 50.0, 21.0, 17.0]]))
    normal = torch.tensor([0.05, -0.1, 1.0]).view(1, 3, 1, 1)
    depth = (3 / (normal * ray).sum(1, keepdim=True)).repeat(6, 1, 1, 1)
    after = DeviceAugment([GEOMETRY])(addressed(target=depth))
    for row in range(6):
        found = points(after)[row, :, after.valid[row, 0]].double()
        centred = found - found.mean(1, keepdim=True)
        flatness = torch.linalg.svdvals(centred)[2] / found.shape[1] ** 0.5
        assert flatness < 0.02 * 3 * 0.2  # of half a pixel at three metres on this slope


def test_a_window_never_looks_past_the_image_by_more_than_rounding() -> None:
    after = DeviceAugment([GEOMETRY])(replace(addressed(), camera_known=torch.zeros(6, dtype=torch.bool)))
    assert after.valid.all()
    assert torch.equal(after.intrinsics, addressed().intrinsics)


def test_pairs_keep_their_points() -> None:
    before = addressed()
    after = DeviceAugment([GEOMETRY])(before)
    kept = after.pairs[..., 0] >= 0
    assert 0 < kept.sum() < kept.numel()
    column, row = (part[:, 0] for part in origin(after))
    for b, p in kept.nonzero().tolist():
        for k in (0, 2):
            u, v = after.pairs[b, p, k : k + 2].tolist()
            assert abs(int(column[b, v, u]) - int(before.pairs[b, p, k])) <= 1
            assert abs(int(row[b, v, u]) - int(before.pairs[b, p, k + 1])) <= 1
        assert after.pairs[b, p, 4] == before.pairs[b, p, 4]
    assert (after.pairs[~kept] == -1).all()


def test_values_sigma_and_masks_go_together() -> None:
    before = addressed()
    before = replace(before, sigma=before.target / 7, sky=~before.valid, valid=before.target > 2.3)
    after = DeviceAugment([GEOMETRY])(before)
    assert torch.equal(after.valid, after.target > 2.3)
    assert torch.equal(after.sigma, after.target / 7)


def test_planes_are_ranked_anew() -> None:
    before = addressed(planes=torch.randint(0, 30, (6, 1, *SIZE), dtype=torch.int32) // 6)
    after = DeviceAugment([GEOMETRY])(before)
    for row in after.planes[:, 0].numpy():
        assert np.array_equal(row, rank_planes(row))
        assert row.max() == 4


def test_a_row_that_would_lose_its_last_label_stays() -> None:
    valid = torch.zeros(6, 1, *SIZE, dtype=torch.bool)
    valid[..., 0, 0] = True
    nothing = torch.zeros(6, 1, *SIZE, dtype=torch.int32)
    before = addressed(valid=valid, planes=nothing, pairs=torch.zeros(6, 0, 5, dtype=torch.int32))
    after = DeviceAugment([GEOMETRY])(before)
    stayed = (after.intrinsics == before.intrinsics).all(1)
    assert stayed.any()
    assert after.valid.flatten(1).any(1).all()
    assert torch.equal(after.target[stayed], before.target[stayed])


@pytest.mark.parametrize("rows", [[2], [3, 0], [1, 3, 2, 0], [0] * 9])
def test_a_row_comes_out_the_same_in_any_batch(rows: list[int]) -> None:
    batch, chosen = batch_of(), torch.tensor(rows)
    vary = DeviceAugment([ALL])
    expected, found = vary(batch).select(chosen), vary(batch.select(chosen))
    for name, value in found.tensors().items():
        assert torch.equal(value, expected.tensors()[name]), name


def test_draws_decide() -> None:
    batch, vary = batch_of(), DeviceAugment([ALL])
    other = vary(replace(batch, draws=(7, 8, 9, 10)))
    assert torch.equal(vary(batch).image, vary(batch).image)
    assert not torch.equal(vary(batch).image, other.image)


def test_uniform_is_uniform() -> None:
    found = uniform(torch.arange(20000), 3)
    assert torch.allclose(torch.histc(found, 10, 0, 1) / 2000, torch.ones(10), atol=0.1)
    assert abs(torch.corrcoef(torch.stack([found, uniform(torch.arange(20000), 4)]))[0, 1]) < 0.03


def test_each_source_has_its_own_strength() -> None:
    batch = replace(batch_of(), source=torch.tensor([0, 1, 0, 1]))
    after = DeviceAugment([GEOMETRY, DeviceAugmentOptions()])(batch)
    still = (after.intrinsics == batch.intrinsics).all(1)
    assert still[[1, 3]].all()
    assert torch.equal(after.image[1], batch.image_float[1])
    assert not torch.equal(after.image[0], batch.image_float[0])


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue", "gamma", "blur", "noise"])
def test_colours_leave_labels_alone(name: str) -> None:
    batch = batch_of()
    after = DeviceAugment([DeviceAugmentOptions(**{name: 5.0 if name == "blur" else 0.4})])(batch)
    assert (after.image - batch.image_float).flatten(1).abs().amax(1).min() > 1e-3
    assert after.image.min() >= 0
    assert after.image.max() <= 1
    for field, value in after.tensors().items():
        assert field == "image" or torch.equal(value, batch.tensors()[field])


def colour(image: Tensor, **changes: float) -> Tensor:
    still = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "gamma": 1.0, **changes}
    return recolour(image, torch.tensor([0.5]), **{k: torch.tensor([v]) for k, v in still.items()})


def test_formulas_of_colours() -> None:
    image = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    torch.testing.assert_close(colour(image), image)
    torch.testing.assert_close(colour(image, brightness=1.2), image * 1.2)
    torch.testing.assert_close(colour(image, contrast=0.5), image * 0.5 + 0.25)
    torch.testing.assert_close(colour(image, gamma=2.0), image**2)
    torch.testing.assert_close(colour(image, hue=1 / 3), image.roll(1, 1))
    grey = colour(image, saturation=0.0)
    torch.testing.assert_close(grey[:, 0], grey[:, 2])
    torch.testing.assert_close(colour(grey, hue=0.2), grey)


def test_blur_keeps_the_mean_and_softens_edges() -> None:
    image = torch.zeros(2, 3, 9, 9)
    image[..., 4, 4] = 1
    after = blur(image, torch.tensor([0.0, 1.0]), 3)
    assert torch.equal(after[0], image[0])
    torch.testing.assert_close(after[1].sum(), image[1].sum())
    torch.testing.assert_close(after[1, 0, 4, 4], torch.tensor(0.15964), atol=1e-3, rtol=0)


def test_it_never_waits_for_the_device() -> None:
    vary = DeviceAugment([ALL])
    assert vary(batch_of().to("meta")).image.device.type == "meta"
    with fake_cuda():  # torch cannot sample a grid on it
        colours = DeviceAugment([replace(ALL, scale=1.0, rotation=0.0)])
        assert colours(batch_of().to("cuda:0")).image.device.type == "cuda"


def test_options_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=r"device_augment\.scale: must be in \[1, 8\], got 0.5"):
        DeviceAugmentOptions(scale=0.5)
    with pytest.raises(ConfigError, match=r"device_augment\.hue: must be in \[0, 0.5\], got nan"):
        DeviceAugmentOptions(hue=float("nan"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    for source in ("web", "kitti", "planes"):
        write_set(folder / source, source, [(18, 24)] * 5)
    return folder


def test_training_is_varied_the_same_with_any_workers_and_after_resuming(root: Path, tmp_path: Path) -> None:
    plain = fit(mixed(root)).shown
    sources = {
        "web": SourceSpec(2.0),
        "kitti": SourceSpec(),
        "planes": SourceSpec(0.5, device_augment=GEOMETRY),
    }
    options = {"device_augment": replace(ALL, cutmix=0.5), "sources": sources}
    shown = fit(mixed(root, **options), save=tmp_path).shown
    assert not set(shown) & set(plain)
    assert fit(mixed(root, **options, workers=2)).shown == shown
    assert fit(mixed(root, **options), checkpoint=tmp_path / "step5.ckpt").shown == shown[5:]
    with pytest.raises(ConfigError, match=r"device_augment was .*, is None"):
        fit(mixed(root), checkpoint=tmp_path / "step5.ckpt")


def test_evaluation_is_not_varied(root: Path) -> None:
    data = mixed(root, device_augment=ALL)
    assert "device_augment" in data.identity
    assert "device_augment" not in mixed(root).identity
    batch = batch_of()
    assert data.on_after_batch_transfer(batch, 0) is batch
