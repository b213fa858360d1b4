"""Every recipe: what it learns from which label, the weights of its authors, and that it trains."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import seed_everything

from depthmix.bench.corpus import Corpus
from depthmix.bench.looks import kept, read_looks
from depthmix.bench.recipes import ALL, BASELINES, CORE, find_recipe
from depthmix.bench.training import fit, make_data, make_task
from depthmix.configured import recipe
from depthmix.errors import ConfigError
from depthmix.objective import Objective
from depthmix.scenes.plan import TRAINING
from depthmix.terms import check_terms, learns_metres
from tests.bench.conftest import TINY

TRAINED = [name for name in ALL if name not in BASELINES]
RELATIVE = {"midas", "midas_pareto", "leres", "only_web", "only_planes"}
# Which terms may learn from which source of the demo.
ROUTES: dict[str, dict[str, set[str]]] = {
    "leres": {
        "web": {"ranking"},
        "kitti": {"ranking", "ilnr"},
        "middlebury": {"ranking", "ilnr", "gradient", "edge_normal"},
        "planes": {"plane_normal"},
    },
    "midas": {"web": {"ssi", "gradient"}, "kitti": {"ssi"}, "middlebury": {"ssi", "gradient"}},
    "metric3d_routing": {
        "web": {"regions"},
        "kitti": {"silog", "virtual_normal", "regions"},
        "middlebury": {"silog", "virtual_normal", "regions", "normal"},
        "planes": {"plane_normal"},
    },
    "moge_routing": {
        "web": {"global"},
        "kitti": {"global", "patch_4", "scale"},
        "middlebury": {"global", "patch_4", "patch_16", "normal", "scale"},
    },
    "naive": {"web": {"metric"}, "kitti": {"metric"}, "middlebury": {"metric"}},
}
WEIGHTS: dict[str, dict[str, float]] = {
    "leres": {"ranking": 1, "ilnr": 1, "gradient": 0.5, "edge_normal": 1, "plane_normal": 1},
    "midas": {"ssi": 1, "gradient": 2 * 0.5},  # ours is half of theirs; see the recipe
    "midas_pareto": {"ssi": 1, "gradient": 2 * 0.5},
    "metric3d_routing": dict.fromkeys(("silog", "virtual_normal", "regions", "plane_normal", "normal"), 1),
    "moge_routing": {"global": 1, "patch_4": 1, "patch_16": 1, "normal": 0.1, "scale": 0.1},
}


@pytest.mark.parametrize("name", TRAINED)
def test_every_term_has_a_source_and_every_source_a_term(corpus: Corpus, name: str):
    values = find_recipe(name, corpus).values
    cards = make_data(values, TINY, 0, corpus.prepared).cards
    terms = make_task(values, TINY).terms
    check_terms(terms, cards)
    assert learns_metres(terms, cards) == (name not in RELATIVE)


@pytest.mark.parametrize("name", TRAINED)
def test_a_recipe_trains(corpus: Corpus, tmp_path: Path, name: str):
    values = find_recipe(name, corpus).values
    task, _, seconds = fit(values, replace(TINY, steps=1), 0, corpus.prepared, tmp_path)
    assert all(parameter.isfinite().all() for parameter in task.net.parameters())
    assert seconds > 0
    assert task.guard.skipped == 0


def test_options_of_the_model_may_follow_the_name(corpus: Corpus):
    found = find_recipe("midas,balance=gradient,learning_rate=0.001", corpus)
    assert found.name == "midas,balance=gradient,learning_rate=0.001"
    expected = find_recipe("midas", corpus).values["model"] | {"balance": "gradient", "learning_rate": 0.001}
    assert found.values["model"] == expected


@pytest.mark.parametrize(
    "name", ["midas,balanse=none", "midas,balance", "midas,terms={}", "ramp,learning_rate=1", "midas,"]
)
def test_another_option_is_named_with_those_that_there_are(corpus: Corpus, name: str):
    with pytest.raises(ConfigError, match=r"--recipes \w+: .* must be OPTION=VALUE with one of"):
        find_recipe(name, corpus)


def test_the_core_table_takes_what_the_looks_kept(corpus: Corpus):
    looks = read_looks()
    for name in CORE:
        found = find_recipe(kept(name, looks), corpus)
        assert found.name.split(",")[0] == name
        assert len([look for look in looks.get(name, []) if look["kept"]]) == (1 if name in looks else 0)
    assert kept("midas", looks) == "midas,balance=gradient"


def test_all_recipes_of_a_seed_start_from_the_same_weights(corpus: Corpus):
    def start(name: str, seed: int) -> torch.Tensor:
        seed_everything(seed, verbose=False)
        task = make_task(find_recipe(name, corpus).values, TINY)
        return torch.cat([parameter.flatten() for parameter in task.net.parameters()])

    first = start("quality_aware", 0)
    assert all(torch.equal(start(name, 0), first) for name in TRAINED)
    assert not torch.equal(start("quality_aware", 1), first)


@pytest.mark.parametrize("name", ROUTES)
def test_a_source_is_seen_by_the_terms_that_its_label_bears_and_no_others(corpus: Corpus, name: str):
    values = find_recipe(name, corpus).values
    large = replace(TINY, batch=26)  # two images of the source that comes least
    data, task = make_data(values, large, 0, corpus.prepared), make_task(values, TINY)
    assert set(data.source_names) == set(ROUTES[name])
    batch = next(iter(data.train_dataloader()))
    objective = Objective(task.terms, task.balance, data.cards)
    for number, source in enumerate(data.source_names):
        rows = batch.source == number
        assert rows.any()
        seen = {term for term in objective.names if objective.carries(term, batch)[rows].any()}
        assert seen == ROUTES[name][source]


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_rival_has_the_weights_of_its_authors_and_nobody_rebalances_them(name: str):
    model = _shipped(name)["model"]
    assert {term: options["weight"] for term, options in model["terms"].items()} == WEIGHTS[name]
    assert model["balance"] == ("pareto_sources" if name == "midas_pareto" else "none")


def test_gradient_matching_is_half_of_what_divides_by_pixels():
    from depthmix.alignment import normalised_difference
    from depthmix.losses import gradient_matching

    torch.manual_seed(0)
    p, g = (torch.rand(1, 1, 64, 64) for _ in range(2))
    residual = normalised_difference(p, g, torch.ones_like(g, dtype=torch.bool))[0]
    ours = gradient_matching(p, g, torch.ones_like(g, dtype=torch.bool), scales=1)
    theirs = (residual.diff(dim=2).abs().sum() + residual.diff(dim=3).abs().sum()) / g.numel()
    assert ours.item() == pytest.approx(theirs.item() / 2, rel=0.02)  # the borders have fewer pairs


@pytest.mark.parametrize("name", ["oracle", "metric_only"])
def test_what_shall_show_the_labels_alone_has_the_terms_of_the_default(name: str):
    base, other = _shipped("quality_aware")["model"], _shipped(name)["model"]
    kept = {term: options for term, options in base["terms"].items() if term in other["terms"]}
    assert other["terms"] == kept
    assert {key: value for key, value in other.items() if key != "terms"} == {
        key: value for key, value in base.items() if key != "terms"
    }
    assert set(base["terms"]) - set(other["terms"]) == ({"plane"} if name == "metric_only" else set())


def test_all_recipes_have_the_network_rate_and_batch_of_the_default():
    base = _shipped("quality_aware")
    for name in (name for name in CORE if name in _all_shipped()):
        values = _shipped(name)
        for option in ("net", "learning_rate", "focal_canonical"):
            assert values["model"][option] == base["model"][option]
        assert values["data"]["batch_size"] == base["data"]["batch_size"]


@pytest.mark.parametrize("source", TRAINING)
def test_one_source_alone_keeps_the_terms_that_it_bears(corpus: Corpus, source: str):
    values = find_recipe(f"only_{source}", corpus).values
    assert list(values["data"]["sources"]) == [source]
    expected = {
        "web": {"ssi", "gradient"},
        "kitti": {"ssi", "metric", "normal"},
        "middlebury": {"ssi", "gradient", "metric", "normal"},
        "planes": {"plane"},
    }
    assert set(values["model"]["terms"]) == expected[source] | ({"plane"} if source != "planes" else set())


@pytest.mark.parametrize("source", TRAINING)
def test_all_but_one_source_leaves_the_others_as_they_are(corpus: Corpus, source: str):
    whole = find_recipe("quality_aware", corpus).values["data"]["sources"]
    left = find_recipe(f"without_{source}", corpus).values["data"]["sources"]
    assert left == {name: spec for name, spec in whole.items() if name != source}


def test_a_file_is_a_recipe_and_sources_that_the_corpus_lacks_are_left_out(corpus: Corpus, tmp_path: Path):
    values = _shipped("moge_routing")
    values["data"]["sources"]["elsewhere"] = {"weight": 1.0}
    values["model"]["terms"]["more"] = {**values["model"]["terms"]["scale"], "sources": ["elsewhere"]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    found = find_recipe(str(tmp_path / "mine.yaml"), corpus)
    assert found.name == "mine"
    assert "elsewhere" not in found.values["data"]["sources"]
    assert "more" not in found.values["model"]["terms"]
    assert find_recipe("quality_aware", corpus).values["data"]["sources"].keys() == set(TRAINING)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("only_sonar", "--recipes only_sonar: 'sonar' is not one of web, kitti, middlebury, planes"),
        ("midass", "midass: config: no such file, and no recipe of this name; did you mean 'midas'"),
    ],
)
def test_a_recipe_that_does_not_exist_is_named(corpus: Corpus, name: str, message: str):
    with pytest.raises(ConfigError, match=message):
        find_recipe(name, corpus)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {}\n", "mine.yaml: data.sources: is missing; see what is wrong with `depthmix check"),
        ("[1, 2", "mine.yaml: while parsing"),
        (
            "data: {sources: {sonar: {}}}\nmodel: {terms: {a: {loss: LogL1Loss}}}\n",
            "data.sources: has none of the sources of this corpus: sonar",
        ),
    ],
)
def test_a_file_that_is_no_recipe_is_named(corpus: Corpus, tmp_path: Path, text: str, message: str):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        find_recipe(str(tmp_path / "mine.yaml"), corpus)


def _shipped(name: str) -> Mapping[str, Any] | Any:
    return yaml.safe_load(recipe(name).read_text())


def _all_shipped() -> set[str]:
    return {file.stem for file in recipe("quality_aware").parent.glob("*.yaml")}
