"""From linear light to an 8-bit photo: exposure, white balance, lens blur, noise, tone curve, JPEG."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, UInt8

__all__ = ["Exposure", "develop", "draw_exposure", "jpeg"]


@dataclass(frozen=True)
class Exposure:
    """Hold how one camera turns light into numbers.

    Args:
        gain: factor on linear RGB, white balance included.
        blur: standard deviation of the lens blur in pixels.
        noise: standard deviation of the noise of a mid-grey pixel, 1 = white.
        vignette: how much darker the corners are.
        contrast: exponent of the tone curve.
        quality: of the JPEG.
    """

    gain: tuple[float, float, float]
    blur: float
    noise: float
    vignette: float
    contrast: float
    quality: int

    def varied(self, rng: np.random.Generator) -> "Exposure":
        """Return the settings of a second camera of the same make: a little brighter or darker."""
        factor = float(np.exp(rng.normal(0, 0.02)))
        return replace(self, gain=(self.gain[0] * factor, self.gain[1] * factor, self.gain[2] * factor))


def draw_exposure(rng: np.random.Generator, radiance: Float32[np.ndarray, "h w 3"]) -> Exposure:
    """Expose for the mean of a picture, not quite right, as cameras do."""
    grey = radiance.mean(axis=2)
    level = float(np.exp(np.log(grey + 1e-3).mean())) * 0.6 + float(grey.mean()) * 0.4
    gain = 0.24 / max(level, 1e-4) * float(np.exp(rng.normal(0, 0.22)))
    red, blue = np.exp(rng.normal(0, 0.05, 2))
    return Exposure(
        (gain * float(red), gain, gain * float(blue)),
        float(rng.uniform(0.3, 0.65)),
        float(rng.uniform(0.004, 0.016)),
        float(rng.uniform(0, 0.25)),
        float(rng.uniform(0.85, 1.15)),
        int(rng.integers(82, 97)),
    )


def develop(
    radiance: Float32[np.ndarray, "h w 3"], exposure: Exposure, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Turn linear light into what a JPEG of it shows."""
    import cv2

    light = radiance * np.array(exposure.gain, np.float32)
    light = cv2.GaussianBlur(light, (0, 0), exposure.blur)
    height, width = light.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    light = light * (1 - exposure.vignette * (x * x + y * y) / 2)[..., None]
    grain = rng.standard_normal(light.shape, np.float32) * np.float32(exposure.noise)
    light = np.maximum(light + grain * np.sqrt(0.05 + np.maximum(light, 0)), 0)
    light = light * (1 + light / 4) / (1 + light)  # highlights roll off, white is reached at 4
    shown = np.clip(light, 0, 1) ** np.float32(exposure.contrast / 2.2)
    return decoded(jpeg(np.round(shown * 255).astype(np.uint8), exposure.quality))


def jpeg(image: UInt8[np.ndarray, "h w 3"], quality: int) -> bytes:
    """Encode RGB as JPEG."""
    import cv2

    return bytes(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def decoded(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image file to RGB."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(np.asarray(image), cv2.COLOR_BGR2RGB))
