"""Processes that run the command line, and are killed at it.

They are forked from one that has imported everything and computed nothing, which saves each of them the seconds that
imports take. Most of them kill themselves by SIGKILL as they touch a file of the run for the nth time: at seeded
places, on fast and slow machines alike, within saves and between them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KILLED = -9
TELLING_TIME = {"log.jsonl", "metrics.json", "report.html", "tensorboard"}  # what differs between runs in a folder
TIMED = ("time", "tokens_per_second", "share_of_peak")  # what clocks say in a line of a log

# ``watch(order)``: the nth time that this process touches a path with a place in it, it sends itself a signal.
WATCH = """
import json, os, signal, sys

def watch(order):
    touched = 0
    def seen(event, arguments):
        nonlocal touched
        if event not in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
            return
        paths = [os.fsdecode(one) for one in arguments if isinstance(one, (str, bytes, os.PathLike))]
        if any(order["place"] in path for path in paths):
            touched += 1
            if touched == order["nth"]:
                os.kill(os.getpid(), getattr(signal, order["signal"]))
    sys.addaudithook(seen)
"""

SERVER = f"""{WATCH}
import torch._dynamo  # torch's optimizers import it when the first is made
import bertsmith.stages.finetune
import bertsmith.stages.instances
import bertsmith.stages.pretrain
import bertsmith.cli.verbs
from bertsmith.cli.app import run

for line in sys.stdin:
    order = json.loads(line)
    child = order.get("end") or os.fork()
    if child == 0:
        sys.stdin.close()
        os.dup2(os.open(order["told"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        if order["nth"]:
            watch(order)
        code = run(order["words"])
        sys.stderr.flush()
        os._exit(code)
    if "end" in order:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, os.WUNTRACED)
    code = None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
    print(json.dumps({{"pid": child, "code": code}}), flush=True)
"""


class Processes:
    """Runs the command line in processes of their own."""

    def __init__(self, place: Path) -> None:
        self.told = place / "told.txt"
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"},
        )

    def run(
        self, words: list[str], place: Path | str = "", nth: int = 0, signal: str = "SIGKILL"
    ) -> tuple[int | None, int]:
        """The exit code (negative for a signal, None for a process that was stopped) and the number of a process.

        place, nth, signal: the nth time that it touches a path with ``place`` in it, it sends itself ``signal``
        """
        return self._ask({"words": words, "place": str(place), "nth": nth, "signal": signal, "told": str(self.told)})

    def end(self, process: int) -> None:
        """Kill a process that was stopped."""
        self._ask({"end": process})

    @property
    def message(self) -> str:
        """What the last process said, one line, without the plain text before an error."""
        lines = self.told.read_text().splitlines()
        return lines[-1] if lines else ""

    def _ask(self, order: dict[str, Any]) -> tuple[int | None, int]:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        answer = json.loads(self.server.stdout.readline())
        return answer["code"], answer["pid"]


def kill_often(
    command: Callable[[bool], list[str]], out: Path, kills: int, longest: float, seed: int = 0
) -> tuple[int, str]:
    """Start a command and kill it from outside, ``kills`` times, at most ``longest`` seconds after it holds ``out``.
    Then let it end.

    command: the words of the first start (False) or of a later one (True)

    Returns how many times it was killed (it may end before), and what the last of its processes said.
    """
    drawn = random.Random(seed)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = 0
    while True:
        words = [sys.executable, "-m", "bertsmith", *command(killed > 0)]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
        while killed < kills and process.poll() is None and not (out / ".lock").exists():
            time.sleep(0.01)
        if killed < kills:
            time.sleep(drawn.uniform(0, longest))
            process.kill()
        _, told = process.communicate()
        if process.returncode != KILLED:
            assert process.returncode == 0, told
            return killed, told
        killed += 1


def same_outcome(out: Path, expected: Path) -> None:
    """The same files of the same bytes, and the same log and metrics but for the time it took."""
    names = sorted(path.name for path in expected.iterdir())
    assert sorted(path.name for path in out.iterdir()) == names
    assert "model.safetensors" in names
    for name in set(names) - TELLING_TIME:
        assert (out / name).read_bytes() == (expected / name).read_bytes(), name
    assert story(out) == story(expected)
    assert read_metrics(out) == read_metrics(expected)


def story(out: Path) -> list[dict[str, Any]]:
    """The lines of a log without what clocks said."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert lines
    return [{name: value for name, value in line.items() if name not in TIMED} for line in lines]


def read_metrics(out: Path) -> dict[str, Any]:
    """The metrics of a run without what clocks said."""
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    timed = ("train_seconds", "examples_per_second", "tokens_per_second")
    assert all(metrics.pop(name) > 0 for name in timed)
    if metrics["refit"]:
        assert metrics["refit"].pop("train_seconds") > 0
    return metrics
