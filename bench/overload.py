"""A server under ten times what it can do: what is accepted, what is refused, how long it takes, and what is left.

    python bench/overload.py [--data ../shared/data] [--seconds 60] [--connections 1000] [--max-wait 0.5]

Starts `bertsmith serve --model starter --max-wait 0.5`, measures its full speed with 64 connections, then lets wrk
(Debian's package, one thread) ask as fast as 1,000 connections can, each again as soon as it is refused, and measures
the full speed again. Printed: requests a second that were asked, answered and refused, as a multiple of the full speed;
every status there was; the latency of what was accepted, as the server's log has it; memory before, during and after.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

import serve

COUNTING = """
local counts = {}
function setup(thread) table.insert(counts, thread) end
function init(args) statuses = {} end
function response(status, headers, body) statuses[status] = (statuses[status] or 0) + 1 end
"""
REPORT = """
function done(summary, latency, requests)
  for _, thread in ipairs(counts) do
    local found = thread:get("statuses")
    local parts = {}
    for status, number in pairs(found) do parts[#parts + 1] = string.format('"%d":%d', status, number) end
    io.write(string.format('{"seconds":%f,"lost":%d,"statuses":{%s}}\\n', summary.duration / 1e6,
      summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
      table.concat(parts, ",")))
  end
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--max-wait", type=float, default=0.5)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed (apt install wrk)")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        texts = "\n".join(json.dumps(text, ensure_ascii=False) for text in serve.read(given.data))
        (place / "texts").write_text(texts)
        (place / "load.lua").write_text(serve.LUA)
        head, _, _ = serve.LUA.partition("function done")
        (place / "count.lua").write_text(head + COUNTING + REPORT)
        port = serve.free_port()
        words = [sys.executable, "-m", "bertsmith", "serve", "--model", "starter", "--port", str(port)]
        with open(place / "log", "wb") as log:
            process = subprocess.Popen(
                [*words, "--max-wait", str(given.max_wait), "--log", "json"], stdout=log, stderr=log
            )
        server = serve.ready(process, port, "/v1/embeddings")
        try:
            report(server, given, place)
        finally:
            process.send_signal(signal.SIGTERM)
            print(f"the server ended with code {process.wait()}")


def report(server: serve.Server, given: argparse.Namespace, place: Path) -> None:
    serve.load(server.url, 64, 1, 5, place)
    before = serve.load(server.url, 64, 1, 8, place)["rate"]
    memory = [resident(server)]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1):
            memory.append(resident(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    logged = (place / "log").stat().st_size
    words = ["wrk", "-t1", f"-c{given.connections}", f"-d{given.seconds}s", "--timeout", "60s"]
    told = subprocess.run(
        [*words, "-s", str(place / "count.lua"), server.url],
        env={**os.environ, "SENTENCES": "1", "TEXTS": str(place / "texts")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    done.set()
    watcher.join()
    found = json.loads(re.findall(r"^\{.*\}$", told, re.MULTILINE)[-1])
    with open(place / "log") as log:
        log.seek(logged)
        lines = [json.loads(line) for line in log if '"request"' in line]
    accepted = np.array([line["ms"] for line in lines if line["status"] == 200])
    after = serve.load(server.url, 64, 1, 8, place)["rate"]
    seconds = found["seconds"]
    asked = sum(found["statuses"].values()) / seconds
    print(f"full speed before: {before:.0f} requests/s, after: {after:.0f}")
    print(f"asked: {asked:.0f} a second, {asked / before:.1f} times that, for {seconds:.0f} s")
    print(f"statuses wrk saw: {found['statuses']}, connections lost: {found['lost']}")
    print(f"statuses logged: {dict(collections.Counter(line['status'] for line in lines))}")
    print(f"answered: {len(accepted) / seconds:.0f} a second")
    p50, p99 = np.percentile(accepted, [50, 99])
    print(f"latency of the accepted: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {accepted.max():.0f} ms")
    third = max(1, len(memory) // 3)
    print(
        f"memory: {memory[0]:.0f} MB before; {np.median(memory[1 : third + 1]):.0f} MB in the first third of it, "
        f"{np.median(memory[-third:]):.0f} in the last; {resident(server):.0f} after"
    )


def resident(server: serve.Server) -> float:
    """Memory of a server, MB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1]) / 1000


if __name__ == "__main__":
    main()
