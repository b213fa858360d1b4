"""Make the files of one image in the raw layout of its source."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from depthmix.scenes import formats
from depthmix.scenes.photo import Exposure, develop, draw_exposure, jpeg
from depthmix.scenes.plan import FAMILIES, Job, Preset
from depthmix.scenes.render import View
from depthmix.scenes.scanner import draw_rig, scan
from depthmix.scenes.shot import Shot, take
from depthmix.sources.matching import match_pair

__all__ = ["file_names", "make_files"]

BASELINE_M = {"rooms": (0.1, 0.25), "streets": (0.54, 0.54), "clutter": (0.05, 0.12)}
PLANES_PER_CAMERA = 1  # PlaneInstances wants a camera for every image, or for none
WEB_REACH = 32  # the web matcher searches disparities from -32 to 31 pixels, whatever the pair


def file_names(job: Job) -> list[str]:
    """List the files of one image, relative to the root of the corpus, without making them."""
    key, folder = job.key, _folder(job)
    inside = {
        "web": [f"imgs/{key}.jpg", f"gts/{key}.png", f"valid_masks/{key}.png", f"sky_masks/{key}.png"],
        "kitti": [f"velodyne/{key}.bin", f"image_2/{key}.png", f"calib/{key}.txt"],
        "middlebury": [f"scene{key}/{name}" for name in ("im0.png", "im1.png", "disp0.pfm", "calib.txt")],
        "planes": [f"images/{key}.jpg", f"planes/{key}.png", *_camera(job)],
        "eval": [
            f"images/{key}.png",
            f"depth/{key}.npy",
            f"planes/{key}.png",
            f"normals/{key}.npy",
            f"cameras/{key}.json",
        ],
    }
    return [f"{folder}/{name}" for name in inside["eval" if job.split == "eval" else job.source]]


def make_files(job: Job, preset: Preset, seed: int) -> dict[str, bytes]:
    """Render one image and its label and encode its files.

    Returns:
        Content by file name, in the order of `file_names`.
    """
    writers: dict[str, Callable[[Job, Shot, Preset], list[bytes]]] = {
        "web": _web, "kitti": _kitti, "middlebury": _middlebury, "planes": _planes
    }  # fmt: skip
    writers |= dict.fromkeys(FAMILIES, _evaluation)
    contents = writers[job.source](job, take(job, preset, seed), preset)
    return dict(zip(file_names(job), contents, strict=True))


def _folder(job: Job) -> str:
    if job.split == "eval":
        return f"eval/{job.family}"
    if job.source == "kitti":
        return "kitti/training" if job.split == "train" else "kitti/val/training"
    return f"{job.source}/{job.split}"


def _camera(job: Job) -> list[str]:
    return [f"intrinsics/{job.key}.json"] if job.index % PLANES_PER_CAMERA == 0 else []


def _web(job: Job, shot: Shot, preset: Preset) -> list[bytes]:
    """A pair taken by nobody knows what: baseline and convergence are drawn, used and forgotten."""
    spread = min(shot.rng.uniform(0.08, 0.14) * preset.width, WEB_REACH)
    baseline = spread / (shot.intrinsics.fx * (1 / shot.near - 1 / shot.far))
    converged = shot.intrinsics.fx * baseline / shot.far + shot.rng.uniform(0.1, 0.8) * spread
    view, left, right, exposure = _pair(shot, preset, baseline, converged)
    disparity, valid = match_pair(left, right, min_disparity=-WEB_REACH, num_disparities=2 * WEB_REACH)
    inverse_depth, valid = _eight_bit(disparity, valid & ~view.sky)
    return [
        jpeg(left, exposure.quality), formats.png(inverse_depth), _mask(valid), _mask(view.sky)
    ]  # fmt: skip


def _middlebury(job: Job, shot: Shot, preset: Preset) -> list[bytes]:
    baseline = float(shot.rng.uniform(*BASELINE_M[job.family]))
    scale = shot.intrinsics.fx * baseline
    doffs = round(0.6 * shot.rng.random() * scale / shot.far, 3) if shot.rng.random() < 0.5 else 0.0
    view, left, right, _ = _pair(shot, preset, baseline, doffs)
    reach = int(np.clip(np.ceil(1.15 * scale / shot.near / 16) * 16, 32, 96))
    disparity, valid = match_pair(left, right, num_disparities=reach)
    known = valid & ~view.sky & (disparity > 0)
    truth = np.where(known, disparity, np.float32(np.inf))
    calibration = formats.middlebury_calibration(
        shot.intrinsics, baseline_m=baseline, doffs_px=doffs, size=preset.size, disparities=reach
    )
    return [formats.png(left), formats.png(right), formats.pfm(truth), calibration]


def _kitti(job: Job, shot: Shot, preset: Preset) -> list[bytes]:
    rig = draw_rig(shot.rng, outdoors=job.family == "streets")
    pose = shot.renderer.scene.pose
    points = scan(shot.renderer, rig.scanner_pose(pose), shot.rng)
    calibration = formats.kitti_calibration(
        shot.intrinsics,
        to_camera_2=rig.to_camera_2,
        rectification=rig.rectification,
        mounting=rig.mounting,
    )
    return [points.astype("<f4").tobytes(), formats.png(_single(shot, preset)[1]), calibration]


def _planes(job: Job, shot: Shot, preset: Preset) -> list[bytes]:
    view, image, exposure = _single(shot, preset)
    camera = [formats.camera_json(shot.intrinsics)] if _camera(job) else []
    return [jpeg(image, exposure.quality), formats.png(view.planes.astype(np.uint16)), *camera]


def _evaluation(job: Job, shot: Shot, preset: Preset) -> list[bytes]:
    view, image, _ = _single(shot, preset)
    return [
        formats.png(image),
        formats.npy(view.depth),
        formats.png(view.planes.astype(np.uint16)),
        formats.npy(view.normals.astype(np.float16)),
        formats.camera_json(shot.intrinsics),
    ]


def _single(shot: Shot, preset: Preset) -> tuple[View, UInt8[np.ndarray, "h w 3"], Exposure]:
    view = shot.renderer.view(shot.renderer.scene.pose, shot.intrinsics, preset.size)
    exposure = draw_exposure(shot.rng, view.radiance)
    return view, develop(view.radiance, exposure, shot.rng), exposure


def _pair(
    shot: Shot, preset: Preset, baseline: float, shift: float
) -> tuple[View, UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], Exposure]:
    """Render two views with disparity f x baseline / z - shift; the right one a bit brighter or darker."""
    view, left, exposure = _single(shot, preset)
    other = replace(shot.intrinsics, cx=shot.intrinsics.cx + shift)
    moved = shot.renderer.view(shot.renderer.scene.pose.moved(right=baseline), other, preset.size)
    right = develop(moved.radiance, exposure.varied(shot.rng), shot.rng)
    return view, left, right, exposure


def _eight_bit(
    disparity: Float32[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]
) -> tuple[UInt8[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Spread disparities over 0 to 255, larger = nearer; what lies outside becomes invalid, never clipped."""
    if not valid.any():
        return np.zeros(disparity.shape, np.uint8), valid
    low, high = np.quantile(disparity[valid], [0.005, 0.995])
    scaled = np.round((disparity - low) / max(high - low, 1e-3) * 255)
    valid = valid & (scaled >= 0) & (scaled <= 255)
    return np.where(valid, scaled, 0).astype(np.uint8), valid


def _mask(mask: Bool[np.ndarray, "h w"]) -> bytes:
    return formats.png(mask.astype(np.uint8) * 255)
