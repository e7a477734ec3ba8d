"""Serving, side by side: our server against infinity-emb's, with the same weights on the same machine, in turn.

    python bench/serve.py --infinity ENVIRONMENT [--data ../shared/data] [--rounds 3] [--seconds 8] [--ours bf16 int8]

wrk (Debian's package, one thread) loads one server at a time over loopback with sentences of the STS benchmark; the
others wait meanwhile, and they take turns, so that a machine that slows down slows all of them. All are asked at
OpenAI's route. A round before the first does not count.

    infinity          infinity-emb with its torch engine as it comes (pip install 'infinity-emb[server]' into a virtual
                      environment of its own, which --infinity names)
    bf16, int8, fp32  `bertsmith serve --precision` of that name; int8 as `export` makes it of the benchmark's dev set

Printed for each level of load: requests and sentences a second, the 50th and the 99th percentile of the latency, and
the ratio to infinity, each as the median over rounds with its range. First of all each server's vectors are compared
with those of `bertsmith embed` in the same precision.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LEVELS = [(1, 1), (16, 1), (64, 1), (8, 64)]  # connections, and sentences of a request

LUA = """
local size = tonumber(os.getenv("SENTENCES"))
local lines, place = {}, 0
for line in io.lines(os.getenv("TEXTS")) do lines[#lines + 1] = line end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  local taken = {}
  for one = 1, size do place = place % #lines + 1; taken[one] = lines[place] end
  return wrk.format(nil, nil, nil, '{"model":"starter","input":[' .. table.concat(taken, ",") .. ']}')
end
function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"errors":%d}\\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
"""


@dataclass
class Server:
    """A server under test, and the route of its vectors."""

    process: subprocess.Popen[bytes]
    url: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--infinity", type=Path, help="the virtual environment of infinity-emb")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--ours", nargs="+", default=["bf16", "int8"], choices=["fp32", "bf16", "int8"])
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed (apt install wrk)")
    sentences = read(given.data)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "texts").write_text("\n".join(json.dumps(text, ensure_ascii=False) for text in sentences))
        (place / "load.lua").write_text(LUA)
        servers: dict[str, Server] = {}
        try:
            if given.infinity:
                servers["infinity"] = start_infinity(given.infinity, place)
            for precision in given.ours:
                servers[precision] = start_ours(precision, given.data, place)
            check(servers, sentences[:200], place)
            show(measure(servers, given.rounds, given.seconds, place))
        finally:
            for server in servers.values():
                server.process.send_signal(signal.SIGTERM)
                server.process.wait()


def read(data: Path) -> list[str]:
    """The different sentences of the test set."""
    rows = [line.split("\t") for line in (data / "stsb" / "sts-test.csv").read_text().splitlines()]
    return list(dict.fromkeys(sentence for row in rows for sentence in row[5:7]))


def start_infinity(environment: Path, place: Path) -> Server:
    from bertsmith.checkpoint import resolve

    port = free_port()
    words = [str(environment / "bin" / "infinity_emb"), "v2", "--model-id", str(resolve("starter"))]
    words += ["--served-model-name", "starter", "--engine", "torch", "--device", "cpu", "--port", str(port)]
    words += ["--no-bettertransformer"]  # which needs a transformers that is no longer installable beside torch 2.13
    with open(place / "infinity.log", "wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    return ready(process, port, "/embeddings")


def start_ours(precision: str, data: Path, place: Path) -> Server:
    port = free_port()
    words = [sys.executable, "-m", "bertsmith", "serve", "--model", "starter", "--port", str(port)]
    if precision == "int8":
        exported = model_in_int8(data, place)
        words[words.index("starter")] = f"starter={exported}"
    with open(place / f"{precision}.log", "wb") as log:
        process = subprocess.Popen([*words, "--precision", precision], stdout=log, stderr=log)
    return ready(process, port, "/v1/embeddings")


def model_in_int8(data: Path, place: Path) -> Path:
    """The starter with its graph in int8, as a user would make it."""
    folder = place / "in-int8"
    if not folder.exists():
        dev = place / "dev.jsonl"
        rows = [line.split("\t") for line in (data / "stsb" / "sts-dev.csv").read_text().splitlines()]
        names = ("sentence1", "sentence2", "score")
        dev.write_text(
            "\n".join(json.dumps(dict(zip(names, [row[5], row[6], float(row[4])], strict=True))) for row in rows)
        )
        words = ["export", "--model", "starter", "--to", "openvino", "--precision", "int8"]
        subprocess.run(
            [sys.executable, "-m", "bertsmith", *words, "--data", str(dev), "--out", str(folder)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return folder


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def ready(process: subprocess.Popen[bytes], port: int, route: str) -> Server:
    """The server, once it is healthy."""
    address = f"http://127.0.0.1:{port}"
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1)
            return Server(process, address + route)
        except OSError:
            time.sleep(0.2)
    sys.exit(f"a server ended with code {process.returncode}")


def check(servers: dict[str, Server], sentences: list[str], place: Path) -> None:
    """Compare each server's vectors with those of `bertsmith embed`, in the same precision."""
    from bertsmith.engine.embedder import Embedder

    print("| server | compared with | largest difference | lowest cosine |\n|---|---|---|---|")
    for name, server in servers.items():
        body = json.dumps({"model": "starter", "input": sentences}).encode()
        asked = urllib.request.Request(server.url, body, {"Content-Type": "application/json"})
        rows = json.load(urllib.request.urlopen(asked))["data"]
        served = np.array([row["embedding"] for row in rows])
        precision: Any = "fp32" if name == "infinity" else name
        model = place / "in-int8" if name == "int8" else "starter"
        ours = Embedder.open(model, precision=precision, engine="openvino").embed(sentences)
        cosine = ((served * ours).sum(1) / np.linalg.norm(served, axis=1) / np.linalg.norm(ours, axis=1)).min()
        print(f"| {name} | `embed --precision {precision}` | {abs(served - ours).max():.1e} | {cosine:.6f} |")


