"""Free ground: where things stand without running into each other or into the camera."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Ground", "view_angles"]


@dataclass
class Ground:
    """Keep a list of discs that are taken.

    Args:
        taken: x, y and radius of each.
    """

    taken: list[tuple[float, float, float]] = field(default_factory=list)

    def claim(self, x: float, y: float, radius: float, overlap: float = 0.8) -> bool:
        """Take a disc if it is free; discs may touch by the factor `overlap`."""
        for a, b, r in self.taken:
            if np.hypot(a - x, b - y) < overlap * (r + radius):
                return False
        self.taken.append((x, y, radius))
        return True


def view_angles(
    rng: np.random.Generator, towards: float, spread: float, pitch: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Draw yaw about a direction, pitch, a small roll and the horizontal field of view; radians."""
    yaw = towards + rng.normal(0, spread)
    roll = rng.normal(0, np.radians(1.5))
    return (
        float(yaw),
        float(np.radians(rng.uniform(*pitch))),
        float(roll),
        float(np.radians(rng.uniform(50, 80))),
    )
