"""Small batches with known content, and the faults that every loss has to survive."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from depthmix.batch import Batch
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind

H, W = 24, 32
FOCAL = 30.0
KINDS = (
    LabelKind.METRIC_DEPTH,
    LabelKind.SCALED_DEPTH,
    LabelKind.AFFINE_DISPARITY,
    LabelKind.NONE,
    LabelKind.ORDINAL,
)


def inverse_depth_of_room(rows: int, generator: torch.Generator) -> Tensor:
    """Inverse depth of a floor below two walls, with different slopes in each row."""
    v, u = torch.meshgrid(torch.arange(H) / H, torch.arange(W) / W, indexing="ij")
    slopes = torch.rand(rows, 3, 1, 1, generator=generator)
    left, right = 0.2 + 0.4 * slopes[:, :1] * u, 0.8 - 0.5 * slopes[:, 1:2] * u
    return torch.maximum(torch.minimum(left, right), (0.2 + slopes[:, 2:]) * v)


def planes_of_room() -> Tensor:
    """Three plane instances of the room in unequal sizes, with unlabelled seams between them."""
    planes = torch.zeros(H, W, dtype=torch.int32)
    planes[15:, :] = 1
    planes[:12, :20] = 2
    planes[:12, 22:] = 3
    return planes


def image_of_room(inverse: Tensor, generator: torch.Generator) -> Tensor:
    """A picture whose brightness steps where the surfaces meet, under a little noise."""
    grey = 60 + 120 * (inverse / inverse.amax((2, 3), keepdim=True) > 0.5)
    noise = torch.randint(0, 8, (len(inverse), 3, H, W), generator=generator)
    return (grey + noise).to(torch.uint8)


def ordinal_pairs(inverse: Tensor, generator: torch.Generator, count: int = 16) -> Tensor:
    """Random pairs that agree with the room, a quarter called equal; two of each row are padding."""
    b = len(inverse)
    u = torch.randint(0, W, (b, count, 2), generator=generator)
    v = torch.randint(0, H, (b, count, 2), generator=generator)
    at = inverse.flatten(1).gather(1, (v * W + u).flatten(1)).view(b, count, 2)
    relation = (at[..., 1] - at[..., 0]).sign().long() * (torch.arange(count) % 4 > 0)
    pairs = torch.stack([u[..., 0], v[..., 0], u[..., 1], v[..., 1], relation], 2).int()
    return torch.where((torch.arange(count) < count - 2)[:, None], pairs, -1)


def make_batch(kinds: tuple[LabelKind, ...] = KINDS, seed: int = 0, holes: float = 0.2) -> Batch:
    """One noisy room a row, with holes in the label and a noise model in every other row."""
    g, b = torch.Generator().manual_seed(seed), len(kinds)
    inverse = inverse_depth_of_room(b, g) * (1 + 0.05 * torch.rand(b, 1, H, W, generator=g))
    kind = torch.tensor([int(k) for k in kinds])
    affine = (kind == int(LabelKind.AFFINE_DISPARITY))[:, None, None, None]
    valid = torch.rand(b, 1, H, W, generator=g) >= holes
    valid &= (kind >= int(LabelKind.AFFINE_DISPARITY))[:, None, None, None]
    target = torch.where(valid, torch.where(affine, 3 * inverse - 1, 1 / inverse), 0)
    sigma = torch.where(torch.arange(b)[:, None, None, None] % 2 == 0, 0.02 * target.square(), 0)
    return Batch(
        image=image_of_room(inverse, g),
        target=target,
        valid=valid,
        sky=(torch.arange(H) < 3)[:, None].expand(b, 1, H, W) & ~valid,
        planes=planes_of_room().expand(b, 1, H, W).clone(),
        sigma=torch.where(affine, 0, sigma),
        intrinsics=torch.tensor([[28.0, 30.0, 15.0, 11.5]]).repeat(b, 1),
        camera_known=torch.ones(b, dtype=torch.bool),
        quality=torch.ones(b, dtype=torch.long),
        kind=kind,
        source=torch.zeros(b, dtype=torch.long),
        pairs=ordinal_pairs(inverse, g),
    )


def make_log_canonical(batch: Batch, seed: int = 1) -> Tensor:
    """A plausible prediction: another room with smooth and rough errors; y = log(z f_c / f)."""
    g = torch.Generator().manual_seed(seed)
    inverse = inverse_depth_of_room(len(batch), g)
    return -inverse.log() + 0.1 * torch.randn(len(batch), 1, H, W, generator=g)


def predict(log_canonical: Tensor, batch: Batch) -> Prediction:
    """Wrap a map as the task does: rows without a camera get the canonical one."""
    centre = torch.tensor([FOCAL, FOCAL, (W - 1) / 2, (H - 1) / 2], device=log_canonical.device)
    camera = torch.where(batch.camera_known[:, None], batch.intrinsics, centre)
    # All heads follow the depth map, so that losses on them have a gradient that the contract can look at.
    heads = (0.3 * log_canonical - 2, 0.5 - log_canonical, 0.2 * log_canonical)
    return Prediction(log_canonical, camera, FOCAL, *heads)


def _keep_valid(count: int) -> Callable[[Batch], Batch]:
    def change(batch: Batch) -> Batch:
        rank = batch.valid.flatten(1).cumsum(1).view(batch.valid.shape)
        return replace(batch, valid=batch.valid & (rank <= count))

    return change


def _targets(change: Callable[[Tensor], Tensor]) -> Callable[[Batch], Batch]:
    return lambda batch: replace(batch, target=torch.where(batch.valid, change(batch.target), 0))


def _many_planes(batch: Batch) -> Batch:
    ids = torch.arange(H * W, dtype=torch.int32) % 200 + 1
    return replace(batch, planes=ids.view(H, W).expand_as(batch.planes).clone())


def _no_camera(batch: Batch) -> Batch:
    return replace(
        batch,
        camera_known=torch.zeros_like(batch.camera_known),
        intrinsics=torch.full_like(batch.intrinsics, torch.nan),
    )


def _outliers(target: Tensor) -> Tensor:
    wall = torch.full_like(target, 2.0)
    wall[..., ::20] = 200.0
    return wall


LABEL_FAULTS: dict[str, Callable[[Batch], Batch]] = {
    "no valid pixel": _keep_valid(0),
    "one valid pixel": _keep_valid(1),
    "two valid pixels": _keep_valid(2),
    "three valid pixels": _keep_valid(3),
    "checkerboard": lambda b: replace(
        b, valid=b.valid & (torch.arange(H)[:, None] + torch.arange(W)) % 2 > 0
    ),
    "constant label": _targets(lambda z: torch.full_like(z, 3.7)),
    "flat wall with outliers": _targets(_outliers),
    "huge label": _targets(lambda z: z * 1e12),
    "tiny label": _targets(lambda z: z * 1e-12),
    "label with a wide range": _targets(lambda z: z.abs().clamp_min(1e-3) ** 20),
    "no planes": lambda b: replace(b, planes=torch.zeros_like(b.planes)),
    "200 planes": _many_planes,
    "one plane over all": lambda b: replace(b, planes=torch.ones_like(b.planes)),
    "plane one pixel wide": lambda b: replace(
        b, planes=(torch.arange(W) == 5).int().expand_as(b.planes).clone()
    ),
    "no camera": _no_camera,
    "LiDAR on one pixel of two hundred": lambda b: replace(
        b, valid=b.valid & (torch.arange(H * W).view(H, W) % 199 == 7)
    ),
    "vertical step in the label": lambda b: replace(
        b, target=torch.where(b.valid, torch.where(torch.arange(W) < W // 2, 1.0, 80.0), 0)
    ),
    "flat picture": lambda b: replace(b, image=torch.full_like(b.image, 77)),
    "sky everywhere": lambda b: replace(b, sky=~b.valid),
    "no pairs": lambda b: replace(b, pairs=b.pairs[:, :0]),
    "padding instead of pairs": lambda b: replace(b, pairs=torch.full_like(b.pairs, -1)),
    "pairs of a point with itself": lambda b: replace(
        b, pairs=torch.cat([b.pairs[..., :2], b.pairs[..., :2], b.pairs[..., 4:]], 2)
    ),
    "huge noise": lambda b: replace(b, sigma=torch.where(b.valid, 1e30, 0)),
}

PREDICTION_FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "constant": lambda y: torch.full_like(y, 1.3),
    "nearly constant": lambda y: 1.3 + 1e-6 * y,
    "far below the limit": lambda y: y - 40,
    "far above the limit": lambda y: y + 40,
    "from one limit to the other": lambda y: torch.where(torch.sin(1e4 * y) > 0, -12.0, 12.0),
    "infinite": lambda y: torch.full_like(y, torch.inf),
}
