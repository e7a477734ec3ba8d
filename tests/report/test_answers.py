"""Answers as a person reads them: what stands in the lines, for every kind of answer."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from bertsmith.report.answers import BAR, show_answer


def lines_of(given: Any, answer: dict[str, Any]) -> list[str]:
    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        console.print(show_answer(given, answer))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_labels_stand_by_rank_with_bars_as_long_as_they_are_probable() -> None:
    probabilities = {"a": 0.25, "b": 0.5, **{f"x{n}": 0.25 / 5 for n in range(5)}}
    lines = lines_of("what [red]is[/] this?", {"label": "b", "probabilities": probabilities})
    assert lines[0] == "what [red]is[/] this?"
    assert [line.split()[0] for line in lines[1:4]] == ["b", "a", "x0"]
    assert [line.count("━") for line in lines[1:4]] == [BAR // 2, BAR // 4, 1]
    assert lines[1].endswith("50.0%")
    assert lines[7].split() == ["1", "others", "5.0%"]


@pytest.mark.parametrize(
    ("given", "answer", "words"),
    [
        ("a", {"score": 3.14159}, "score 3.142"),
        (
            {"prompt": "She", "endings": ["left", "is red"]},
            {"choice": 1, "text": "is red", "probabilities": [0.2, 0.8]},
            "is red 80.0%",
        ),
        (
            ("who?", "Ada wrote it"),
            {"answer": "Ada", "nbest": [{"answer": "Ada", "probability": 0.9}, {"answer": "", "probability": 0.1}]},
            "(no answer) 10.0%",
        ),
        ("Ada", {"words": ["Ada"], "tags": ["B-PER"], "spans": [{"type": "PER", "start": 0, "end": 3, "text": "Ada"}]},
         "Ada PER 0–3"),
        ("Ada", {"words": ["Ada"], "tags": ["O"], "spans": []}, "no spans"),
        ("Ada", {"words": ["Ada"], "tags": ["NNP"]}, "Ada NNP"),
    ],
)  # fmt: skip
def test_each_kind_of_answer_is_told(given: Any, answer: dict[str, Any], words: str) -> None:
    told = [" ".join(line.translate({0x2501: None, 0x2500: None}).split()) for line in lines_of(given, answer)]
    assert words in told
