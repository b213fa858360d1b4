"""Write tiny copies of stereo data sets of rooms, and of rendered ones."""

from pathlib import Path

import h5py
import numpy as np
import OpenEXR

from depthmix.sample import Intrinsics
from depthmix.testing.known import Known, code16, known_view, right_view, write_image, write_pfm

BASELINE_M, DOFFS_PX = 0.2, 2.5
CAMERA = Intrinsics(150.0, 150.0, 32.4, 22.1)


def views(*keys: str, camera: Intrinsics = CAMERA, has_sky: bool = True) -> dict[str, Known]:
    return {key: known_view(number, camera=camera, has_sky=has_sky) for number, key in enumerate(keys)}


def make_classic(root: Path, *, release: int = 2006, size: str = "third") -> dict[str, Known]:
    """Publish what Middlebury's camera of 2006 would see, cropped so that 30 full-size pixels are cut off."""
    scale = {"full": 1, "half": 2, "third": 3, "quarter": 4}[size]
    camera = Intrinsics(3740 / scale, 3740 / scale, 31.5, 23.5)
    known = {}
    left, right, label = ("view1.png", "view5.png", "disp1.png")
    if release == 2003:
        left, right, label = ("im2.png", "im6.png", "disp2.png")
    for number, key in enumerate(("Aloe", "Baby")):
        # Far enough away, for so long a lens: 8 bits hold 255 / scale pixels.
        disparity = np.round(np.random.default_rng(number).uniform(20, 60, (48, 64)) * scale) / scale
        disparity[:2] = np.nan
        depth = 3740 / scale * 0.16 / (disparity + 30 / scale)
        image = known_view(number, size=(48, 64)).image
        known[key] = Known(image, depth, np.zeros((48, 64), np.int32), camera)
        write_image(root / key / left, image)
        write_image(root / key / right, image)
        write_image(root / key / label, np.nan_to_num(disparity * scale).astype(np.uint8))
        (root / key / "dmin.txt").write_text("30\n")
    return known


def calibration_text() -> str:
    left = f"[{CAMERA.fx} 0 {CAMERA.cx}; 0 {CAMERA.fy} {CAMERA.cy}; 0 0 1]"
    right = f"[{CAMERA.fx} 0 {CAMERA.cx + DOFFS_PX}; 0 {CAMERA.fy} {CAMERA.cy}; 0 0 1]"
    facts = {"cam0": left, "cam1": right, "doffs": DOFFS_PX, "baseline": BASELINE_M * 1000}
    facts |= {"width": 64, "height": 48, "ndisp": 64}
    return "".join(f"{name}={value}\n" for name, value in facts.items())


def make_eth3d(root: Path) -> dict[str, Known]:
    """Pixels of the first three columns are seen by the left camera alone."""
    known = views("delivery_area_1l", "playground_2s")
    for key, view in known.items():
        write_image(root / key / "im0.png", view.image[..., 0])
        write_image(root / key / "im1.png", right_view(view, BASELINE_M, DOFFS_PX)[..., 0])
        disparity = np.where(view.sky, np.inf, view.disparity(BASELINE_M, DOFFS_PX))
        write_pfm(root / key / "disp0GT.pfm", disparity)
        mask = np.full(view.size, 255, np.uint8)
        mask[:, :3] = 128
        write_image(root / key / "mask0nocc.png", mask)
        (root / key / "calib.txt").write_text(calibration_text())
    return known


def make_instereo2k(root: Path, *, per_pixel: float = 100) -> dict[str, Known]:
    known = views("000000", "000001")
    for key, view in known.items():
        folder = root / "train" / key
        write_image(folder / "left.png", view.image)
        write_image(folder / "right.png", right_view(view, BASELINE_M))
        disparity = np.where(view.sky, np.nan, view.disparity(BASELINE_M))
        write_image(folder / "left_disp.png", code16(disparity, per_pixel))
    return known


def opencv_matrix(name: str, matrix: np.ndarray) -> str:
    numbers = " ".join(f"{value:.12e}" for value in matrix.ravel())
    size = f"<rows>{matrix.shape[0]}</rows><cols>{matrix.shape[1]}</cols><dt>d</dt>"
    return f'<{name} type_id="opencv-matrix">{size}<data>\n{numbers}</data></{name}>'


