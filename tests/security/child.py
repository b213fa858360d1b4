"""Run attacks one after the other under an audit hook, and print one line of JSON for each.

python -m tests.security.child SCRATCH MODULE...
"""

import json
import os
import shutil
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

from depthmix.errors import DepthmixError
from depthmix.prepare import prepare
from tests.security.box import CANARY, TABLE, Box
from tests.store.helpers import TinySource, make_raw

SECONDS = 25
PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
NETWORK = ("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request")
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate")


class Watch:
    """Note what an attack does that nothing in depthmix has to do."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.outside = str(scratch), str(scratch / "outside")
        self.armed, self.seen = False, []

    def __call__(self, event: str, args: tuple) -> None:
        if not self.armed:
            return
        self.armed = False  # what is asked here is no part of the attack
        try:
            found = self.judge(event, args)
        finally:
            self.armed = True
        if found:
            self.seen.append(f"{event}: {found}"[:300])

    def judge(self, event: str, args: tuple) -> str:
        if event in PROGRAMS or event in NETWORK:
            return repr(args)
        if event == "open":
            return self.opened(*args)
        if event in CHANGES:
            return "" if self.inside(args[0]) else repr(args)
        if event == "import" and str(args[0]).startswith("evil"):
            return str(args[0])
        if event == "exec" and "evil" in getattr(args[0], "co_filename", ""):
            return args[0].co_filename
        if event == "ctypes.dlopen" and self.inside(args[0]):
            return str(args[0])
        if event == "pickle.find_class" and args[0] in ("os", "posix", "subprocess", "builtins"):
            return ".".join(args)
        return ""

    def opened(self, path: object, mode: str | None, flags: int) -> str:
        if isinstance(path, int) or path is None:
            return ""
        real = self.real(path, follow=not flags & os.O_NOFOLLOW)
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if real.startswith(self.outside):
            return f"{real} outside of the root"
        if writes and not (real.startswith(self.scratch) or real in ("/dev/null", "/dev/tty")):
            return f"writes {real}"
        return ""

    def inside(self, path: object) -> bool:
        real = "" if path is None or isinstance(path, int) else self.real(path, follow=False)
        return real.startswith(self.scratch) and not real.startswith(self.outside)

    @staticmethod
    def real(path: object, *, follow: bool) -> str:
        name = Path(os.fsdecode(path)).absolute()
        return os.path.realpath(name) if follow else str(Path(os.path.realpath(name.parent)) / name.name)


def memory(what: str) -> int:
    """Return a figure of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) >> 10


class TooLong(BaseException):
    """Not an OSError, as TimeoutError is: no handler of such may take it for one."""


def too_long(*_: object) -> None:
    raise TooLong(f"longer than {SECONDS} s")


def run(attack, scratch: Path, watch: Watch, sound: Path) -> dict[str, object]:
    root = scratch / "boxes" / attack.name[:60]
    root.mkdir(parents=True)
    canary = scratch / "outside" / "secret"
    canary.parent.mkdir(exist_ok=True)
    canary.write_bytes(CANARY)
    shutil.copy(sound / "00000.h5", canary.parent)
    box, watch.seen = Box(root, canary, sound), []
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest mark of memory
    before, started = memory("VmRSS"), time.monotonic()
    outcome, problems = "", []
    signal.alarm(SECONDS)
    try:
        result = armed(attack, box, watch)
        outcome = "harmless"
        if CANARY in repr(result).encode() or CANARY in result_bytes(result):
            problems.append("the canary came out")
    except DepthmixError as error:
        outcome = f"named: {error}"
        if CANARY.decode() in str(error):
            problems.append("the canary is told")
    except BaseException as error:  # noqa: BLE001  (any other end of an attack is what is looked for)
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        problems.append(f"{type(error).__name__} at {place}: {error}"[:600])
    finally:
        watch.armed = False
        signal.alarm(0)
    grown = memory("VmHWM") - before
    if grown > attack.cap + 256:
        problems.append(f"{grown} MiB of memory, more than {attack.cap} + 256")
    if canary.read_bytes() != CANARY:
        problems.append("the canary was changed")
    if (root / "evil").exists():
        problems.append("code of the attack ran")
    shutil.rmtree(root)
    return {
        "name": attack.name,
        "outcome": outcome[:300],
        "problems": problems + watch.seen,
        "mib": grown,
        "seconds": round(time.monotonic() - started, 2),
    }


def armed(attack, box: Box, watch: Watch) -> object:
    watch.armed = True
    try:
        return attack.run(box)
    finally:
        watch.armed = False


def result_bytes(result: object) -> bytes:
    parts = result if isinstance(result, list) else [result]
    return b"".join(part for part in parts if isinstance(part, bytes))


def main(scratch: Path, modules: list[str]) -> None:
    sound = scratch / "sound"
    prepare(TinySource(make_raw(scratch / "raw", 4)), sound)
    scratch = scratch.resolve()
    (scratch / "evil_code.py").write_text(
        f"from pathlib import Path\nfrom torch import nn\nPath({str(scratch / 'ran')!r}).touch()\n"
        "class Net(nn.Module):\n    pass\n"
    )
    sys.path.insert(0, str(scratch))
    for module in modules:
        import_module(module)
    signal.signal(signal.SIGALRM, too_long)
    watch = Watch(scratch)
    sys.addaudithook(watch)
    for attack in (one for one in TABLE if one.run.__module__ in modules):
        sys.stdout.write(json.dumps(run(attack, scratch, watch, sound)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
