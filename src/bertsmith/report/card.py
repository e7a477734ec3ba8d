"""The model card: ``README.md`` of a checkpoint folder, in the form the hub reads.

Enters: what a run knows of its model. Leaves: Markdown with YAML front matter. Knows nothing of tensors.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from bertsmith.files import write_text
from bertsmith.report.plain import plain
from bertsmith.report.record import Split
from bertsmith.report.words import (
    clean_text,
    clip_text,
    format_number,
    format_score,
    format_share,
    name_score,
    name_setting,
    show_value,
)

CARD_NAME = "README.md"


@dataclass(frozen=True)
class Card:
    """What the card tells. Only ``name`` and ``task`` are needed.

    name:       what the model is called
    task:       classify, regress, choose, tag or answer
    base_model: the hub's name of the model it started from; empty if it has none there
    dataset:    what the data is called
    language:   ISO 639-1 code of the texts' language
    license:    the licence the model is given to others under, in the hub's words; left out unless given
    place:      folder or hub name to load it from; ``name`` if empty
    pair:       each example is two texts
    """

    name: str
    task: str
    scores: Mapping[str, float] = field(default_factory=dict)
    labels: Sequence[str] = ()
    base_model: str = ""
    dataset: str = ""
    language: str = ""
    license: str = ""
    place: str = ""
    pair: bool = False
    parameters: int = 0
    max_length: int | None = None
    splits: Sequence[Split] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class _Kind:
    """How the hub and transformers speak of a task."""

    pipeline: str
    model: str
    does: str
    example: str
    flags: str
    inputs: str
    reading: str


_TEXT = '"The committee approved the plan without a vote."'
_PAIR = '"A man is playing a guitar.", "Someone makes music."'
_QUESTION = '"Who wrote it?"'
_CONTEXT = '"The report was written by Ada in the spring."'
_KINDS = {
    "classify": _Kind(
        "text-classification",
        "SequenceClassification",
        "puts texts into classes",
        _TEXT,
        f"--text {_TEXT}",
        f"tokenizer({_TEXT}, return_tensors='pt')",
        "print(model.config.id2label[logits.argmax(-1).item()])",
    ),
    "regress": _Kind(
        "text-classification",
        "SequenceClassification",
        "gives texts a score",
        _TEXT,
        f"--text {_TEXT}",
        f"tokenizer({_TEXT}, return_tensors='pt')",
        "print(logits.item())",
    ),
    "choose": _Kind(
        "multiple-choice",
        "MultipleChoice",
        "chooses the ending that fits a beginning",
        "",
        "--input questions.jsonl --output answers.jsonl",
        "",
        "print(logits.argmax(-1).item())",
    ),
    "tag": _Kind(
        "token-classification",
        "TokenClassification",
        "finds and names spans of words in texts",
        '"Ada Lovelace lived in London."',
        '--text "Ada Lovelace lived in London."',
        "tokenizer('Ada Lovelace lived in London.', return_tensors='pt')",
        "print([model.config.id2label[i] for i in logits[0].argmax(-1).tolist()])",
    ),
    "answer": _Kind(
        "question-answering",
        "QuestionAnswering",
        "answers questions with a span of a given text",
        f'{{"question": {_QUESTION}, "context": {_CONTEXT}}}',
        "--input questions.jsonl --output answers.jsonl",
        f"tokenizer({_QUESTION}, {_CONTEXT}, return_tensors='pt')",
        "",
    ),
}


def write_card(card: Card, folder: Path | str) -> None:
    """Write ``folder/README.md`` in one move. Raises `OutputError` when that is not possible."""
    write_text(Path(folder) / CARD_NAME, render_card(card))


def render_card(card: Card) -> str:
    """The card as Markdown."""
    environment = Environment(
        autoescape=False,  # this is Markdown; `md` escapes what comes from outside
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "md": escape_markdown,
        "score": format_score,
        "score_name": name_score,
        "share": format_share,
        "number": format_number,
        "quoted": _quote,
        "shell": lambda text: shlex.quote(clean_text(text)),
        "fenced": lambda text: clean_text(text).replace("```", "'''"),
    }
    kind = _KINDS[card.task]
    example, flags = _examples(card, kind)
    held_out = next((split.rows for split in card.splits if split.name != "train"), 0)
    text = environment.from_string((files("bertsmith.report") / "card.md.j2").read_text(encoding="utf-8")).render(
        card=card,
        front=_front_matter(card, kind),
        does=kind.does.replace("texts", "pairs of texts", 1) if card.pair else kind.does,
        labels=_name_labels(card.labels),
        held_out=held_out,
        place=card.place or card.name,
        example=example,
        flags=flags,
        transformers=_transformers_code(card, kind),
        settings=[(name_setting(name), show_value(plain(value))) for name, value in card.settings.items()],
        limits=_limits(card),
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def escape_markdown(text: str) -> str:
    """``text`` so that Markdown shows it as it is, within a table too.

    >>> print(escape_markdown("a|b <i> *c*"))
    a\\|b &lt;i> \\*c\\*
    """
    text = re.sub(r"([\\`*_\[\]#|])", r"\\\1", clean_text(text))
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _quote(text: str) -> str:
    """A string literal of Python."""
    return json.dumps(clean_text(text), ensure_ascii=False)


def _front_matter(card: Card, kind: _Kind) -> str:
    dataset = clean_text(card.dataset) or "held-out examples"
    results = [
        EvalResult(
            task_type=kind.pipeline,
            dataset_type="custom",
            dataset_name=dataset,
            dataset_split="eval",
            metric_type=name,
            metric_name=name_score(name),
            metric_value=round(value, 5),
        )
        for name, value in plain(card.scores).items()
        if value is not None
    ]
    data = ModelCardData(
        language=card.language or None,
        license=card.license or None,
        library_name="bertsmith",
        pipeline_tag=kind.pipeline,
        tags=["bert", "bertsmith", card.task],
        base_model=card.base_model or None,
        metrics=[result.metric_type for result in results] or None,
        model_name=clean_text(card.name),
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _examples(card: Card, kind: _Kind) -> tuple[str, str]:
    """What to predict, in Python and on the command line."""
    if card.task == "choose":
        return '[{"text": "She opened the door and", "endings": ["went in.", "ate it."]}]', kind.flags
    if card.pair:
        return f"[({_PAIR})]", "--input pairs.tsv --output answers.jsonl"
    return f"[{kind.example}]", kind.flags


def _transformers_code(card: Card, kind: _Kind) -> str:
    place = _quote(card.place or card.name)
    inputs = f"tokenizer({_PAIR}, return_tensors='pt')" if card.pair else kind.inputs
    lines = [
        "import torch",
        f"from transformers import AutoModelFor{kind.model}, AutoTokenizer",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({place})",
        f"model = AutoModelFor{kind.model}.from_pretrained({place})",
    ]
    if card.task == "choose":
        lines += [
            'beginning, endings = "She opened the door and", ["went in.", "ate it."]',
            "inputs = tokenizer([beginning] * len(endings), endings, padding=True, return_tensors='pt')",
            "inputs = {name: values.unsqueeze(0) for name, values in inputs.items()}",
        ]
    else:
        lines.append(f"inputs = {inputs}")
    lines.append("with torch.no_grad():")
    if card.task == "answer":
        lines += [
            "    output = model(**inputs)",
            "begin, end = output.start_logits.argmax(), output.end_logits.argmax()",
            "print(tokenizer.decode(inputs['input_ids'][0, begin : end + 1]))",
        ]
    else:
        lines += ["    logits = model(**inputs).logits", kind.reading]
    return "\n".join(lines).replace("'pt'", '"pt"')


def _name_labels(labels: Sequence[str]) -> str:
    named = [escape_markdown(clip_text(label, 60)) for label in labels[:40]]
    more = f" and {len(labels) - 40} more" if len(labels) > 40 else ""
    return ", ".join(named) + more


def _limits(card: Card) -> list[str]:
    learnt = next((split.rows for split in card.splits if split.name == "train"), 0)
    limits = []
    if learnt:
        limits.append(
            f"It learnt from {learnt:,} examples. Texts of another kind, time or language than theirs get worse "
            "answers, and its scores do not tell by how much."
        )
    if card.task in ("classify", "choose"):
        limits.append(
            "It always answers with one of its labels, also where none fits. Its probability is not a promise: see the "
            "reliability diagram in the run's report."
        )
    if card.max_length and card.task in ("classify", "regress", "choose"):
        limits.append(f"Of an input longer than {card.max_length} tokens, the rest is not read.")
    limits.append(
        "Nothing here measures whether its errors fall on some groups of people, or some ways of writing, more than on "
        "others."
    )
    return limits
