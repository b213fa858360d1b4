"""The tables that people read say what the rows and pairs hold, in the digits that can be read."""

from typing import Any

from depthmix.bench.tables import tables_of

VALUES = {("ours", "none"): 0.1234, ("ours", "affine_inverse_depth"): 0.05, ("theirs", "none"): 0.5}


def rows() -> list[dict[str, Any]]:
    return [
        {
            "set": name,
            "alignment": alignment,
            "recipe": recipe,
            "seeds": 3,
            "abs_rel": VALUES.get((recipe, alignment)),
            "abs_rel_sd": 0.002,
            "normal_angle": 36.54,
            "normal_angle_sd": 1.0,
            "boundary_f1": None,
            "boundary_f1_sd": None,
        }
        for name in ("mean", "rooms")
        for alignment in ("none", "median", "affine_inverse_depth")
        for recipe in ("ours", "theirs")
    ]


def pair(metric: str, alignment: str, difference: float, verdict: str) -> dict[str, Any]:
    facts = {"recipe": "theirs", "other": "ours", "set": "mean", "metric": metric, "alignment": alignment}
    return {
        **facts,
        "difference": difference,
        "low": difference - 0.1,
        "high": difference + 0.1,
        "verdict": verdict,
    }


def test_means_sets_and_differences_stand_in_three_tables():
    pairs = [pair("abs_rel", "none", 0.3766, "worse"), pair("normal_angle", "none", 2.0, "worse")]
    text = tables_of(rows(), pairs, "ours")
    assert "| ours | 3 | 0.123 ± 0.002 | - | 0.050 ± 0.002 | 36.54 ± 1.00 | - |" in text
    assert (
        "| recipe | rooms | rooms, affine |\n|---|---|---|\n| ours | 0.123 ± 0.002 | 0.050 ± 0.002 |" in text
    )
    # Turned round: what is worse against ours is better for ours.
    assert "| theirs | -0.377 [-0.477, -0.277] better | - | - | -2.0 [-2.1, -1.9] better | - |" in text


def test_one_recipe_has_nothing_to_be_compared_with():
    text = tables_of([row for row in rows() if row["recipe"] == "ours"], [], "ours")
    assert "less the other" not in text
    assert text.count("| recipe |") == 2
