"""quickstart, whole, with an encoder so small that it takes seconds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bertsmith.checkpoint import describe_head, save_checkpoint, to_published
from bertsmith.embedding.index import Index
from bertsmith.errors import CheckpointError, OutputError
from bertsmith.model import BertConfig, BertModel
from bertsmith.stages.quickstart import QUESTIONS, SEARCHED, ask, holds_quickstart, quickstart
from bertsmith.stages.quickstart_settings import QuickstartSettings
from bertsmith.stages.run_folder import RunFolder
from bertsmith.text import Tokenizer
from bertsmith.text.pydocs import TOPICS


@pytest.fixture
def small_encoder(starter_folder: Path, tmp_path: Path) -> Path:
    """An encoder of random weights with the starter's vocabulary."""
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    tokenizer = Tokenizer.from_folder(starter_folder)
    model = BertModel(config, "sequence", 2, torch.Generator().manual_seed(0))
    save_checkpoint(
        tmp_path / "encoder",
        config=describe_head(config.to_dict(), None),
        weights={
            name: tensor
            for name, tensor in to_published(model.state_dict(), "sequence").items()
            if not name.startswith("classifier.")
        },
        tokenizer_save=tokenizer.save,
    )
    return tmp_path / "encoder"


def test_the_whole_way(small_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over what a stopped quickstart left; without a terminal the examples are asked."""
    out = tmp_path / "quick"
    out.mkdir()
    (out / "log.jsonl").write_text('{"step": 10}\n')
    RunFolder(out).begin(train="pydocs", overwrite=False)
    told = io.StringIO()
    quickstart(
        QuickstartSettings(out=str(out), model=str(small_encoder), epochs=0.05), console=Console(file=told, width=200)
    )
    assert f"replacing the earlier quickstart in {out}" in told.getvalue()
    assert f"bertsmith predict --model {out} --text" in told.getvalue()
    shown = capsys.readouterr().out
    for question in QUESTIONS:
        assert question in shown
    assert shown.count("others") == len(QUESTIONS)
    assert SEARCHED in shown
    assert f"bertsmith search --index {out / 'index'} --query" in told.getvalue()
    assert len(Index(out / "index")) > 1000
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["eval"]) >= {"accuracy", "mcc"}
    assert (out / "report.html").stat().st_size > 10_000
    assert json.loads((out / "config.json").read_text())["id2label"].keys() == {str(n) for n in range(len(TOPICS))}
    assert holds_quickstart(out)


def test_another_run_is_not_replaced(tmp_path: Path) -> None:
    assert not holds_quickstart(tmp_path)
    (tmp_path / "metrics.json").write_text('{"settings": {"train": "reviews.tsv"}}')
    with pytest.raises(OutputError, match=r"trained on reviews\.tsv; name another --out"):
        holds_quickstart(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(OutputError, match="holds what no quickstart left; name another --out"):
        holds_quickstart(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "log.jsonl"])
def test_what_another_left_without_metrics_is_not_replaced(name: str, tmp_path: Path) -> None:
    """A published model, or another run that was killed, also where a quickstart had ended before it."""
    (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match="holds what no quickstart left"):
        holds_quickstart(tmp_path)
    (tmp_path / "metrics.json").write_text('{"settings": {"train": "pydocs"}}')
    assert holds_quickstart(tmp_path)
    RunFolder(tmp_path).begin(train="reviews.tsv", overwrite=True)
    with pytest.raises(OutputError, match=r"trained on reviews\.tsv"):
        holds_quickstart(tmp_path)


def test_a_missing_encoder_is_told_first(tmp_path: Path) -> None:
    told = io.StringIO()
    with pytest.raises(CheckpointError, match="there is no such folder"):
        quickstart(QuickstartSettings(out=str(tmp_path / "q"), model="./nowhere"), console=Console(file=told))
    assert told.getvalue() == ""
    assert not (tmp_path / "q").exists()


def test_questions_are_typed_or_taken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty line takes the example, and so does the end of the input."""
    monkeypatch.setattr("sys.stdin", io.StringIO("  Sort a list of names \n\n"))
    assert ask(QUESTIONS) == ["Sort a list of names", *QUESTIONS[1:]]
    assert f"e.g. {QUESTIONS[2]}" in capsys.readouterr().out.replace("\n", " ")
