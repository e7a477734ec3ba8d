"""Answers as a person reads them.

Enters: what was asked and the answer, as plain values. Leaves: what `rich` prints. Tells answers apart by their keys;
knows nothing of tasks and models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bertsmith.report.words import clean_text, clip_text, format_score, format_share

BAR = 24  # signs of a bar that stands for certainty
MOST = 6  # bars shown


def show_answer(given: Any, answer: Mapping[str, Any]) -> RenderableType:
    """The question, and its answer below it: bars of probability, a score, marked spans, or a text."""
    parts: list[RenderableType] = [_question(given)]
    if "words" in answer:
        parts.append(_tags(answer))
    elif "score" in answer and "answer" not in answer:
        parts.append(Text(f"score {format_score(answer['score'])}", style="bold"))
    elif "similarity" in answer:
        parts.append(Text(f"similarity {format_score(answer['similarity'])}", style="bold"))
    elif "vector" in answer:
        parts.append(_vector(answer["vector"]))
    elif "answer" in answer:
        parts += [Text(clean_text(answer["answer"]) or "(no answer)", style="bold"), _rivals(answer)]
    elif "choice" in answer:
        endings = list(given["endings"]) if isinstance(given, Mapping) else []
        parts.append(bars(dict(enumerate(answer["probabilities"])), [answer["choice"]], endings))
    else:
        label = answer["label"]
        parts.append(bars(answer["probabilities"], label if isinstance(label, list) else [label]))
    return Padding(Group(*parts), (0, 0, 1, 0))


def bars(probabilities: Mapping[Any, float], chosen: Sequence[Any], names: Sequence[str] = ()) -> Table:
    """The most probable names with a bar each; the chosen ones stand out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    for name, probability in ranked[:MOST]:
        style = "bold" if name in chosen else "dim"
        shown = names[name] if names else str(name)
        filled = round(probability * BAR)
        table.add_row(
            Text(clip_text(shown, 40), style=style),
            Text("━" * filled, style="cyan" if name in chosen else "dim")
            + Text("─" * (BAR - filled), style="bright_black"),
            Text(format_share(probability), style=style, justify="right"),
        )
    if len(ranked) > MOST:
        rest = sum(probability for _, probability in ranked[MOST:])
        table.add_row(Text(f"{len(ranked) - MOST} others", style="dim"), "", Text(format_share(rest), style="dim"))
    return table


def _vector(vector: Sequence[float]) -> Text:
    """The first numbers of a vector, and how many there are."""
    shown = " ".join(f"{number:.3f}" for number in vector[:MOST])
    return Text(f"{shown} ... ({len(vector)} numbers)", style="bold")


def _question(given: Any) -> Text:
    if isinstance(given, Mapping):
        given = given.get("prompt", "")
    texts = [given] if isinstance(given, str) else [str(text) for text in given]
    return Text("\n").join(Text(clip_text(text, 300), style="italic") for text in texts)


def _rivals(answer: Mapping[str, Any]) -> Table:
    named = {one["answer"] or "(no answer)": one["probability"] for one in answer["nbest"]}
    return bars(named, [answer["answer"] or "(no answer)"])


def _tags(answer: Mapping[str, Any]) -> RenderableType:
    """A row a span, or, for plain tags, a row a word."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    if "spans" not in answer:
        table.add_column("word")
        table.add_column("tag")
        for word, tag in zip(answer["words"], answer["tags"], strict=True):
            table.add_row(Text(clip_text(word, 60)), Text(tag, style="bold"))
        return table
    if not answer["spans"]:
        return Text("no spans", style="dim")
    for name in ("span", "type", "place"):
        table.add_column(name)
    for span in answer["spans"]:
        table.add_row(
            Text(clip_text(span["text"], 60), style="bold"), Text(span["type"]), f"{span['start']}–{span['end']}"
        )
    return table
