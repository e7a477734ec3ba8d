"""The model card: ``README.md`` of a checkpoint folder, in the form the hub reads.

Enters: what a run knows of its model. Leaves: Markdown with YAML front matter. Knows nothing of tensors.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from bertsmith.files import plain
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

    name:       what the model is called, and the folder or hub name to load it from
    task:       classify, regress, choose, tag, answer, embed or rerank
    base_model: the hub's name of the model it started from; empty if it has none there
    scored_on:  what the scores were found on, in words
    refitted:   it was trained anew on train + eval; the scores are those of the model before
    pair:       each example is two texts
    several:    any number of labels may hold at once

    for_transformers: transformers computes such a model
    """

    name: str
    task: str
    scores: Mapping[str, float] = field(default_factory=dict)
    labels: Sequence[str] = ()
    base_model: str = ""
    scored_on: str = "held-out examples"
    refitted: bool = False
    pair: bool = False
    several: bool = False
    for_transformers: bool = True
    parameters: int = 0
    max_length: int | None = None
    splits: Sequence[Split] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class _Kind:
    """How the hub, transformers and our own commands speak of a task.

    pipeline: the hub's name of the task
    model:    the end of the class in transformers, after ``AutoModelFor``
    does:     what such a model does
    asked:    something to predict, in Python
    flags:    the same on the command line
    inputs:   lines of Python that make ``inputs`` of it with a ``tokenizer`` of transformers
    reading:  lines of Python that print the answer from the ``output`` of a ``model`` of transformers; all the code
              where the library is another
    library:  that opens the folder, too
    """

    pipeline: str
    model: str
    does: str
    asked: str
    flags: str
    inputs: tuple[str, ...]
    reading: tuple[str, ...]
    library: str = "transformers"


def _by_sentence_transformers(model: str, *lines: str) -> tuple[str, ...]:
    """Lines of Python of a model that sentence-transformers opens, ``PLACE`` standing for its folder."""
    return (f"from sentence_transformers import {model}", "", f"model = {model}(PLACE)", *lines)


_TEXT = '"The committee approved the plan without a vote."'
_PAIR = ('"A man is playing a guitar."', '"Someone makes music."')
_SENTENCE = '"Ada Lovelace lived in London."'
_PROMPT = '"She opened the door and"'
_ENDINGS = ('"went in."', '"ate it."')
_QUESTION = '"Who wrote it?"'
_CONTEXT = '"The report was written by Ada in the spring."'


def _tokenize(*texts: str) -> tuple[str, ...]:
    return (f'inputs = tokenizer({", ".join(texts)}, return_tensors="pt")',)


_KINDS = {
    "classify": _Kind(
        pipeline="text-classification",
        model="SequenceClassification",
        does="puts texts into classes",
        asked=_TEXT,
        flags=f"--text {_TEXT}",
        inputs=_tokenize(_TEXT),
        reading=("print(model.config.id2label[output.logits.argmax(-1).item()])",),
    ),
    "regress": _Kind(
        pipeline="text-classification",
        model="SequenceClassification",
        does="gives texts a score",
        asked=_TEXT,
        flags=f"--text {_TEXT}",
        inputs=_tokenize(_TEXT),
        reading=("print(output.logits.item())",),
    ),
    "choose": _Kind(
        pipeline="multiple-choice",
        model="MultipleChoice",
        does="chooses the ending that fits a beginning",
        asked=f'{{"prompt": {_PROMPT}, "endings": [{", ".join(_ENDINGS)}]}}',
        flags=" ".join([f"--prompt {_PROMPT}", *(f"--ending {ending}" for ending in _ENDINGS)]),
        inputs=(
            f"prompt, endings = {_PROMPT}, [{', '.join(_ENDINGS)}]",
            'inputs = tokenizer([prompt] * len(endings), endings, padding=True, return_tensors="pt")',
            "inputs = {name: values.unsqueeze(0) for name, values in inputs.items()}",
        ),
        reading=("print(endings[output.logits.argmax(-1).item()])",),
    ),
    "tag": _Kind(
        pipeline="token-classification",
        model="TokenClassification",
        does="finds and names spans of words in texts",
        asked=_SENTENCE,
        flags=f"--text {_SENTENCE}",
        inputs=_tokenize(_SENTENCE),
        reading=("print([model.config.id2label[i] for i in output.logits[0].argmax(-1).tolist()])",),
    ),
    "answer": _Kind(
        pipeline="question-answering",
        model="QuestionAnswering",
        does="answers questions with a span of a given text",
        asked=f'{{"question": {_QUESTION}, "context": {_CONTEXT}}}',
        flags=f"--question {_QUESTION} --context {_CONTEXT}",
        inputs=_tokenize(_QUESTION, _CONTEXT),
        reading=(
            "begin, end = output.start_logits.argmax(), output.end_logits.argmax()",
            'print(tokenizer.decode(inputs["input_ids"][0, begin : end + 1]))',
        ),
    ),
    "embed": _Kind(
        pipeline="sentence-similarity",
        model="",
        does="turns texts into vectors, near for texts that mean alike",
        asked=f"({', '.join(_PAIR)})",
        flags="--text {} --text-pair {}".format(*_PAIR),
        inputs=(),
        reading=_by_sentence_transformers(
            "SentenceTransformer",
            f"vectors = model.encode([{', '.join(_PAIR)}])",
            "print(model.similarity(vectors, vectors))",
        ),
        library="sentence-transformers",
    ),
    "rerank": _Kind(
        pipeline="text-ranking",
        model="",
        does="says how well a document answers a query",
        asked=f"({_QUESTION}, {_CONTEXT})",
        flags=f"--text {_QUESTION} --text-pair {_CONTEXT}",
        inputs=(),
        reading=_by_sentence_transformers("CrossEncoder", f"print(model.predict([({_QUESTION}, {_CONTEXT})]))"),
        library="sentence-transformers",
    ),
}


