"""What an exported file computes, and what it says about it."""

import json
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from depthmix.trained import Trained, facts_of

__all__ = ["CanonicalDepth", "describe", "public_facts"]

METRIC = "z in metres = canonical_depth * fx / focal_canonical, fx in pixels of the image of this size"
RELATIVE = "1 / canonical_depth is inverse depth of unknown scale and shift: no metres"


RESIZE = "; best at fx = focal_canonical, to which the images of its training were resized"


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


def public_facts(trained: Trained) -> dict[str, Any]:
    """Return what a checkpoint says, without the folders of the machine that trained it.

    Texts of the recipe with a slash are left out: paths say who trained where.
    """
    facts = facts_of(trained)
    facts["origin"]["recipe"] = _without_paths(facts["origin"]["recipe"])
    return facts


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_paths(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_paths(one) for one in value]
    return None if isinstance(value, str) and ("/" in value or "\\" in value) else value


def describe(trained: Trained, height: int, width: int) -> str:
    """Return what stands in an exported file, as JSON: shapes, meaning, sources and licences."""
    facts = public_facts(trained)
    del facts["net"], facts["heads"]
    licences = sorted({str(card.get("licence", "")) for card in trained.sources.values()} - {""})
    about = {
        "input": f"image: RGB in [0, 1], float32 [batch, 3, {height}, {width}]"
        + (RESIZE if trained.form == "image" else ""),
        "output": f"canonical_depth: float32 [batch, 1, {height}, {width}]",
        "meaning": METRIC if trained.metric else RELATIVE,
        "licences of the training data": licences,
    }
    return json.dumps({**about, **facts, "height": height, "width": width}, indent=1)
