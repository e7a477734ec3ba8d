from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from bertsmith.report.card import Card, escape_markdown, render_card, write_card
from bertsmith.report.record import Split

CARD = Card(
    name="cola",
    task="classify",
    scores={"mcc": 0.34421, "accuracy": 0.75, "ece": float("nan")},
    labels=["bad", "good"],
    base_model="sentence-transformers/all-MiniLM-L6-v2",
    dataset="CoLA",
    language="en",
    parameters=22_713_216,
    max_length=64,
    splits=[Split("train", 8551, np.array([10, 20]), 1), Split("eval", 516, np.array([10]))],
    settings={"batch_size": 32, "lr": 2e-5, "freeze": None},
    command="bertsmith finetune --task classify",
)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_hub_reads_its_front_matter(tmp_path: Path) -> None:
    write_card(CARD, tmp_path)
    data = ModelCard.load(tmp_path / "README.md").data
    assert data.library_name == "bertsmith"
    assert data.pipeline_tag == "text-classification"
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data.metrics == ["mcc", "accuracy"]
    assert data.language == "en"
    assert "license" not in data.to_dict()
    assert data.model_name == "cola"
    assert [(one.metric_type, one.metric_value, one.dataset_name) for one in data.eval_results] == [
        ("mcc", 0.34421, "CoLA"),
        ("accuracy", 0.75, "CoLA"),
    ]


def test_a_licence_is_named_when_given() -> None:
    data = ModelCard(render_card(Card("x", "tag", license="apache-2.0"))).data
    assert data.license == "apache-2.0"
    assert data.eval_results is None


@pytest.mark.parametrize("task", ["classify", "regress", "choose", "tag", "answer"])
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
        Card(hostile, "classify", labels=[hostile], settings={hostile: hostile}, dataset=hostile, place=hostile)
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
    (code,) = (
        one for one in blocks(render_card(Card("x", task, place=str(tmp_path))), "python") if "import torch" in one
    )
    capsys.readouterr()
    exec(compile(code, "card", "exec"), {})
    assert capsys.readouterr().out.endswith("\n")
