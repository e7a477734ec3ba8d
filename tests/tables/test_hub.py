"""hf:// addresses: a small hub on this machine, its cache, and no hub at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bertsmith.errors import DataError
from bertsmith.tables.hub import fetch

FILES = {"/datasets/me/mine/resolve/main/data/train.tsv": b'text\tlabel\n"a\t1\n'}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download asks of it."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        content = FILES.get(self.path)
        self.send_response(404 if content is None else 200)
        if content is None:
            known = self.path.startswith("/datasets/me/mine/")
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", '"1234"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if body and content is not None:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


READ = """
import json, sys
from bertsmith.errors import DataError
from bertsmith.tables import read
for address in sys.argv[1:]:
    try:
        table = read(address)
        print(json.dumps([table.columns, table.where(0)]))
    except DataError as error:
        print(json.dumps(str(error)))
"""


def read_apart(cache: Path, addresses: list[str], **settings: str) -> list[object]:
    """What `read` gives in a process of its own, since the hub's library reads its settings once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", **settings}
    done = subprocess.run(
        [sys.executable, "-c", READ, *addresses], env=environment, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file_is_downloaded_once_and_then_read_without_the_hub(tmp_path: Path, hub: str) -> None:
    address = "hf://datasets/me/mine/data/train.tsv"
    rows, no_file, no_set = read_apart(
        tmp_path,
        [address, "hf://datasets/me/mine/nope.tsv", "hf://datasets/me/other/x.tsv"],
        HF_ENDPOINT=hub,
    )
    expected = [{"text": ['"a'], "label": ["1"]}, f"{address}, line 2"]
    assert rows == expected
    assert "has no file 'nope.tsv' at revision 'main'" in str(no_file)
    assert "no data set 'me/other', or it is not open to you" in str(no_set)

    again, absent = read_apart(tmp_path, [address, "hf://datasets/me/mine/b.tsv"], HF_HUB_OFFLINE="1")
    assert again == expected
    assert absent == (
        "hf://datasets/me/mine/b.tsv: the hub cannot be reached and its cache holds no copy; download the file where "
        "there is a network and give its path"
    )


@pytest.mark.parametrize(
    "address", ["hf://me/mine/x.tsv", "hf://datasets/me/mine", "hf://datasets/me/mine/data/*.parquet"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(DataError, match="not the address of one file; write hf://datasets/OWNER/NAME"):
        fetch(address)
