"""The head as ``config.json`` tells it, read and written by transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from bertsmith.checkpoint.architecture import (
    PRETRAINING_HEADS,
    TASK_HEADS,
    describe_head,
    head_of,
    labels_of,
    pretraining_kind_of,
)
from bertsmith.model import BertConfig
from bertsmith.model.heads import HeadKind, PretrainingKind

LABELS = [f"label {number}" for number in range(12)]  # more than ten: "10" sorts before "2" as text


@pytest.mark.parametrize("head", list(TASK_HEADS))
def test_transformers_reads_the_head_and_writes_it_back(tmp_path: Path, head: HeadKind) -> None:
    described = describe_head(BertConfig().to_dict(), head, LABELS, "multi_label_classification")
    (tmp_path / "config.json").write_text(json.dumps(described))
    read = transformers.AutoConfig.from_pretrained(tmp_path)
    assert hasattr(transformers, read.architectures[0])
    assert [read.id2label[number] for number in range(12)] == LABELS
    assert read.num_labels == 12
    assert read.problem_type == "multi_label_classification"
    read.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert head_of(written) == head
    assert labels_of(written) == LABELS


@pytest.mark.parametrize("kind", list(PRETRAINING_HEADS))
def test_a_head_of_pretraining_is_no_task(kind: PretrainingKind) -> None:
    described = describe_head(BertConfig().to_dict(), kind)
    assert hasattr(transformers, described["architectures"][0])
    assert pretraining_kind_of(described) == kind
    assert head_of(described) is None
    assert pretraining_kind_of(describe_head({}, "sequence")) is None


def test_an_encoder_alone_and_other_heads_have_no_head_here() -> None:
    assert head_of(describe_head({}, None)) is None
    assert head_of({"architectures": ["BertForMaskedLM"]}) is None
    assert head_of({}) is None


@pytest.mark.parametrize("config", [{}, {"id2label": None}, {"id2label": {"0": "a", "2": "c"}}, {"id2label": {"x": 1}}])
def test_labels_that_do_not_number_the_outputs_are_none(config: dict[str, object]) -> None:
    assert labels_of(config) is None
