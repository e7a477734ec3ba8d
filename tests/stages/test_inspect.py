"""inspect, against transformers' own count of tensors and weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bertsmith.errors import CheckpointError, SettingsError
from bertsmith.stages.inspect import InspectSettings, inspect

Folder = Callable[[str], Path]


def test_a_base_classifier_has_the_published_tensors(capsys: pytest.CaptureFixture[str]) -> None:
    """201 tensors: names, shapes and order as transformers has them."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    with torch.device("meta"):
        peer = BertForSequenceClassification(BertConfig())
    facts = inspect(InspectSettings(preset="base"))
    expected = {name: tuple(tensor.shape) for name, tensor in peer.named_parameters()}
    assert {tensor.name: tensor.shape for tensor in facts.tensors} == expected
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "201 tensors, 109,483,778 weights"
    (row,) = [line for line in lines if "bert.encoder.layer.10.intermediate.dense.weight" in line]
    assert row.split() == ["bert.encoder.layer.10.intermediate.dense.weight", "3,072", "×", "768", "2,359,296"]


def test_json_tells_the_whole_of_a_trained_model(model_folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model_folder("classify")
    inspect(InspectSettings(str(folder), json=True))
    out = capsys.readouterr().out
    facts = json.loads(out)
    assert out.count("\n") == 1
    assert facts["task"] == "classify"
    assert facts["labels"] == ["bad", "good", "so-so"]
    assert facts["max_length"] == 64
    assert facts["config"]["hidden_size"] == 32
    assert facts["tokenizer"]["lowercase"] is True
    assert facts["num_tensors"] == len(facts["tensors"]) == 5 + 2 * 16 + 4
    assert facts["num_weights"] == sum(tensor["num_weights"] for tensor in facts["tensors"])
    assert facts["tensors"][0]["name"] == "bert.embeddings.word_embeddings.weight"
    assert facts["tensors"][-1] == {"name": "classifier.bias", "shape": [3], "dtype": "float32", "num_weights": 3}


def test_how_it_was_trained_is_told(model_folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bertsmith.engine import TaskModel

    folder = tmp_path / "run"
    record = {"base_model": "starter", "steps": 7, "scores": {"mcc": 0.125}, "training": {"lr": 0.0001}}
    TaskModel.open(model_folder("regress")).save(folder, record=record)
    inspect(InspectSettings(str(folder)))
    out = capsys.readouterr().out
    for words in (
        ["trained", "from", "starter"],
        ["steps", "7"],
        ["lr", "0.0001"],
        ["MCC", "0.125"],
        ["task", "regress"],
    ):
        assert any(line.split() == words for line in out.splitlines()), words


def test_a_published_folder_without_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An encoder that transformers saved, without a tokenizer beside it."""
    from transformers import BertConfig, BertModel

    shape = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    peer = BertModel(shape)
    peer.save_pretrained(tmp_path)
    inspect(InspectSettings(str(tmp_path), json=True))
    facts = json.loads(capsys.readouterr().out)
    assert facts["task"] == "none recorded"
    assert facts["architecture"] == "BertModel"
    assert facts["num_weights"] == sum(one.numel() for one in peer.parameters())
    assert "missing" in facts["tokenizer"]


def test_the_starter(starter_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect(InspectSettings("starter"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(starter_folder)
    assert lines[-1] == "103 tensors, 22,713,216 weights"


def test_what_cannot_be_inspected() -> None:
    with pytest.raises(SettingsError, match="--model FOLDER or --preset SIZE"):
        InspectSettings()
    with pytest.raises(SettingsError, match="did you mean 'L4-H256'"):
        inspect(InspectSettings(preset="L4-H265"))
    with pytest.raises(CheckpointError, match="there is no such folder"):
        inspect(InspectSettings("./nowhere"))
