"""The model card of a pretrained encoder, which answers no task yet.

Enters: what a run knows of its model. Leaves: Markdown with YAML front matter. Knows nothing of tensors.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCardData

from bertsmith.files import plain
from bertsmith.report.card import escape_markdown
from bertsmith.report.words import clean_text, format_number, format_score, name_score, name_setting, show_value


@dataclass(frozen=True)
class PretrainingCard:
    """What the card tells.

    name:         what the model is called, and the folder to load it from
    learnt:       what it learnt to guess, in words
    architecture: its class in transformers
    scores:       on held-out documents
    unigram_loss: what guessing by frequency costs there
    tokens:       that it was trained on, every epoch counted
    """

    name: str
    learnt: str
    architecture: str
    scores: Mapping[str, float]
    unigram_loss: float | None
    parameters: int
    tokens: int
    settings: Mapping[str, Any]

    @property
    def fills(self) -> bool:
        """Whether it guesses tokens."""
        return self.architecture != "BertForNextSentencePrediction"


def render_pretraining_card(card: PretrainingCard) -> str:
    """The card as Markdown."""
    name, place = clean_text(card.name), shlex.quote(clean_text(card.name))
    front = ModelCardData(
        library_name="transformers",
        pipeline_tag="fill-mask" if card.fills else None,
        tags=["bert", "bertsmith", "pretraining"],
        model_name=name,
    )
    scores = [f"| {name_score(key)} | {format_score(value)} |" for key, value in card.scores.items()]
    if card.unigram_loss is not None:
        scores.append(f"| guessing by frequency alone | {format_score(card.unigram_loss)} |")
    settings = [
        f"| {escape_markdown(name_setting(key))} | {escape_markdown(show_value(plain(value)))} |"
        for key, value in card.settings.items()
    ]
    fill = f'bertsmith fill --model {place} --text "the capital of france is [MASK]."\n' if card.fills else ""
    lines = [
        f"---\n{str(front.to_yaml()).strip()}\n---\n\n# {escape_markdown(name)}\n",
        f"A BERT encoder that learnt {card.learnt} from raw text: {format_number(card.parameters)} parameters, trained "
        f"on {format_number(card.tokens)} tokens. It is meant to be fine-tuned; by itself it answers no task.\n",
    ]
    if scores:
        lines += ["## Scores on held-out documents\n", "| score | value |\n|---|---:|", *scores, ""]
    lines += [
        f"## How to use it\n\n```sh\n{fill}bertsmith finetune --model {place} --train train.tsv --out runs/x\n```\n",
        f"With transformers: `{card.architecture}.from_pretrained({name!r})`.\n",
        "## How it was trained\n\n| option | value |\n|---|---|",
        *settings,
        "\n## Limits\n\n- It knows the language of the text that it read, and repeats what that text takes for "
        "granted, prejudice among it.",
        "- Nothing here measures which groups of people, or ways of writing, its errors fall on.",
    ]
    return "\n".join(lines).rstrip() + "\n"
