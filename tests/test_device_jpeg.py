"""What a row looks like after JPEG on the device is what a JPEG file would show."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from depthmix.device_augment import DeviceAugment, DeviceAugmentOptions
from depthmix.device_jpeg import compressed
from tests.test_device_augment import batch_of


def photo(height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth shapes, edges and a little noise: [1 3 h w] in steps of 1/255."""
    v, u = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    waves = [
        np.sin(u / (5 + k) + rng.random()) + np.cos(v / (9 - k)) + 2 * (u + v > 40 + 9 * k) for k in range(3)
    ]
    picture = np.stack(waves) * 40 + 110 + rng.normal(0, 4, (3, height, width))
    return torch.from_numpy(np.clip(picture.round(), 0, 255) / 255).float()[None]


def through_a_file(image: Tensor, quality: int) -> Tensor:
    pixels = (image[0] * 255).round().byte().permute(1, 2, 0).numpy()
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), options)[1]
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    return torch.from_numpy(shown.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("quality", [5, 30, 49, 50, 75, 95])
@pytest.mark.parametrize("size", [(32, 48), (37, 51)])
def test_pixels_are_those_of_a_file(size: tuple[int, int], quality: int) -> None:
    image = photo(*size)
    expected, found = through_a_file(image, quality), compressed(image, torch.tensor([float(quality)]))
    off = (found - expected).abs() * 255
    # Encoders work with whole numbers: a coefficient on the edge between two steps may fall to either side.
    assert off.mean() < (image - expected).abs().mean() * 255 / 3
    assert (off <= 2).float().mean() > 0.9
    if quality <= 30:  # coarse steps leave few edges to fall off
        assert off.mean() < 0.25


def test_rows_of_quality_100_are_not_touched() -> None:
    image = photo(32, 48).repeat(2, 1, 1, 1) * 0.999
    found = compressed(image, torch.tensor([100.0, 20.0]))
    assert torch.equal(found[0], image[0])
    assert not torch.equal(found[1], image[1])


def test_a_row_is_the_same_in_any_batch() -> None:
    images = torch.cat([photo(37, 51, seed) for seed in range(5)])
    quality = torch.tensor([10.0, 30.0, 50.0, 70.0, 90.0])
    together = compressed(images, quality)
    for row in range(5):
        assert torch.equal(compressed(images[row : row + 1], quality[row : row + 1])[0], together[row])


def test_the_option_changes_images_alone_and_more_where_it_is_larger() -> None:
    batch = batch_of()

    def change(jpeg: float) -> float:
        varied = DeviceAugment([DeviceAugmentOptions(jpeg=jpeg)])(batch)
        assert torch.equal(varied.target, batch.target)
        assert torch.equal(varied.planes, batch.planes)
        return (varied.image - batch.image_float).abs().mean().item()

    assert 0 < change(0.3) < change(0.9)
