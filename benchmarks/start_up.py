"""How long the light commands take to start: CPU time of a process of its own, medians over rounds.

    make start-up-costs          (a minute on one core; writes .cache/start_up.json)

CPU time (user and system) of the child and not wall time, so a busy machine disturbs it less; the first
round, which may write byte code and read a cold disk, is not counted. Byte code is kept, as for any user,
even where PYTHONDONTWRITEBYTECODE is set: without it each start compiles what it imports of depthmix.
`python` is an interpreter that does nothing: what no command can go below. `check --full` imports torch and
Lightning and builds the network.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 0.5
START = ["-m", "depthmix"]
WAYS = {
    "python": ["-c", ""],
    "depthmix --help": [*START, "--help"],
    "depthmix sources list": [*START, "sources", "list"],
    "depthmix check": [*START, "check", "quality_aware", "--data.root"],
    "depthmix check --full": [*START, "check", "quality_aware", "--full", "--data.root"],
}


def main() -> None:
    """Measure every command, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "start_up.json")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as empty:
        for name, arguments in WAYS.items():
            given = [*arguments, empty] if arguments[-1] == "--data.root" else arguments
            rounds = min(options.rounds, 3) if name.endswith("--full") else options.rounds
            seconds = [cpu_seconds([sys.executable, *given]) for _ in range(rounds + 1)][1:]
            row = {"command": name, "median_s": statistics.median(seconds), "all_s": seconds}
            rows.append(row)
            spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
            print(f"{name:24} {row['median_s']:6.2f} s CPU  ({spread})", flush=True)
    print(f"aim: < {LIMIT_S} s for all but --full")
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"limit_s": LIMIT_S, "machine": machine, "rows": rows}, indent=1))


def cpu_seconds(command: list[str]) -> float:
    """Return user and system time of a process that prints nothing here."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, quiet, 1), (os.POSIX_SPAWN_DUP2, quiet, 2)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    child = os.posix_spawn(command[0], command, environment, file_actions=actions)
    _, status, used = os.wait4(child, 0)
    os.close(quiet)
    if os.waitstatus_to_exitcode(status) not in (0, 1):  # 1: the folder holds no sets
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
