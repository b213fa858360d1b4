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
JPEG = ("web", "planes")
IMAGE_OF = {"kitti": 1}  # where the image stands among the files of a source, if it is not the first
WEB_REACH = 32  # the web matcher searches disparities from -32 to 31 pixels, whatever the pair


def file_names(job: Job, exact: bool = False) -> list[str]:
    """List the files of one image, relative to the root of the corpus, without making them.

    Args:
        job: the image.
        exact: whether its exact label is written besides that of its source.
    """
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
    names = [f"{folder}/{name}" for name in inside["eval" if job.split == "eval" else job.source]]
    return names + (_exact_names(job) if exact else [])


def make_files(job: Job, preset: Preset, seed: int) -> dict[str, bytes]:
    """Render one image and its label and encode its files.

    Returns:
        Content by file name, in the order of `file_names`.
    """
    writers: dict[str, Callable[[Job, Shot, View], list[bytes]]] = {
        "web": _web, "kitti": _kitti, "middlebury": _middlebury, "planes": _planes
    }  # fmt: skip
    writers |= dict.fromkeys(FAMILIES, _evaluation)
    shot = take(job, preset, seed)
    view = shot.renderer.view(shot.renderer.scene.pose, shot.intrinsics, preset.size)
    contents = writers[job.source](job, shot, view)
    if preset.exact:
        contents += _exact(job, shot, view, contents[IMAGE_OF.get(job.source, 0)])
    return dict(zip(file_names(job, preset.exact), contents, strict=True))


def _exact_names(job: Job) -> list[str]:
    """Name the exact label beside a training source, or below the family of a validation image."""
    if job.split == "eval":
        return []  # its label is exact already
    part, key = (job.source, job.key) if job.split == "train" else (job.family, f"{job.source}_{job.key}")
    folder, suffix = f"exact/{job.split}/{part}", "jpg" if job.source in JPEG else "png"
    files = (f"images/{key}.{suffix}", f"depth/{key}.npy", f"planes/{key}.png", f"cameras/{key}.json")
    return [f"{folder}/{name}" for name in files]


def _exact(job: Job, shot: Shot, view: View, image: bytes) -> list[bytes]:
    """Label the very bytes of an image exactly, in the layout of `ExactScenes`."""
    if job.split == "eval":
        return []
    planes, camera = view.planes.astype(np.uint16), formats.camera_json(shot.intrinsics)
    return [image, formats.npy(view.depth), formats.png(planes), camera]


def _folder(job: Job) -> str:
    if job.split == "eval":
        return f"eval/{job.family}"
    if job.source == "kitti":
        return "kitti/training" if job.split == "train" else "kitti/val/training"
    return f"{job.source}/{job.split}"


def _camera(job: Job) -> list[str]:
    return [f"intrinsics/{job.key}.json"] if job.index % PLANES_PER_CAMERA == 0 else []


def _web(job: Job, shot: Shot, view: View) -> list[bytes]:
    """A pair taken by nobody knows what: baseline and convergence are drawn, used and forgotten."""
    spread = min(shot.rng.uniform(0.08, 0.14) * view.depth.shape[1], WEB_REACH)
    baseline = spread / (shot.intrinsics.fx * (1 / shot.near - 1 / shot.far))
    converged = shot.intrinsics.fx * baseline / shot.far + shot.rng.uniform(0.1, 0.8) * spread
    left, right, exposure = _pair(shot, view, baseline, converged)
    disparity, valid = match_pair(left, right, min_disparity=-WEB_REACH, num_disparities=2 * WEB_REACH)
    inverse_depth, valid = _eight_bit(disparity, valid & ~view.sky)
    return [
        jpeg(left, exposure.quality), formats.png(inverse_depth), _mask(valid), _mask(view.sky)
    ]  # fmt: skip


def _middlebury(job: Job, shot: Shot, view: View) -> list[bytes]:
    baseline = float(shot.rng.uniform(*BASELINE_M[job.family]))
    scale = shot.intrinsics.fx * baseline
    doffs = round(0.6 * shot.rng.random() * scale / shot.far, 3) if shot.rng.random() < 0.5 else 0.0
    left, right, _ = _pair(shot, view, baseline, doffs)
    reach = int(np.clip(np.ceil(1.15 * scale / shot.near / 16) * 16, 32, 96))
    disparity, valid = match_pair(left, right, num_disparities=reach)
    known = valid & ~view.sky & (disparity > 0)
    truth = np.where(known, disparity, np.float32(np.inf))
    calibration = formats.middlebury_calibration(
        shot.intrinsics, baseline_m=baseline, doffs_px=doffs, size=_size(view), disparities=reach
    )
    return [formats.png(left), formats.png(right), formats.pfm(truth), calibration]


def _kitti(job: Job, shot: Shot, view: View) -> list[bytes]:
    rig = draw_rig(shot.rng, outdoors=job.family == "streets")
    pose = shot.renderer.scene.pose
    points = scan(shot.renderer, rig.scanner_pose(pose), shot.rng)
    calibration = formats.kitti_calibration(
        shot.intrinsics,
        to_camera_2=rig.to_camera_2,
        rectification=rig.rectification,
        mounting=rig.mounting,
    )
    return [points.astype("<f4").tobytes(), formats.png(_single(shot, view)[0]), calibration]


def _planes(job: Job, shot: Shot, view: View) -> list[bytes]:
    image, exposure = _single(shot, view)
    camera = [formats.camera_json(shot.intrinsics)] if _camera(job) else []
    return [jpeg(image, exposure.quality), formats.png(view.planes.astype(np.uint16)), *camera]


def _evaluation(job: Job, shot: Shot, view: View) -> list[bytes]:
    image, _ = _single(shot, view)
    return [
        formats.png(image),
        formats.npy(view.depth),
        formats.png(view.planes.astype(np.uint16)),
        formats.npy(view.normals.astype(np.float16)),
        formats.camera_json(shot.intrinsics),
    ]


def _single(shot: Shot, view: View) -> tuple[UInt8[np.ndarray, "h w 3"], Exposure]:
    exposure = draw_exposure(shot.rng, view.radiance)
    return develop(view.radiance, exposure, shot.rng), exposure


def _pair(
    shot: Shot, view: View, baseline: float, shift: float
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], Exposure]:
    """Render the right view, disparity f x baseline / z - shift; it is a bit brighter or darker."""
    left, exposure = _single(shot, view)
    other = replace(shot.intrinsics, cx=shot.intrinsics.cx + shift)
    moved = shot.renderer.view(shot.renderer.scene.pose.moved(right=baseline), other, _size(view))
    right = develop(moved.radiance, exposure.varied(shot.rng), shot.rng)
    return left, right, exposure


def _size(view: View) -> tuple[int, int]:
    return view.depth.shape[0], view.depth.shape[1]


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
