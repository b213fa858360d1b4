"""The page and the text of a benchmark, from one smoke run of the command."""

import json
import re
from pathlib import Path

import pytest

from depthmix.bench.benchmark import Benchmark
from depthmix.bench.corpus import Corpus
from depthmix.bench.looks import looks_text, read_looks
from depthmix.bench.page import write_page
from depthmix.bench.recipes import BASELINES, CORE
from depthmix.cli import main
from tests.bench.conftest import TINY
from tests.bench.test_results import TWO

# A smoke test of the whole way: 60 steps say that it runs, and nothing about recipes.
SMOKE = ["--preset", "smoke", "--net", "light", "--steps", "60", "--seeds", "0"]
RECIPES = ["--recipes", "quality_aware", "midas", "ramp"]


@pytest.fixture(scope="module")
def shown(corpus: Corpus, bench_folder: Path) -> tuple[str, Path]:
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("depthmix.cli.bench._say", lines.append)
        assert main(["bench", "recipes", *SMOKE, *RECIPES, "--folder", str(bench_folder)]) == 0
    return "\n".join(lines), bench_folder / "recipes-smoke-48x64-light-test"


def test_the_smoke_run_says_that_it_is_one_and_which_corpus_it_saw(shown: tuple[str, Path], corpus: Corpus):
    text, _ = shown
    assert f"corpus smoke: 26 images, sha256 {corpus.sha256}" in text
    assert "this was a smoke test: nothing can be read from its figures" in text
    assert "tuning looks are NOT equal: quality_aware 6, midas 3" in text


def test_the_tables_have_every_recipe_in_every_family_and_show_prints_them_again(
    shown: tuple[str, Path], capsys: pytest.CaptureFixture[str]
):
    text, file = shown
    assert "| recipe | seeds | un-aligned | median-scaled | affine | normals ° | edge F1 |" in text
    assert "| rooms | streets | clutter | motorcycle | rooms, affine |" in text
    assert len(re.findall(r"^\| quality_aware \| ", text, re.MULTILINE)) == 3
    assert len(re.findall(r"^\| ramp \| \d / \d", text, re.MULTILINE)) == 1
    assert main(["bench", "show", str(file.with_suffix(".json"))]) == 0
    again = capsys.readouterr().out
    assert again.strip() in text
    assert main(["bench", "show", str(file.with_suffix(".json")), "--recipes", "midas", "ramp"]) == 0
    fewer = capsys.readouterr().out
    assert "midas less the other" in fewer
    assert "quality_aware" not in fewer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "bench show: needs the JSON file of a benchmark"),
        (["recipes", "x.json"], "bench recipes: takes no file"),
        (["show", "x.json"], "x.json: is no JSON file of `depthmix bench recipes`: FileNotFoundError"),
    ],
)
def test_show_without_a_benchmark_says_so(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err
    for content in ("[]", "{}", "nothing", '{"rows": [1], "pairs": []}'):
        (tmp_path / "x.json").write_text(content)
        assert main(["bench", "show", "x.json"]) == 2
        assert "x.json: is no JSON file of" in capsys.readouterr().err


def test_a_recipe_that_was_not_run_cannot_be_shown(
    shown: tuple[str, Path], capsys: pytest.CaptureFixture[str]
):
    assert main(["bench", "show", str(shown[1].with_suffix(".json")), "--recipes", "naive"]) == 2
    assert "'naive' is not in " in (said := capsys.readouterr().err)
    assert "it has quality_aware, midas, ramp" in said


def test_the_json_holds_rows_pairs_curves_and_what_they_depend_on(shown: tuple[str, Path], corpus: Corpus):
    facts = json.loads(shown[1].with_suffix(".json").read_text())
    assert facts["corpus"]["sha256"] == corpus.sha256
    assert facts["settings"]["steps"] == 60
    assert {row["recipe"] for row in facts["rows"]} == {"quality_aware", "midas", "ramp"}
    assert {"abs_rel", "abs_rel_sd", "boundary_f1", "normal_angle"} <= set(facts["rows"][0])
    assert {(row["recipe"], row["other"]) for row in facts["pairs"]} == {
        ("quality_aware", "midas"),
        ("quality_aware", "ramp"),
        ("midas", "ramp"),
    }
    assert [point["step"] for point in facts["curves"]["midas"]["0"]] == [12, 24, 36, 48, 60]
    assert facts["problems"] == []


def test_the_page_is_one_file_with_table_curves_and_gallery(shown: tuple[str, Path]):
    page = shown[1].with_suffix(".html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "<script" not in page
    assert page.count('alt="midas of ') == 3 * 2  # two scenes a family
    assert page.count('alt="image of ') == page.count('alt="label of ') == 6
    assert "A smoke test" in page
    assert page.count("every measure in every alignment") == 5  # the mean, three families, the real pair
    assert re.search(
        r'<th scope="row" class="name">ramp</th><td class="number">1</td><td class="number">\d', page
    )
    assert "validation AbsRel, alignment affine_inverse_depth" in page


def test_what_failed_stands_at_the_top_and_is_escaped(tmp_path: Path, corpus: Corpus, monkeypatch):
    monkeypatch.setattr("depthmix.bench.page._gallery", lambda runs, results: [])
    monkeypatch.setattr("depthmix.bench.benchmark.compare", lambda results: [])
    monkeypatch.setattr("depthmix.bench.page.overview", lambda rows: [])
    monkeypatch.setattr("depthmix.bench.page.SHOWN", ("abs_rel",))
    bench = Benchmark.of(TWO, TINY, corpus, "val", {}, ["naive seed 0: <b>broken</b>"])
    page = write_page(tmp_path / "page.html", bench, []).read_text()
    assert "naive seed 0: &lt;b&gt;broken&lt;/b&gt;" in page


def test_two_recipes_of_one_name_are_refused(
    corpus: Corpus, bench_folder: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["--preset", "smoke", "--recipes", "midas", "midas", "--folder", str(bench_folder)]
    assert main(["bench", "recipes", *arguments]) == 2
    assert "--recipes: two are called 'midas'; name the files apart" in capsys.readouterr().err


def test_every_trained_rival_has_its_looks_written_down():
    looks = read_looks()
    tuned = {name for name in CORE if name not in BASELINES and not name.startswith("only_")} - {"oracle"}
    assert set(looks) == tuned


def test_unequal_looks_are_said():
    looks = {"midas": [{}], "naive": []}
    assert looks_text(looks, ["midas"]) == "tuning looks: 1 for each recipe"
    assert looks_text(looks, ["midas,balance=none"]) == "tuning looks: 1 for each recipe"
    assert looks_text(looks, ["midas", "naive", "ramp"]) == "tuning looks are NOT equal: midas 1, naive 0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "huge"], "--preset: must be one of smoke, small, core, narrow, got 'huge'"),
        (["--size", "1x1"], "--size: must be one of 48x64, 96x128, got '1x1'"),
        (["--steps", "0"], "--steps: must be at least 1, got 0"),
        (["--jobs", "0"], "--jobs: must be at least 1, got 0"),
        (["--seeds", "1", "1"], "--seeds: must be different numbers from 0 on, got [1, 1]"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(["bench", "recipes", *arguments, "--folder", str(tmp_path / "bench")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "bench").exists()
