"""`depthmix bench`: compare recipes on one rendered corpus, with everything else equal."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthmix.cli.progress import bar
from depthmix.errors import ConfigError

if TYPE_CHECKING:
    from depthmix.bench.corpus import Corpus
    from depthmix.bench.settings import Settings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=["recipes", "mix", "show"], metavar="recipes|mix|show",
                        help="each recipe against each, one under other mixing ratios, or the tables of a "
                             "JSON file that `recipes` wrote")  # fmt: skip
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="of `show`")
    parser.add_argument(
        "--preset",
        default="core",
        help="which images: core, narrow (metres in streets and rooms only), small, or smoke for a test",
    )
    parser.add_argument("--size", default="48x64", help="size of the images: 48x64 or 96x128")
    parser.add_argument("--net", default="lite", help="lite (pretrained, frozen), light or lite_scratch")
    parser.add_argument("--recipes", nargs="+", metavar="NAME",
                        help="shipped recipes, YAML files, only_SOURCE, without_SOURCE, constant, ramp; "
                             "options may follow: midas,balance=gradient (default: all but "
                             "without_SOURCE, as tuned; of mix: quality_aware)")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="optimiser steps of each run (default: by preset)")
    parser.add_argument("--batch", type=int, default=12, help="images per step")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--folder", type=Path, default=Path(".cache/bench"), help="corpora and finished runs")
    parser.add_argument("--on", choices=["test", "val"],
                        help="block that is measured: test, or val, on which choices are made")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Do what is missing, print the table, and write it as JSON and as a page; 1 if a run failed."""
    _check(options)
    if options.what == "show":
        _say(_tables(options.file, options.recipes))
        return 0
    from depthmix.bench.corpus import BLOCKS, make_corpus
    from depthmix.bench.looks import kept, read_looks
    from depthmix.bench.queue import do_runs, plan_runs
    from depthmix.bench.recipes import BASE, CORE, find_recipe
    from depthmix.bench.results import Results

    mixing = options.what == "mix"
    settings = _settings(options)
    corpus = make_corpus(options.folder, settings, options.jobs, bar)
    _say(f"corpus {settings.preset}: {corpus.images} images, sha256 {corpus.sha256}")
    looks = read_looks()
    core = [BASE] if mixing else [kept(name, looks) for name in CORE]
    recipes = [find_recipe(name, corpus) for name in options.recipes or core]
    if twice := [one.name for one in recipes if [other.name for other in recipes].count(one.name) > 1]:
        raise ConfigError(f"two are called {twice[0]!r}", field="--recipes", hint="name the files apart")
    if mixing:
        from depthmix.bench.mix import variants

        recipes = list(variants(recipes[0]))
    on = "val" if mixing else options.on or "test"
    runs = plan_runs(recipes, options.seeds, settings, corpus, options.folder, on)
    problems = do_runs(runs, options.jobs, _say)
    block = BLOCKS[on]
    results = Results.read(runs, block, tuple(name for name in block if name != "motorcycle"))
    if mixing and recipes[0].name in results.recipes:
        _show_mix(options, results, recipes[0].name)
    elif results.recipes:
        _show(options, results, corpus, problems, runs)
    for problem in problems:
        print(f"depthmix: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _check(options: argparse.Namespace) -> None:
    if (options.what == "show") != (options.file is not None):
        reason = "takes no file" if options.file else "needs the JSON file of a benchmark"
        raise ConfigError(reason, field=f"bench {options.what}")
    if options.jobs < 1:
        raise ConfigError(f"must be at least 1, got {options.jobs}", field="--jobs")
    if min(options.seeds) < 0 or len(set(options.seeds)) < len(options.seeds):
        raise ConfigError(f"must be different numbers from 0 on, got {options.seeds}", field="--seeds")

    if options.what == "mix":
        if len(options.recipes or ["one"]) > 1 or set(options.recipes or []) & {"constant", "ramp"}:
            raise ConfigError("mix varies one recipe that is trained", field="--recipes")
        if options.on == "test":
            hint = "the test block is for tables: leave --on out"
            raise ConfigError("mixing ratios are chosen on val", field="--on", hint=hint)


def _settings(options: argparse.Namespace) -> "Settings":
    from depthmix.bench.settings import STEPS, Settings

    steps = options.steps if options.steps is not None else STEPS.get(options.preset, 1)
    return Settings(options.preset, options.size, options.net, steps, options.batch)


def _tables(file: Path, recipes: list[str] | None) -> str:
    """Write the tables of a benchmark that was run before, with the named recipes alone if there are any."""
    from depthmix.bench.tables import tables_of

    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        found = list(dict.fromkeys(row["recipe"] for row in facts["rows"]))
        if unknown := sorted(set(recipes or []) - set(found)):
            hint = f"it has {', '.join(found)}"
            raise ConfigError(f"{unknown[0]!r} is not in {file}", field="--recipes", hint=hint)
        kept = recipes or found
        rows = [row for row in facts["rows"] if row["recipe"] in kept]
        pairs = [pair for pair in facts["pairs"] if {pair["recipe"], pair["other"]} <= set(kept)]
        return tables_of(rows, pairs, kept[0])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"is no JSON file of `depthmix bench recipes`: {type(error).__name__}: {error}"
        raise ConfigError(reason, file=file) from error


def _say(text: str) -> None:
    print(text, flush=True)


def _show(
    options: argparse.Namespace, results: Any, corpus: "Corpus", problems: list[str], runs: list[Any]
) -> None:
    from depthmix.bench.benchmark import Benchmark
    from depthmix.bench.looks import looks_text, read_looks
    from depthmix.bench.page import write_page
    from depthmix.bench.tables import tables_of

    looks = read_looks()
    bench = Benchmark.of(results, _settings(options), corpus, _block(options), looks, problems)
    _say(tables_of(bench.rows, bench.pairs, results.recipes[0]))
    _say("\n" + bench.wins_text())
    _say(looks_text(looks, results.recipes))
    if options.preset == "smoke":
        _say("this was a smoke test: nothing can be read from its figures")
    name = f"recipes-{options.preset}-{options.size}-{options.net}-{_block(options)}"
    file = options.folder / f"{name}.json"
    file.write_text(json.dumps(bench.plain(), indent=1), encoding="ascii")
    print(file)
    print(write_page(options.folder / f"{name}.html", bench, runs))


def _block(options: argparse.Namespace) -> str:
    return str(options.on or "test")


def _show_mix(options: argparse.Namespace, results: Any, base: str) -> None:
    from depthmix.bench.compare import compare
    from depthmix.bench.mix import sensitivity, text

    lines = list(sensitivity(base, results, list(compare(results, ["abs_rel"]))))
    _say(text(lines))
    if options.preset == "smoke":
        _say("this was a smoke test: nothing can be read from its figures")
    file = options.folder / f"mix-{base}-{options.preset}-{options.size}-{options.net}.json"
    file.write_text(json.dumps({"base": base, "lines": lines}, indent=1), encoding="ascii")
    print(file)
