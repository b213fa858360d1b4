"""What an exported file computes, and what it says about it."""

import json

from jaxtyping import Float
from torch import Tensor, nn

from depthmix.trained import Trained, facts_of

__all__ = ["CanonicalDepth", "describe"]

METRIC = "z in metres = canonical_depth * fx / focal_canonical, fx in pixels of the image of this size"
RELATIVE = "1 / canonical_depth is inverse depth of unknown scale and shift: no metres"


class CanonicalDepth(nn.Module):
    """Map RGB in [0, 1] to canonical depth, which is easier to use than its logarithm.

    Args:
        net: gives log canonical depth in its first channel.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Return canonical depth; depth is this times fx over the canonical focal length."""
        depth: Tensor = self.net(image)[:, :1].exp()
        return depth


def describe(trained: Trained, height: int, width: int) -> str:
    """Return what stands in an exported file, as JSON: shapes, meaning, sources and licences."""
    facts = facts_of(trained)
    del facts["net"], facts["heads"]
    licences = sorted({str(card.get("licence", "")) for card in trained.sources.values()} - {""})
    about = {
        "input": f"image: RGB in [0, 1], float32 [batch, 3, {height}, {width}]",
        "output": f"canonical_depth: float32 [batch, 1, {height}, {width}]",
        "meaning": METRIC if trained.metric else RELATIVE,
        "licences of the training data": licences,
    }
    return json.dumps({**about, **facts, "height": height, "width": width}, indent=1)
