"""A prepared set of some shards, and a server of files that fails as often as a test wants."""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from depthmix.prepare import prepare
from depthmix.store import remote
from tests.store.helpers import COUNT, TinySource, make_raw


class Handler(SimpleHTTPRequestHandler):
    """Serve files with ranges; count requests, and fail as often as a test wants."""

    def __init__(self, *args, state, **options):
        self.state = state
        super().__init__(*args, **options)

    def do_GET(self):
        self.state["requests"].append((self.path, self.headers.get("Range")))
        if self.state["failures"]:
            self.state["failures"] -= 1
            self.send_error(503)
            return
        file = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range")
        if not wanted or not self.state["ranges"] or not file.is_file():
            super().do_GET()
            return
        first, last = wanted.removeprefix("bytes=").split("-")
        part = file.read_bytes()[int(first) : int(last) + 1]
        if not part:
            self.send_error(416)
            return
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """Return a folder, its URL, and what the server was asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    state = {"requests": [], "failures": 0, "ranges": True}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, state=state, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}", state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hasty(monkeypatch):
    """Do not pause before another try."""
    monkeypatch.setattr(remote, "PAUSES_S", (0.0, 0.0))


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """Three shards of up to three samples, one raw sample left out."""
    out = tmp_path_factory.mktemp("prepared") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("depthmix.prepare.run.MEBIBYTE", 5800)
        prepare(
            TinySource(make_raw(tmp_path_factory.mktemp("raw"), COUNT, bad=[4])),
            out,
            shard_mb=1,
            max_bad_fraction=0.5,
        )
    assert len(list(out.glob("*.h5"))) > 2
    return out


@pytest.fixture
def root(pristine, tmp_path):
    """Return a copy that a test may damage."""
    return shutil.copytree(pristine, tmp_path / "tiny")
