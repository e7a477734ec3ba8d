from __future__ import annotations

import ast
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from bertsmith.cli.app import build
from bertsmith.report.card import _KINDS, Card, escape_markdown, render_card
from bertsmith.report.record import Split
from bertsmith.tasks import TASKS

CARD = Card(
    name="cola",
    task="classify",
    scores={"mcc": 0.34421, "accuracy": 0.75, "ece": float("nan")},
    labels=["bad", "good"],
    base_model="sentence-transformers/all-MiniLM-L6-v2",
    scored_on="CoLA",
    parameters=22_713_216,
    max_length=64,
    splits=[Split("train", 8551, np.array([10, 20]), 1), Split("eval", 516, np.array([10]))],
    settings={"batch_size": 32, "lr": 2e-5, "freeze": None},
    command="bertsmith finetune --task classify",
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_hub_reads_its_front_matter() -> None:
    data = ModelCard(render_card(CARD)).data
    assert data.library_name == "bertsmith"
    assert data.pipeline_tag == "text-classification"
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data.metrics == ["mcc", "accuracy"]
    assert "license" not in data.to_dict()
    assert data.model_name == "cola"
    assert [(one.metric_type, one.metric_value, one.dataset_name) for one in data.eval_results] == [
        ("mcc", 0.34421, "CoLA"),
        ("accuracy", 0.75, "CoLA"),
    ]


def test_transformers_is_named_only_where_it_opens_the_model() -> None:
    assert "from transformers import" in render_card(CARD)
    told = render_card(replace(CARD, for_transformers=False))
    assert "from transformers import" not in told
    assert "\ntransformers has no such model" in told


def test_a_refitted_model_has_no_scores_of_its_own() -> None:
    told = render_card(CARD)
    assert "On CoLA (516 examples):" in told
    assert "It learnt from 8,551 examples." in told
    told = render_card(replace(CARD, refitted=True))
    assert "Of a first model, on CoLA (516 examples), which it did not learn from." in told
    assert "It learnt from 9,067 examples." in told
    assert ModelCard(told).data.eval_results is None


def test_every_task_has_a_card() -> None:
    assert _KINDS.keys() == TASKS.keys()


@pytest.mark.parametrize(("task", "pair"), [*((task, False) for task in TASKS), ("classify", True), ("regress", True)])
def test_the_command_and_the_python_on_the_card_ask_for_the_same(task: str, pair: bool) -> None:
    text = render_card(Card("x", task, pair=pair))
    (command,) = blocks(text, "sh")
    _, bound, _ = build().parse_args(shlex.split(command)[1:], print_error=False, exit_on_error=False)
    (asked,) = bound.arguments["settings"].inputs
    (expected,) = ast.literal_eval(re.findall(r"model\.predict\((.*)\)\)", text)[0])
    assert asked == (tuple(expected.values()) if task == "answer" else expected)


def test_a_model_of_any_number_of_labels_is_read_so() -> None:
    text = render_card(Card("x", "classify", several=True))
    assert "> 0])" in blocks(text, "python")[1]
    assert "one of its labels" not in text


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("pair", [False, True])
def test_code_on_the_card_is_code(task: str, pair: bool) -> None:
    text = render_card(Card('it\'s a "model"', task, pair=pair))
    found = blocks(text, "python")
    assert len(found) == 2
    for block in found:
        compile(block, "card", "exec")


def test_a_thin_card_has_no_empty_parts() -> None:
    text = render_card(Card("x", "classify"))
    assert "## Scores" not in text
    assert "| split |" not in text
    assert "\n\n\n" not in text
    assert "{" not in text.split("```")[0]


def test_labels_and_names_do_not_break_the_page() -> None:
    hostile = "a|b\n# <img src=x> `c` \x00\ud800 ---"
    text = render_card(
        Card(hostile, "classify", {"mcc": 0.5}, labels=[hostile], settings={hostile: hostile}, scored_on=hostile)
    )
    text.encode("utf-8")
    body = ModelCard(text).content.split("---\n", 2)[2]
    outside_code = re.sub(r"```.*?```", "", body, flags=re.DOTALL)
    assert "<img" not in outside_code
    assert "\x00" not in outside_code
    headings = [line for line in outside_code.splitlines() if line.startswith("# ")]
    assert len(headings) == 1
    for row in (line for line in outside_code.splitlines() if line.startswith("|")):
        assert len(re.findall(r"(?<!\\)\|", row)) == 3


def test_escape_markdown() -> None:
    assert escape_markdown("2 * 3 < 7 & `x`") == r"2 \* 3 &lt; 7 &amp; \`x\`"


HEADS = {
    "classify": "SequenceClassification",
    "regress": "SequenceClassification",
    "choose": "MultipleChoice",
    "tag": "TokenClassification",
    "answer": "QuestionAnswering",
}


@pytest.mark.parametrize("task", HEADS)
def test_the_transformers_code_runs(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "report", "was", "written", "by", "ada", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1 if task == "regress" else 2,
    )
    getattr(transformers, f"BertFor{HEADS[task]}")(config).save_pretrained(tmp_path)
    (code,) = (one for one in blocks(render_card(Card(str(tmp_path), task)), "python") if "import torch" in one)
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})
    assert capsys.readouterr().out.endswith("\n")