def make_booster(root: Path) -> dict[str, Known]:
    known = {"Bathroom/im0": known_view(0, camera=CAMERA), "Vase/im0": known_view(1, camera=CAMERA)}
    for key, view in known.items():
        folder = root / "train" / "balanced" / key.split("/")[0]
        write_image(folder / "camera_00" / "im0.png", view.image)
        np.save(folder / "disp_00.npy", np.where(view.sky, 0, view.disparity(BASELINE_M, DOFFS_PX)))
        mask = np.full(view.size, 255, np.uint8)
        mask[:, :3] = 0
        write_image(folder / "mask_00.png", mask)
        inner = np.array([[CAMERA.fx, 0, CAMERA.cx, 0], [0, CAMERA.fy, CAMERA.cy, 0], [0, 0, 1, 0]])
        right = inner.copy()
        right[0, 2] += DOFFS_PX
        nodes = [opencv_matrix("proj_matL", inner), opencv_matrix("proj_matR", right)]
        nodes.append(f"<baselineLR>{BASELINE_M * 1000}</baselineLR>")
        text = '<?xml version="1.0"?>\n<opencv_storage>\n' + "\n".join(nodes) + "\n</opencv_storage>\n"
        (folder / "calib_00-02.xml").write_text(text)
    return known


def make_scene_flow(root: Path) -> dict[str, Known]:
    """Depth in baselines: one metre of the scene is one unit, and the baseline is one unit."""
    camera = Intrinsics(1050, 1050, 479.5, 269.5).resized(64 / 960, 48 / 540)
    short = Intrinsics(450, 450, 479.5, 269.5).resized(64 / 960, 48 / 540)
    known = {
        "15mm_focallength/scene_forwards/fast/left/0001": known_view(0, camera=short),
        "TRAIN/A/0000/left/0006": known_view(1, camera=camera),
    }
    for key, view in known.items():
        write_image(root / "frames_cleanpass" / f"{key}.png", view.image)
        write_image(root / "frames_cleanpass" / f"{key.replace('left', 'right')}.png", right_view(view, 1.0))
        write_pfm(root / "disparity" / f"{key}.pfm", view.disparity(1.0))
    return known


def make_spring(root: Path) -> dict[str, Known]:
    known = views("0001/0001", "0001/0002")
    folder = root / "train" / "0001"
    for key, view in known.items():
        frame = key.split("/")[1]
        write_image(folder / "frame_left" / f"frame_left_{frame}.png", view.image)
        disparity = np.where(view.sky, np.nan, view.disparity(0.065)).astype(np.float32)
        # What lies between the pixels is another pixel's business.
        double = np.full((96, 128), 7.0, np.float32)
        double[::2, ::2] = disparity
        (folder / "disp1_left").mkdir(exist_ok=True)
        with h5py.File(folder / "disp1_left" / f"disp1_left_{frame}.dsp5", "w") as file:
            file.create_dataset("disparity", data=double, compression="gzip", chunks=(24, 32))
        sky = np.kron(view.sky, np.ones((2, 2))).astype(np.uint8) * 255
        write_image(folder / "maps" / "skymap_left" / f"skymap_left_{frame}.png", sky)
    (folder / "cam_data").mkdir()
    line = f"{CAMERA.fx} {CAMERA.fy} {CAMERA.cx} {CAMERA.cy}\n"
    (folder / "cam_data" / "intrinsics.txt").write_text(3 * line)
    return known


def make_irs(root: Path) -> dict[str, Known]:
    camera = Intrinsics(480 * 64 / 960, 480 * 64 / 960, 31.5, 23.5)
    known = views("Home/ArchVizInterior/1", "Office/DeerOffice/1", camera=camera)
    for key, view in known.items():
        folder, frame = (root / key).parent, key.rsplit("/", 1)[1]
        write_image(folder / f"l_{frame}.png", view.image)
        write_image(folder / f"r_{frame}.png", right_view(view, 0.1))
        facts = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        disparity = view.disparity(0.1).astype(np.float32)
        OpenEXR.File(facts, {"Y": disparity}).write(str(folder / f"d_{frame}.exr"))
    return known
