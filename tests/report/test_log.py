from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bertsmith.errors import OutputError
from bertsmith.report.log import RunLog, read_curves, read_log


def record(step: int) -> dict[str, float]:
    return {"step": step, "loss": 1 / step, "lr": step * 1e-5, "tokens_per_second": 1000.0 + step}


def write(log: RunLog, first: int, last: int) -> None:
    """Steps ``first`` to ``last``, with an evaluation after every fifth."""
    for step in range(first, last + 1):
        log.log(record(step))
        if step % 5 == 0:
            log.log({"step": step, "eval": {"mcc": step / 100, "loss": 0.5}})


def told(path: Path) -> list[dict[str, object]]:
    """The lines of a log but for the time they were written."""
    return [{key: value for key, value in one.items() if key != "time"} for one in read_log(path)]


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(one.step, pytest.approx(one.value)) for one in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_each_line_holds_what_others_rely_on(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        write(log, 1, 10)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    for line in lines:
        assert {"step", "loss", "lr", "tokens_per_second"} <= set(line)
    assert [(line["step"], line["eval"]) for line in lines if "eval" in line] == [
        (5, {"mcc": 0.05, "loss": 0.5}),
        (10, {"mcc": 0.1, "loss": 0.5}),
    ]


def test_tensorboard_reads_it_back(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        write(log, 1, 10)
    assert events(tmp_path) == {
        "train/loss": [(step, 1 / step) for step in range(1, 11)],
        "train/lr": [(step, step * 1e-5) for step in range(1, 11)],
        "train/tokens_per_second": [(step, 1000.0 + step) for step in range(1, 11)],
        "eval/mcc": [(5, 0.05), (10, 0.1)],
        "eval/loss": [(5, 0.5), (10, 0.5)],
    }


@pytest.mark.parametrize(
    "half_line", [b"", b'{"step": 13, "loss": 0.', b'{"step": 13, "eval": {"f1"\n', b"\xff\x00\n", b"13"]
)
def test_resumed_log_is_that_of_an_unbroken_run(tmp_path: Path, half_line: bytes) -> None:
    with RunLog(tmp_path / "whole") as log:
        write(log, 1, 20)
    with RunLog(tmp_path / "broken") as log:
        write(log, 1, 12)
    with (tmp_path / "broken" / "log.jsonl").open("ab") as file:
        file.write(half_line)
    with RunLog(tmp_path / "broken", resume_at=8) as log:
        write(log, 9, 20)
    assert told(tmp_path / "broken" / "log.jsonl") == told(tmp_path / "whole" / "log.jsonl")
    assert events(tmp_path / "broken") == events(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "broken").iterdir() if path.name.startswith(".")] == []


def test_an_evaluation_right_after_resuming_repeats_the_last_step(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.log(record(3))
    with RunLog(tmp_path, resume_at=3) as log:
        log.log({"step": 3, "eval": {"f1": 0.5}})
    assert told(tmp_path / "log.jsonl")[-1] == {**record(3), "eval": {"f1": 0.5}}


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        write(log, 1, 4)
    with RunLog(tmp_path) as log:
        write(log, 1, 2)
    assert [one["step"] for one in read_log(tmp_path / "log.jsonl")] == [1, 2]
    assert events(tmp_path)["train/loss"] == [(1, 1.0), (2, 0.5)]


def test_a_killed_process_leaves_every_line_it_logged(tmp_path: Path) -> None:
    program = """
import sys, time
from bertsmith.report.log import RunLog
log = RunLog(sys.argv[1])
for step in range(1, 8):
    log.log({"step": step, "loss": 1 / step, "lr": step * 1e-5, "tokens_per_second": 1000.0 + step})
print("logged", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "logged\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [one["step"] for one in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4, 5, 6, 7]
    with RunLog(tmp_path, resume_at=4) as log:
        write(log, 5, 5)
    assert [step for step, _ in events(tmp_path)["train/loss"]] == [1, 2, 3, 4, 5]


def test_a_loss_that_is_not_finite_is_null(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.log({"step": 1, "loss": float("nan"), "lr": float("inf"), "tokens_per_second": 1.0})

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    line = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=refuse)
    assert (line["loss"], line["lr"]) == (None, None)
    assert set(events(tmp_path)) == {"train/tokens_per_second"}
    assert read_curves(tmp_path / "log.jsonl").loss == []


def test_curves(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        write(log, 1, 5)
        log.log({"step": 5, "eval": {"mcc": 0.9}})
    curves = read_curves(tmp_path / "log.jsonl")
    assert curves.loss == [(step, 1 / step) for step in range(1, 6)]
    assert curves.rate == [(step, step * 1e-5) for step in range(1, 6)]
    assert curves.scores == [(5, {"mcc": 0.9})]
    assert read_curves(tmp_path / "absent.jsonl").loss == []


def test_a_record_without_its_numbers_is_refused(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log, pytest.raises(ValueError, match="lr, tokens_per_second"):
        log.log({"step": 1, "loss": 1.0})


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"^[^\n]*log\.jsonl: cannot be written[^\n]*$"):
        RunLog(tmp_path / "file")
