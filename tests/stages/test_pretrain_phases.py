"""pretrain in phases, and its objectives: what each learns, and that a stop anywhere changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from bertsmith.cli.app import run
from bertsmith.errors import SettingsError
from bertsmith.report.log import read_log
from bertsmith.stages.pretrain_settings import PretrainSettings
from bertsmith.training.options import PretrainFitOptions

Recipe = Callable[..., Path]

COMMON = {
    "preset": "L2-H128", "precision": "fp32", "batch_size": 4, "lr": 1e-3, "eval_every": 3, "log_every": 1,
    "dropout": 0.0,
}  # fmt: skip
PHASES = [{"max_length": 16, "steps": 4}, {"max_length": 32, "steps": 3, "lr": 5e-4}]


@pytest.fixture
def recipe(corpus: Path, tmp_path: Path) -> Recipe:
    """Writes a TOML file of the common options, others, and phases."""

    def write(phases: list[dict[str, Any]] = PHASES, **more: Any) -> Path:
        def line(name: str, value: Any) -> str:
            return f"{name} = {json.dumps(value)}\n"

        text = "".join(line(*pair) for pair in {"corpus": str(corpus), **COMMON, **more}.items())
        for phase in phases:
            text += "[[phases]]\n" + "".join(line(*pair) for pair in phase.items())
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return path

    return write


def test_the_second_phase_starts_from_the_first_s_weights(recipe: Recipe, corpus: Path, tmp_path: Path) -> None:
    """As two runs do, the second with ``--model`` and the next seed."""
    assert run(["pretrain", "--config", str(recipe()), "--out", str(tmp_path / "both")]) == 0
    one, two = tmp_path / "one", tmp_path / "two"
    first = {**COMMON, **PHASES[0], "seed": 42}
    second = {**COMMON, **PHASES[1], "seed": 43, "model": one}
    del second["preset"]
    for options, out in ((first, one), (second, two)):
        assert run(["pretrain", "--corpus", str(corpus), "--out", str(out), *flags(options)]) == 0
    both, expected = (load_file(place / "model.safetensors") for place in (tmp_path / "both", two))
    assert both.keys() == expected.keys()
    assert all(torch.equal(both[name], expected[name]) for name in both)

    lines = [line for line in read_log(tmp_path / "both/log.jsonl") if "eval" not in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["planned_steps"] for line in lines] == [4] * 4 + [7] * 3
    assert all(line["share_of_peak"] > 0 for line in lines)
    metrics = json.loads((tmp_path / "both/metrics.json").read_text())
    assert metrics["steps"] == 7
    assert metrics["tokens"] > json.loads((one / "metrics.json").read_text())["tokens"]
    assert metrics["baseline"]["unigram_loss"] > 1


def flags(options: dict[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


# Sends itself SIGTERM once the log has a line of the step. At the last step of a phase it is the next one's first.
STOPPING = """
import os, signal, sys
from bertsmith.cli.app import run
from bertsmith.report import log

plain = log.RunLog.log

def told(self, record):
    plain(self, record)
    if record["step"] == int(sys.argv[1]) and "eval" not in record:
        os.kill(os.getpid(), signal.SIGTERM)

