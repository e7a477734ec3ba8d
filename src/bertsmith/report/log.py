"""The log of a run: one JSON object a line, and the same numbers for TensorBoard.

Enters: a record for each logged step and each evaluation. Leaves: ``log.jsonl`` and ``tensorboard/`` in the run's
folder. Knows nothing of the loop that calls it.

``log.jsonl`` is the truth; the TensorBoard events are written from it again when a run is resumed, so that both tell
one continuous story however often the run was killed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tensorboardX import SummaryWriter

from bertsmith.files import dump_json, output_error, write_text
from bertsmith.report.record import Curves

LOG_NAME = "log.jsonl"
TENSORBOARD_NAME = "tensorboard"
_SERIES = ("loss", "lr", "tokens_per_second")  # what every line holds beside its step
_COUNTERS = ("step", "planned_steps", "epoch", "phase", "time")  # what is no curve


class RunLog:
    """Appends to ``folder/log.jsonl`` and ``folder/tensorboard``.

    resume_at: the step training goes on from: lines after it, and a line that a kill cut in half, are dropped. None
               starts a new log.

    Every line holds ``step``, ``loss``, ``lr``, ``tokens_per_second`` and ``time`` (seconds since 1970). The line of an
    evaluation holds besides its scores under ``eval``, and repeats the other numbers of the last step logged. A number
    that is not finite is written as null.
    """

    def __init__(self, folder: Path | str, *, resume_at: int | None = None) -> None:
        self.folder = Path(folder)
        self._path = self.folder / LOG_NAME
        kept = [] if resume_at is None else [one for one in read_log(self._path) if one["step"] <= resume_at]
        self._last: dict[str, Any] = dict.fromkeys(_SERIES)
        write_text(self._path, "".join(dump_json(one) + "\n" for one in kept))
        try:
            self._file = self._path.open("a", encoding="utf-8")
            events = self.folder / TENSORBOARD_NAME
            for stale in events.glob("events.out.tfevents.*"):
                stale.unlink()
            # The purge at 0 tells a TensorBoard that is watching to forget what it read before the kill.
            self._events = SummaryWriter(str(events), purge_step=0, flush_secs=10)
        except OSError as error:
            raise output_error(self._path, error.errno) from error
        for record in kept:
            self._show(record)
            self._remember(record)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append a training step (with at least the four numbers) or an evaluation (``step`` and ``eval``)."""
        held = dict(record)
        if "eval" in record:
            held = {**self._last, **held}
        else:
            missing = [name for name in ("step", *_SERIES) if name not in record]
            if missing:
                raise ValueError(f"a log record needs {', '.join(missing)}")
            self._remember(record)
        self._append(held)

    def close(self) -> None:
        """Write what is pending and close both files."""
        self._file.close()
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, record: dict[str, Any]) -> None:
        record = {"step": record["step"], **record, "time": round(time.time(), 3)}
        try:
            self._file.write(dump_json(record) + "\n")
            self._file.flush()  # one line is one write: a kill costs at most the line being written
        except OSError as error:
            raise output_error(self._path, error.errno) from error
        self._show(record)

    def _remember(self, record: Mapping[str, Any]) -> None:
        self._last = {name: record.get(name) for name in _SERIES}

    def _show(self, record: Mapping[str, Any]) -> None:
        """Add a record to the TensorBoard events."""
        if "eval" in record:
            values = {f"eval/{name}": value for name, value in record["eval"].items()}
        else:
            values = {f"train/{name}": value for name, value in record.items() if name not in _COUNTERS}
        for tag, value in values.items():
            if value is not None and math.isfinite(value):
                self._events.add_scalar(tag, float(value), int(record["step"]), walltime=record.get("time"))


def read_log(path: Path | str) -> list[dict[str, Any]]:
    """The records of a ``log.jsonl``, in order; lines that are not whole are left out. Empty if there is no file."""
    path = Path(path)
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:  # a line that a kill cut in half, or the empty end of the file
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


def read_curves(path: Path | str) -> Curves:
    """Loss, rate and scores by step from a ``log.jsonl``. A step that was logged twice counts as logged last."""
    loss: dict[int, float] = {}
    rate: dict[int, float] = {}
    scores: dict[int, dict[str, float]] = {}
    for record in read_log(path):
        step = record["step"]
        if "eval" in record:
            scores[step] = {name: value for name, value in record["eval"].items() if value is not None}
            continue
        for series, name in ((loss, "loss"), (rate, "lr")):
            if record.get(name) is not None:
                series[step] = record[name]
    return Curves(sorted(loss.items()), sorted(rate.items()), sorted(scores.items(), key=lambda one: one[0]))
