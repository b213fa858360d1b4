"""save_pretrained_folder: transformers runs what was trained, and says what its numbers mean."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from depthmix.errors import ConfigError, StorageError
from depthmix.models import LightDepthNet, TransformersDepthNet, save_pretrained_folder
from depthmix.trained import load_trained
from tests.models.test_transformers_net import images
from tests.models.tiny import DEPTH, OPTIONS, lively

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*")

# Sizes that the networks take as they are, so that nothing is resized on the way there.
SIZES = {
    "dpt": (32, 32),
    "depth_pro": (64, 64),
    "relative": (56, 56),
    "metric": (56, 70),
    "dpt_on_dinov2": (56, 84),
}
# Their maps have another size than the image, and the pipeline resizes them with another filter.
RESIZED = ("dpt_on_dinov2", "depth_pro")
SLOW = ("dpt_on_dinov2", "zoedepth", "glpn")  # the others go the same ways
CASES: dict[str, dict[str, Any]] = {
    "relative": {"scale": 0.3, "shift": 0.05},
    "metric": {"focal_canonical": 90.0, "focal_per_width": 0.8},
    "dpt": {"scale": 0.3, "shift": 0.05},
    "dpt_on_dinov2": {},
    "zoedepth": {},
    "depth_pro": {},
    "glpn": {},
}


def trained(name: str) -> TransformersDepthNet:
    """Return a network whose weights, scale and shift are not those that it began with."""
    torch.manual_seed(0)
    options = {**OPTIONS.get(name, {}), **CASES[name]}
    net = TransformersDepthNet(config=copy.deepcopy(DEPTH[name]), **options)
    lively(net.model)
    if net.affine is not None:
        with torch.no_grad():
            net.affine.add_(0.05)
    return net.eval()


def canonical_depth(facts: dict[str, Any], predicted: torch.Tensor) -> torch.Tensor:
    """Follow what the folder says, by its own words."""
    left, right = facts["predicted_depth"].replace("image width", "width").split(" = ")
    names = {**facts, "predicted_depth": predicted, "width": predicted.shape[-1]}
    found: torch.Tensor = eval(right, {"max": torch.clamp}, names)
    return 1 / found if left.startswith("1 /") else found


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES],
)
def test_the_pipeline_gives_our_depth_by_the_relation_in_the_folder(name: str, tmp_path: Path):
    net = trained(name)
    size = SIZES.get(name, (64, 96))
    save_pretrained_folder(net, tmp_path / "folder", size=size)
    pipeline = transformers.pipeline("depth-estimation", model=str(tmp_path / "folder"), device="cpu")
    pixels = (images(size, count=1)[0].permute(1, 2, 0) * 255).round().byte().numpy()
    predicted = pipeline(Image.fromarray(pixels))["predicted_depth"]
    facts = json.loads((tmp_path / "folder" / "config.json").read_text())["depthmix"]
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        ours = net(image).exp()
        if name in RESIZED:
            numbers = functional.interpolate(net._numbers(image)[0], size, mode="bicubic")
            ours = net._log_canonical(numbers, size[1]).exp()
    assert predicted.shape == size
    torch.testing.assert_close(canonical_depth(facts, predicted), ours[0, 0], rtol=1e-4, atol=1e-4)
    assert "torchvision" not in sys.modules


@torch.no_grad()
@pytest.mark.parametrize("name", ["relative", "metric", "depth_pro"])
def test_our_class_reads_back_what_it_wrote_with_all_that_was_learned(name: str, tmp_path: Path):
    net = trained(name)
    save_pretrained_folder(net, tmp_path)
    again = TransformersDepthNet(str(tmp_path)).eval()
    torch.testing.assert_close(again(images()), net(images()), rtol=1e-5, atol=1e-5)
    assert again.normalisation.mean == pytest.approx(net.normalisation.mean)
    if net.scale_shift is not None:
        assert again.scale_shift == pytest.approx(net.scale_shift)
        assert again.scale_shift != pytest.approx((0.3, 0.05), rel=0.1)


def test_photos_of_any_size_are_seen_at_the_size_of_training(tmp_path: Path):
    net = trained("relative")
    save_pretrained_folder(net, tmp_path, size=(42, 56))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    photo = Image.fromarray(np.zeros((300, 400, 3), dtype=np.uint8))
    assert processor(photo, return_tensors="pt")["pixel_values"].shape[-2:] == (42, 56)
    own = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert own["size"] == {"height": 42, "width": 56}
    save_pretrained_folder(net, tmp_path)
    own = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert own["size"] == {"height": 56, "width": 56}  # that the backbone was made for
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    assert processor(photo, return_tensors="pt")["pixel_values"].shape[-2:] == (56, 70)


def test_only_networks_of_transformers_become_a_folder(tmp_path: Path):
    with pytest.raises(ConfigError, match="LightDepthNet is no network of transformers"):
        save_pretrained_folder(LightDepthNet(), tmp_path)  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        save_pretrained_folder(trained("relative"), tmp_path / "file" / "folder")


def test_a_folder_of_transformers_is_no_checkpoint_and_says_who_reads_it(tmp_path: Path):
    save_pretrained_folder(TransformersDepthNet(config=copy.deepcopy(DEPTH["metric"])), tmp_path)
    with pytest.raises(ConfigError, match=r"form of transformers.* TransformersDepthNet\(folder\)"):
        load_trained(tmp_path)
