"""Run `depthmix` in forked children of one process that has imported everything: a start costs milliseconds.

Each line of standard input is one order in JSON: arguments of the command, log file, and the size that a file
may have. The answers are the process id of the child, which waits for a line "go" so that strace can attach,
and then its exit code, negative for a signal.
"""

import json
import os
import resource
import select
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TextIO

import depthmix.prepare.run as run
from depthmix.cli import main
from tests.store.helpers import make_raw

run.MEBIBYTE = 960  # so that tiny sets have several shards


def warm_up() -> None:
    """Import what is imported late; a kill in the middle of an import says nothing about prepare."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_raw(root / "raw", 9, bad=[4])
        command = ["prepare", "tests.store.helpers:TinySource", str(root / "raw"), str(root / "out")]
        with (root / "log").open("w") as log:
            told = os.dup(2)
            os.dup2(log.fileno(), 2)
            main([*command, "--workers", "0"])
            main([*command, "--workers", "0"])
            os.dup2(told, 2)


def child(arguments: list[str], log: int, limit: int | None) -> int:
    """Run one command when told to go; until then, no call that strace may count."""
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    select.select([0], [], [])
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        code = main(arguments)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  # what a console would show
        traceback.print_exc()
        return 99
    return code


def serve(answers: TextIO) -> None:
    """Answer orders until standard input ends."""
    for line in sys.stdin:
        if line == "go\n":
            continue
        order = json.loads(line)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        pid = os.fork()
        if pid == 0:
            code = 98
            try:
                code = child(order["arguments"], log, order["limit"])
            finally:
                os._exit(code)
        os.close(log)
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the commands print is no answer
        warm_up()
        print("ready", file=answers, flush=True)
        serve(answers)
