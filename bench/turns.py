"""Loops that take turns: each in a process of its own that waits while the others work, a block of steps at a time.

So a machine that slows down slows all of them, and a ratio of two neighbouring blocks means something.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def compare(script: str, arguments: list[str], blocks: Mapping[str, int], *, ours: str, rounds: int) -> None:
    """Let the loops of a script take turns, and print what each took a step, and that as a ratio to ours.

    blocks: steps in a block of each loop; the script runs a loop when it is called with ``--loop NAME``
    """
    workers = {loop: start(script, arguments, loop) for loop in blocks}
    for loop, worker in workers.items():  # blocks that do not count: caches fill, kernels are made
        for _ in range(4 if loop == ours else 2):
            ask(worker)
    times: dict[str, list[float]] = {loop: [] for loop in blocks}
    for _ in range(rounds):
        for loop, worker in workers.items():
            times[loop].append(ask(worker))
    for worker in workers.values():
        stop(worker)
    print(f"{'loop':<10} {'ms a step':>10} {'range':>15} {'ratio':>7} {'range':>13}")
    for loop, taken in times.items():
        ratios = np.array(taken) / np.array(times[ours])
        print(
            f"{loop:<10} {1000 * np.median(taken):>10.1f} {1000 * min(taken):>7.1f}-{1000 * max(taken):<7.1f} "
            f"{np.median(ratios):>7.2f} {ratios.min():>6.2f}-{ratios.max():<6.2f}"
        )


def parser(doc: str | None, loops: Iterable[str], *, rounds: int, data: bool = True) -> argparse.ArgumentParser:
    """The options of a script whose loops take turns.

    data: whether it reads the folder of real data
    """
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data:
        made.add_argument("--data", type=Path, default=Path(os.environ.get("BERTSMITH_DATA", "../shared/data")))
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--loop", choices=list(loops), help=argparse.SUPPRESS)
    return made


def start(script: str, arguments: list[str], loop: str, *, python: str = sys.executable) -> subprocess.Popen[str]:
    """A loop of a script, in a process that waits to be asked."""
    import bertsmith  # noqa: F401  (sets how long threads spin, which all loops inherit: it speeds up the peers too)

    return subprocess.Popen(
        [python, script, "--loop", loop, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def ask(worker: subprocess.Popen[str]) -> Any:
    """What one more turn of a loop answers."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def stop(worker: subprocess.Popen[str]) -> None:
    """Let a loop end."""
    assert worker.stdin is not None
    worker.stdin.close()
    worker.wait()


class Line:
    """How a loop is asked and answers. What libraries print goes to standard error from its making on."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def wait(self) -> bool:
        """Wait for the next turn. False when there is none."""
        return bool(sys.stdin.readline())

    def tell(self, answer: Any) -> None:
        """Answer the turn that was taken."""
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def answer(make_turn: Callable[[], Callable[[], Any]]) -> None:
    """Take a turn whenever asked, and answer what it returns.

    make_turn: makes the model and all else, and returns what takes a turn
    """
    line = Line()
    turn = make_turn()
    while line.wait():
        line.tell(turn())


def serve(make_step: Callable[[], Callable[[], None]], steps: int) -> None:
    """Take blocks of steps of a loop, one for each line on standard input, and answer the seconds a step.

    make_step: makes the model and all else, and returns what takes a step
    """
    import torch

    torch.set_num_threads(os.cpu_count() or 1)

    def make_block() -> Callable[[], float]:
        step = make_step()

        def block() -> float:
            started = time.perf_counter()
            for _ in range(steps):
                step()
            return (time.perf_counter() - started) / steps

        return block

    answer(make_block)
