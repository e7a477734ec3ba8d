"""pretrain: from a corpus to a model that transformers opens; killed, told to stop, resumed; by two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from bertsmith.checkpoint import load_state
from bertsmith.cli.app import run
from bertsmith.engine.language_model import LanguageModel
from bertsmith.report.log import read_log

SHORT = {
    "--preset": "L2-H128",
    "--max-length": "32",
    "--batch-size": "8",
    "--steps": "8",
    "--log-every": "1",
    "--eval-every": "4",
    "--save-every": "1",
    "--lr": "1e-3",
    "--precision": "fp32",
}
# What a run leaves that must be the same however often it was stopped.
KEPT = ["model.safetensors", "config.json", "bertsmith.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json"]


def words(corpus: Path, out: Path, *more: str, **changed: str) -> list[str]:
    options = {**SHORT, **{f"--{name.replace('_', '-')}": value for name, value in changed.items()}}
    return [
        "pretrain",
        "--corpus",
        str(corpus),
        "--out",
        str(out),
        *(w for pair in options.items() for w in pair),
        *more,
    ]


def bertsmith(arguments: list[str], **more: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bertsmith", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **more)


@pytest.fixture(scope="module")
def unbroken(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "x"
    process = bertsmith(words(corpus, out))
    _, told = process.communicate()
    assert process.returncode == 0, told
    return out


def same_outcome(one: Path, other: Path) -> None:
    for name in KEPT:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    scores = [json.loads((out / "metrics.json").read_text())["eval"] for out in (one, other)]
    assert scores[0] == scores[1]


def test_the_whole_way(unbroken: Path, corpus: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = read_log(unbroken / "log.jsonl")
    steps = [line for line in log if "eval" not in line]
    assert [line["step"] for line in steps] == list(range(1, 9))
    for line in steps:
        assert line["loss"] == pytest.approx(line["mlm_loss"] + line["nsp_loss"], rel=1e-5)
        assert {"mlm_accuracy", "nsp_accuracy", "lr", "tokens_per_second"} <= set(line)
    evaluations = [line["eval"] for line in log if "eval" in line]
    assert len(evaluations) == 2
    assert evaluations[1]["mlm_loss"] < evaluations[0]["mlm_loss"]
    metrics = json.loads((unbroken / "metrics.json").read_text())
    assert metrics["eval"] == evaluations[1]
    assert metrics["steps"] == 8
    report = (unbroken / "report.html").read_text()
    assert "<span>bertsmith</span> <span>pretrain</span> <span>--corpus</span>" in report
    assert "<svg" in report
    opened = transformers.BertForPreTraining.from_pretrained(unbroken)
    assert opened.config.vocab_size == LanguageModel.open(unbroken).tokenizer.vocab_size
    assert run(["fill", "--model", str(unbroken), "--text", "the [MASK] sat", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert len(answer["masks"][0]) == 5


def test_it_is_what_finetune_starts_from(unbroken: Path, tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "the good film\tyes\nthe bad film\tno\n" * 10)
    arguments = ["--train", str(tmp_path / "train.tsv"), "--model", str(unbroken), "--out", str(tmp_path / "x")]
    assert run(["finetune", *arguments, "--steps", "2", "--precision", "fp32", "--lr", "1e-9"]) == 0
    kept, tuned = (load_file(folder / "model.safetensors") for folder in (unbroken, tmp_path / "x"))
    shared = [name for name in tuned if name.startswith("bert.")]
    assert len(shared) > 30
    for name in shared:
        torch.testing.assert_close(tuned[name], kept[name], atol=1e-7, rtol=1e-6, msg=name)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_run_that_was_stopped_resumes_to_the_same_bytes(
    number: signal.Signals, code: int, corpus: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x"
    process = bertsmith(words(corpus, out))
    log = out / "log.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(read_log(log)) < 3:
        time.sleep(0.005)
    process.send_signal(number)
    _, told = process.communicate()
    if process.returncode != 0:  # it may have come to its end first
        assert process.returncode == code, told
        assert not (out / "metrics.json").exists()
        if number == signal.SIGTERM:
            assert "the same command with --resume goes on from there" in " ".join(told.split())
        resumed = bertsmith(words(corpus, out, "--resume"))
        _, told = resumed.communicate()
        assert resumed.returncode == 0, told
        assert "resuming at step" in told or "starting from step 0" in told
    same_outcome(out, unbroken)


def test_two_processes_learn_as_one(corpus: Path, tmp_path: Path) -> None:
    """Without dropout, whose masks go by process, both follow one curve, to rounding."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(words(corpus, one, dropout="0", seed="3")) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "bertsmith", *words(corpus, two, dropout="0", seed="3")]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, timeout=300)
    alone, together = ([line for line in read_log(out / "log.jsonl") if "eval" not in line] for out in (one, two))
    assert len(alone) == len(together) == 8
    for before, after in zip(alone, together, strict=True):
        for name in ("loss", "mlm_loss", "nsp_loss", "mlm_accuracy", "lr", "gradient_norm"):
            assert after[name] == pytest.approx(before[name], rel=1e-4), name
    weights = [load_file(out / "model.safetensors") for out in (one, two)]
    for name, tensor in weights[0].items():
        assert (tensor - weights[1][name]).abs().max() < 1e-4, name


def without(arguments: list[str], *names: str) -> list[str]:
    """The arguments without some options and their values."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [word for before, word in pairs if word not in names and before not in names]


def fails(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that it says at last as it fails."""
    assert run(arguments) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("bertsmith: error: ")
    return line


def test_what_a_user_can_get_wrong(
    corpus: Path, unbroken: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x"
    assert "give one of them" in fails(words(corpus, out, "--model", "starter"), capfd)
    arguments = words(corpus, out)
    assert "its tokenizer is not the one the corpus was prepared with" in fails(
        [*without(arguments, "--preset"), "--model", "starter"], capfd
    )
    assert "has positions for 512 tokens" in fails(
        [*without(arguments, "--preset", "--max-length"), "--model", str(unbroken), "--max-length", "600"], capfd
    )
    assert "did you mean 'L2-H128'" in fails(words(corpus, out, preset="L2-H12"), capfd)
    assert "--mask-rate is 0" in fails(words(corpus, out, mask_rate="0"), capfd)
    assert "no corpus" in fails(words(tmp_path, out), capfd)
    assert "holds a run already" in fails(words(corpus, unbroken), capfd)
    assert not out.exists()


def test_a_changed_option_is_refused_by_resume(corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x"
    process = bertsmith(words(corpus, out, steps="500"))
    while process.poll() is None and not (out / "state").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    line = fails(words(corpus, out, "--resume", steps="500", seed="9"), capfd)
    assert "--resume: seed was 42 when the run was stopped, and is 9 now" in line
    step = load_state(out / "state").values["progress"]["step"]
    assert run(words(corpus, out, "--resume", steps="500", lr="5e-4", minutes="0.0001")) == 2  # minutes were not given
    capfd.readouterr()
    process = bertsmith(words(corpus, out, "--resume", steps="500", lr="5e-4", pass_tokens="64"))
    while process.poll() is None and read_log(out / "log.jsonl")[-1]["step"] < step + 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate()
    assert "note: lr was 0.001 when the run was stopped, and is 0.0005 now" in told
    assert "note: pass_tokens was 8192 when the run was stopped, and is 64 now" in told
