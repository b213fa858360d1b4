"""The model card of a folder: what the numbers mean, what the network learned from, and under which terms."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from depthmix.errors import visible
from depthmix.export.graph import METRIC, RELATIVE
from depthmix.export.licences import by_strictness, hub_licence
from depthmix.metrics import reported
from depthmix.trained import Trained

__all__ = ["escaped", "model_card"]

TAGS: Final = ("depth-estimation", "monocular-depth-estimation", "depthmix")
COLUMNS: Final = ("abs_rel", "delta1", "rmse", "silog", "ssi", "planarity_rms", "normal_angle", "boundary_f1")

OWN_USE: Final = """\
With depthmix, `FOLDER` being this folder or its name on the hub:

```python
from depthmix.export.hub import HubDepthModel

net = HubDepthModel.from_pretrained("FOLDER")
maps = net(image)  # RGB in [0, 1], float32 [batch, 3, rows, columns] -> log canonical depth, then the heads
```

`depthmix predict photo.jpg --ckpt FOLDER --fov-degrees 60` writes pictures, depth maps and point clouds. In
transformers, which needs depthmix to be installed but no remote code:

```python
import depthmix.export.pipeline  # makes the network known
from transformers import pipeline

pipeline("depth-estimation", model="FOLDER")("photo.jpg")["predicted_depth"]  # relative inverse depth
```
"""
NATIVE_USE: Final = """\
`FOLDER` being this folder or its name on the hub; depthmix need not be installed:

```python
from transformers import pipeline

pipeline("depth-estimation", model="FOLDER")("photo.jpg")["predicted_depth"]
```

The numbers there are those of the network inside, before depthmix makes log canonical depth of them.
"""
LIMITS: Final = """\
- One image tells scale only as far as its training data did. Other kinds of scenes, cameras and weather than
  those of the sources above are extrapolation, and nobody has measured them.
- Metres need a known focal length; without one, and from a network that never saw a metric label, depth is
  known up to scale only, or up to scale and shift of its inverse.
- Mirrors, glass, screens, fog and the sky have no depth that a label could teach.
- Not for decisions on which safety depends.
"""


def model_card(
    trained: Trained,
    name: str,
    *,
    rows: Sequence[Mapping[str, Any]] = (),
    without: str | None = None,
    native: bool = False,
) -> str:
    """Return the card as Markdown with the head that the hub reads.

    All that comes from labels, figures and configurations is escaped: it is shown, never obeyed.

    Args:
        trained: the network.
        name: its title.
        rows: of its evaluation, as `DepthMetrics.rows` gives them.
        without: why there are no rows.
        native: whether transformers loads the folder by itself.
    """
    parts = {
        "What the numbers mean": _meaning(trained),
        "Use": NATIVE_USE if native else OWN_USE,
        "Training data": _data(trained),
        "Licences": _licences(trained),
        "Figures": _figures(rows) if rows else f"None: {escaped(without or 'there was no evaluation')}.\n",
        "Limits": LIMITS,
        "Citations": _citations(trained),
    }
    body = "\n".join(f"## {title}\n\n{text}" for title, text in parts.items())
    count = len(trained.sources)
    said = f"trained with depthmix {_version(trained)} on {count} source{'s' * (count != 1)}"
    title = f"# {escaped(name)}\n\nA network that predicts depth from one image, {said}.\n"
    return f"{_head(trained, native)}\n{title}\n{body}"


def escaped(value: object) -> str:
    r"""Return text that Markdown and HTML show as it is, in one line.

    Example:
        >>> print(escaped("a|b <i>[c](d)"))
        a\|b \<i\>\[c\](d)
    """
    text = visible(" ".join(str(value).split()))
    return re.sub(r"([\\`*_\[\]<>#|~&!@:{}$^])", r"\\\1", text)


def _head(trained: Trained, native: bool) -> str:
    licence = hub_licence(trained.sources)
    stated = (
        {"license": licence}
        if licence
        else {"license": "other", "license_name": "terms-of-the-training-data"}
    )
    hub = {} if native else {"tags": [*TAGS, "model_hub_mixin", "pytorch_model_hub_mixin"]}
    values = {
        "library_name": "transformers" if native else "depthmix",
        "pipeline_tag": "depth-estimation",
        **stated,
        "tags": list(TAGS),
        **hub,
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n"


def _version(trained: Trained) -> str:
    return escaped(trained.origin.version or "of a version that is not known")


def _meaning(trained: Trained) -> str:
    kind = "metric depth, where the focal length is known" if trained.metric else "relative inverse depth"
    facts = {
        "kind": kind,
        "unit": "m" if trained.metric else "none: unknown scale and shift",
        "canonical focal length": f"{trained.focal_canonical:g} pixels",
        "size of the training images": f"{trained.height} x {trained.width} (rows x columns)",
        "further maps": ", ".join(trained.heads) or "none",
        "canonical depth": "exp(first map)",
        "meaning": METRIC if trained.metric else RELATIVE,
    }
    return _table(["", ""], [[name, value] for name, value in facts.items()])


def _data(trained: Trained) -> str:
    if not trained.sources:
        return "The checkpoint names no source.\n"
    total = sum(trained.origin.mix.values())
    rows = []
    for name, card in trained.sources.items():
        weight = trained.origin.mix.get(name)
        share = f"{weight / total:.1%}" if weight is not None and total else "not known"
        rows.append([name, share, *(card.get(fact, "") for fact in ("quality", "kind", "unit", "family"))])
    head = ["source", "weight in the mix", "tier", "kind of label", "unit", "how it was measured"]
    prints = "".join(f"- {escaped(name)}\\: {escaped(one)}\n" for name, one in trained.origin.data.items())
    fingerprint = f"\nRoot hash of each prepared set:\n\n{prints}" if prints else ""
    return _table(head, rows) + fingerprint


def _licences(trained: Trained) -> str:
    if not trained.sources:
        return "Of the training data none is known.\n"
    rows = [[name, licence or "none stated"] for name, licence in by_strictness(trained.sources)]
    said = "Those of the labels and images, the most restrictive first."
    after = "Whoever shares the weights has all of them to look at."
    return f"{said} {after}\n\n{_table(['source', 'licence'], rows)}"


def _figures(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [reported(row) for row in found]  # no flatness without what it must be read with
    shown = [name for name in COLUMNS if any(isinstance(row.get(name), float) for row in rows)]
    head = ["set", "alignment", "images", *shown]
    cells = [
        [row["set"], row["alignment"], row["count"], *(_number(row.get(name)) for name in shown)]
        for row in rows
    ]
    return _table(head, cells)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-"


def _citations(trained: Trained) -> str:
    cited = {str(card.get("citation", "")) for card in trained.sources.values()} - {""}
    return "".join(f"- {escaped(text)}\n" for text in sorted(cited)) or "None are known.\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *([escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
