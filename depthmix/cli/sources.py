"""`depthmix sources`: the sources that are known and what their labels are worth."""

import argparse
import json
from dataclasses import asdict
from enum import IntEnum

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("action", choices=["list", "show"])
    parser.add_argument("name", nargs="?", help="class name of the source to show")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(options: argparse.Namespace) -> int:
    """Print one line per source, or the whole card of one."""
    from depthmix.sources.registry import available, find

    if options.action == "show" and not options.name:
        from depthmix.errors import ConfigError

        raise ConfigError("no source named", field="name", hint="see `depthmix sources list`")
    chosen = {options.name: find(options.name)} if options.name else available()
    cards = {name: _plain(asdict(source.card)) for name, source in chosen.items()}
    if options.json:
        print(json.dumps(cards, indent=2))
    elif options.action == "list":
        print(f"{'source':18} {'tier':7} {'kind':17} {'density':8} licence")
        for name, card in cards.items():
            print(f"{name:18} {card['quality']:7} {card['kind']:17} {card['density']:8} {card['licence']}")
    else:
        print(options.name)
        for field, value in cards[options.name].items():
            print(f"  {field:9} {value}")
    return 0


def _plain(card: dict[str, object]) -> dict[str, object]:
    return {name: value.name if isinstance(value, IntEnum) else value for name, value in card.items()}