log.RunLog.log = told
sys.exit(run(sys.argv[2:]))
"""


def test_two_processes_stop_together_and_start_each_phase_alike(recipe: Recipe, tmp_path: Path) -> None:
    """Only the first is told to stop; only the first evaluates, and so knows which weights are best."""
    path, out = recipe(save_every=1, keep_best=True, batch_size=8), tmp_path / "two"
    script = tmp_path / "stopping.py"
    script.write_text(STOPPING)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["pretrain", "--config", str(path), "--out", str(out)]
    process = subprocess.run(
        [*launcher, str(script), "2", *words], stderr=subprocess.PIPE, text=True, env=environment, timeout=300
    )
    assert process.returncode != 0
    assert "stopped at step 2; the same command with --resume" in process.stderr
    assert process.stderr.count("exitcode  : 143") == 2 or process.stderr.count("exitcode: 143") >= 1, process.stderr
    process = subprocess.run(
        [*launcher, "-m", "bertsmith", *words, "--resume"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    alone = tmp_path / "one"
    assert run(["pretrain", "--config", str(path), "--out", str(alone)]) == 0
    one, two = (load_file(place / "model.safetensors") for place in (alone, out))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("stop", [2, 4, 5])
def test_a_run_stopped_in_either_phase_ends_in_the_same_bytes(stop: int, recipe: Recipe, tmp_path: Path) -> None:
    path = recipe(save_every=1)
    assert run(["pretrain", "--config", str(path), "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "stopped"
    script = tmp_path / "stopping.py"
    script.write_text(STOPPING)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(stop), "pretrain", "--config", str(path), "--out", str(out)]
    process = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.returncode == 143, process.stderr
    assert f"stopped at step {max(stop, 5) if stop > 3 else stop}; the same command with --resume" in process.stderr
    command = [sys.executable, "-m", "bertsmith", "pretrain", "--config", str(path), "--out", str(out), "--resume"]
    process = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.returncode == 0, process.stderr
    assert f"resuming at step {max(stop, 5) if stop > 3 else stop}" in process.stderr
    for name in ("model.safetensors", "config.json", "bertsmith.json"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    steps = [[line["step"] for line in read_log(place / "log.jsonl")] for place in (out, tmp_path / "whole")]
    assert steps[0] == steps[1]
    assert not list(out.glob("state*"))


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([{"steps": 3, "corpus": "other"}], "phase 1: corpus is the same for the whole run; give it once"),
        ([{"steps": 3}, {"stepps": 3}], "phase 2: there is no option 'stepps'; did you mean 'steps'?"),
        ([{"steps": 3}, {"mask_rate": 1.0}], "phase 2: --mask-rate is 1; it must be more than 0"),
        ([{"steps": 3}, {"steps": "many"}], "phase 2: steps is 'many'; give a whole number or None"),
    ],
)
def test_a_phase_that_cannot_be_is_named(
    phases: list[dict[str, Any]], message: str, recipe: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["pretrain", "--config", str(recipe(phases)), "--out", str(tmp_path / "x")]) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("phases", ["no json", "[]", "{}", "[1]"])
def test_phases_are_a_list_of_objects(phases: str) -> None:
    with pytest.raises(SettingsError, match=r"^--phases"):
        PretrainSettings("corpus", "out", phases=phases)


def test_flags_win_over_phases_and_a_stop_of_a_phase_is_its_only_one(recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "x"
    phases = [{"minutes": 30}, {"tokens": 10**9, "max_length": 64}]
    assert run(["pretrain", "--config", str(recipe(phases)), "--out", str(out), "--steps", "1"]) == 0
    assert json.loads((out / "metrics.json").read_text())["steps"] == 2
    settings = PretrainSettings("c", "o", phases='[{"tokens": 5}, {"max-length": 64}]', fit=PretrainFitOptions(steps=9))
    stops = [(one.fit.steps, one.fit.tokens, one.instances.max_length) for one in settings.each_phase()]
    assert stops == [(None, 5, 128), (9, None, 64)]
    assert settings.longest == 128


@pytest.mark.parametrize(
    ("objective", "kind", "scores"),
    [
        ("masked+next", "BertForPreTraining", {"mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy", "loss"}),
        ("masked", "BertForMaskedLM", {"mlm_loss", "mlm_accuracy", "loss"}),
        ("next", "BertForNextSentencePrediction", {"nsp_loss", "nsp_accuracy", "loss"}),
        ("causal", "BertLMHeadModel", {"lm_loss", "lm_accuracy", "loss"}),
    ],
)
def test_each_objective_leaves_the_published_model_of_its_name(
    objective: str, kind: str, scores: set[str], recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "x"
    more = ["--objective", objective, "--steps", "6", "--lr", "3e-3"]
    assert run(["pretrain", "--config", str(recipe([])), "--out", str(out), "--max-length", "24", *more]) == 0
    evaluations = [line["eval"] for line in read_log(out / "log.jsonl") if "eval" in line]
    assert set(evaluations[0]) == scores
    if objective != "next":
        assert evaluations[-1]["loss"] < evaluations[0]["loss"]
    opened, told = getattr(transformers, kind).from_pretrained(out, output_loading_info=True)
    assert not told["missing_keys"]
    assert opened.config.architectures == [kind]
    assert bool(opened.config.is_decoder) == (objective == "causal")
    assert opened.config.hidden_dropout_prob == 0  # so fine-tuning goes without, too


def test_pairs_are_needed_for_the_next_sentence(
    recipe: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["pretrain", "--config", str(recipe([])), "--out", str(tmp_path / "x"), "--no-pairs", "--objective", "next"]
    assert run(words) == 2
    assert "--objective next learns from pairs; leave out --no-pairs" in capfd.readouterr().err