def measure(servers: dict[str, Server], rounds: int, seconds: int, place: Path) -> dict[Any, list[dict[str, float]]]:
    """What wrk tells, by (level, server), a row a round."""
    found: dict[Any, list[dict[str, float]]] = {}
    for turn in range(rounds + 1):
        for level in LEVELS:
            for name, server in servers.items():
                row = load(server.url, *level, seconds if turn else 3, place)
                if turn:
                    found.setdefault((level, name), []).append(row)
    return found


def load(url: str, connections: int, sentences: int, seconds: int, place: Path) -> dict[str, float]:
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(place / "load.lua"), url]
    environment = {**os.environ, "SENTENCES": str(sentences), "TEXTS": str(place / "texts")}
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    row: dict[str, float] = json.loads(re.findall(r"^\{.*\}$", told, re.MULTILINE)[-1])
    if row["errors"]:
        sys.exit(f"{int(row['errors'])} requests failed at {url}")
    return {**row, "rate": row["requests"] / row["seconds"]}


def show(found: dict[Any, list[dict[str, float]]]) -> None:
    """Print a row for each level and server."""
    print(
        "\n| connections x sentences | server | requests/s | range | sentences/s | p50, ms | p99, ms "
        "| times infinity | range |\n|---|---|---|---|---|---|---|---|---|"
    )
    for (level, name), rows in found.items():
        rates = np.array([row["rate"] for row in rows])
        p50, p99 = (np.median([row[which] for row in rows]) for which in ("p50", "p99"))
        theirs = found.get((level, "infinity"))
        ratio = "| |"
        if theirs is not None:
            ratios = rates / np.array([row["rate"] for row in theirs])
            ratio = f"| {np.median(ratios):.2f} | {ratios.min():.2f}-{ratios.max():.2f} |"
        print(
            f"| {level[0]} x {level[1]} | {name} | {np.median(rates):.1f} | {rates.min():.1f}-{rates.max():.1f} "
            f"| {np.median(rates) * level[1]:.0f} | {p50:.1f} | {p99:.1f} {ratio}"
        )


if __name__ == "__main__":
    main()
