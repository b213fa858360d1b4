"""Say in words what a label is: its tier, its kind and its unit."""

from depthmix.sample import DEPTH_KINDS, LabelKind, Quality, Sample

__all__ = ["kind_words", "label_unit", "sample_title", "short_kind", "tier_words"]

KINDS = {
    LabelKind.METRIC_DEPTH: "metric depth",
    LabelKind.SCALED_DEPTH: "depth up to an unknown factor",
    LabelKind.AFFINE_DISPARITY: "inverse depth up to scale and shift",
    LabelKind.ORDINAL: "pairs of points, which is nearer",
    LabelKind.NONE: "no depth, plane instances only",
}
UNITS = {
    LabelKind.METRIC_DEPTH: "m",
    LabelKind.SCALED_DEPTH: "unknown unit",
    LabelKind.AFFINE_DISPARITY: "1/m up to scale and shift",
    LabelKind.ORDINAL: "",
    LabelKind.NONE: "",
}
SHORT = {
    LabelKind.METRIC_DEPTH: "metric depth",
    LabelKind.SCALED_DEPTH: "depth",
    LabelKind.AFFINE_DISPARITY: "inverse depth",
    LabelKind.ORDINAL: "order of points",
    LabelKind.NONE: "no depth",
}


def kind_words(kind: LabelKind) -> str:
    """Say what the numbers of a label mean."""
    return KINDS[kind]


def short_kind(kind: LabelKind) -> str:
    """Name the numbers of a label where their unit stands beside."""
    return SHORT[kind]


def label_unit(kind: LabelKind) -> str:
    """Say the unit of `Sample.target`; empty for a label without depth."""
    return UNITS[kind]


def tier_words(quality: Quality) -> str:
    """Say how far a label can be trusted, such as "low quality"."""
    return f"{quality.name.lower()} quality"


def sample_title(sample: Sample) -> str:
    """Write one line with name, tier, kind, unit and the share of valid pixels."""
    unit = f" in {label_unit(sample.kind)}" if sample.kind in DEPTH_KINDS else ""
    share = f", {sample.valid.mean():.1%} valid" if sample.valid.any() else ""
    return f"{sample.name}: {tier_words(sample.quality)}, {kind_words(sample.kind)}{unit}{share}"