def _kind_of(card: Card) -> _Kind:
    kind = _KINDS[card.task]
    if card.pair:
        kind = replace(
            kind,
            does=kind.does.replace("texts", "pairs of texts", 1),
            asked=f"({', '.join(_PAIR)})",
            flags="--text {} --text-pair {}".format(*_PAIR),
            inputs=_tokenize(*_PAIR),
        )
    if card.several:
        reading = "print([label for i, label in model.config.id2label.items() if output.logits[0, i] > 0])"
        kind = replace(kind, does=kind.does.replace("into", "into any number of"), reading=(reading,))
    return kind


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
    kind = _kind_of(card)
    held_out = next((split.rows for split in card.splits if split.name != "train"), 0)
    text = environment.from_string((files("bertsmith.report") / "card.md.j2").read_text(encoding="utf-8")).render(
        card=card,
        front=_front_matter(card, kind),
        does=kind.does,
        labels=_name_labels(card.labels),
        held_out=held_out,
        asked=kind.asked,
        flags=kind.flags,
        library=kind.library,
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
    scores = {} if card.refitted else plain(card.scores)  # there they would count as the model's own
    results = [
        EvalResult(
            task_type=kind.pipeline,
            dataset_type="custom",
            dataset_name=clean_text(card.scored_on),
            dataset_split="eval",
            metric_type=name,
            metric_name=name_score(name),
            metric_value=round(value, 5),
        )
        for name, value in scores.items()
        if value is not None
    ]
    data = ModelCardData(
        library_name="bertsmith",
        pipeline_tag=kind.pipeline,
        tags=["bert", "bertsmith", card.task],
        base_model=card.base_model or None,
        metrics=[result.metric_type for result in results] or None,
        model_name=clean_text(card.name),
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _transformers_code(card: Card, kind: _Kind) -> str:
    place = _quote(card.name)
    if kind.library != "transformers":
        return "\n".join(line.replace("PLACE", place) for line in kind.reading)
    lines = [
        "import torch",
        f"from transformers import AutoModelFor{kind.model}, AutoTokenizer",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({place})",
        f"model = AutoModelFor{kind.model}.from_pretrained({place})",
        *kind.inputs,
        "with torch.no_grad():",
        "    output = model(**inputs)",
        *kind.reading,
    ]
    return "\n".join(lines)


def _name_labels(labels: Sequence[str]) -> str:
    named = [escape_markdown(clip_text(label, 60)) for label in labels[:40]]
    more = f" and {len(labels) - 40} more" if len(labels) > 40 else ""
    return ", ".join(named) + more


def _limits(card: Card) -> list[str]:
    learnt = sum(split.rows for split in card.splits if split.name == "train" or card.refitted)
    limits = []
    if learnt:
        limits.append(
            f"It learnt from {learnt:,} examples. Texts of another kind, time or language than theirs get worse "
            "answers, and its scores do not tell by how much."
        )
    if card.task in ("classify", "choose") and not card.several:
        limits.append(
            "It always answers with one of its labels, also where none fits. Its probability is not a promise: see the "
            "reliability diagram in the run's report."
        )
    if card.max_length and card.task in ("classify", "regress", "choose", "embed", "rerank"):
        limits.append(f"Of an input longer than {card.max_length} tokens, the rest is not read.")
    limits.append(
        "Nothing here measures whether its errors fall on some groups of people, or some ways of writing, more than on "
        "others."
    )
    return limits
