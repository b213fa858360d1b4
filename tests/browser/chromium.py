"""A real browser without a window: what a page becomes in it, what it complains about, what it asks for."""

import re
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
REASON = "needs a browser: apt-get install chromium"
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
]  # fmt: skip
OWN = re.compile(r"(google|googleapis|gvt1)\.com")  # the browser asks its maker for the time and for updates


@dataclass(frozen=True)
class Visit:
    """Hold the document once scripts have run, the messages of the console, and requests to the proxy."""

    document: str
    console: list[str]
    requests: list[str]


class Proxy:
    """Refuse every request of the browser, and remember it."""

    def __enter__(self) -> "Proxy":
        self.requests: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._refuse, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _refuse(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            with connection:
                connection.settimeout(2)
                try:
                    head = connection.recv(4096)
                except OSError:
                    head = b""
                self.requests.append(head.split(b"\r\n")[0].decode("latin-1"))


def visit(page: Path, folder: Path, *more: str) -> Visit:
    """Open a page with an empty profile below `folder`, let its scripts run, and look at what is left."""
    assert BROWSER is not None
    with Proxy() as proxy:
        # Even addresses of this machine go to the proxy, which else would not be asked for them.
        through = [f"--proxy-server=http://127.0.0.1:{proxy.port}", "--proxy-bypass-list=<-loopback>"]
        options = [*QUIET, *through, f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr"]
        command = [BROWSER, *options, *more, "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    console = re.findall(r"CONSOLE[^\]]*\] (.*)", done.stderr)
    return Visit(done.stdout, console, [one for one in proxy.requests if not OWN.search(one)])
