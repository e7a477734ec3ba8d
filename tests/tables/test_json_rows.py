"""JSON lines, lists, and SQuAD 1.1 and 2.0."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bertsmith.errors import DataError
from bertsmith.tables.json_rows import parse_json


def test_lines_keep_types_and_know_their_lines() -> None:
    table = parse_json('{"text": "a", "label": 1}\n\n{"text": "b\\nc", "score": 0.5}\n', "x")
    assert table.columns == {"text": ["a", "b\nc"], "label": [1, None], "score": [None, 0.5]}
    assert table.lines == [1, 3]


def test_a_single_line_a_list_and_an_object_under_data() -> None:
    assert parse_json('{"text": "a"}\n', "x").column("text") == ["a"]
    assert parse_json('[{"text": "a"}, {"text": "b"}]', "x").column("text") == ["a", "b"]
    assert parse_json('{"version": 1, "data": [{"text": "a"}]}', "x").column("text") == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": }\n', r"x, line 2, column 7: not valid JSON"),
        ('{"a": 1}\n[2]\n', r"x, line 2: a JSON list where an object is expected"),
        ('[{"a": 1}, "b"]', r"x, item 2: a JSON string where an object"),
        ("[]", "an empty list"),
        ("3", "a JSON number, not objects"),
        ('{"a": 1}\n{"a": ' + "[" * 100_000 + "\n", r"x, line 2: JSON nested too deeply"),
        ('{"a": 1}\n{"a": ' + "1" * 5000 + "}\n", r"x, line 2: a number of too many digits"),
        ('{"a": ' + "1" * 5000 + "}", r"x, line 1: a number of too many digits"),
    ],
)
def test_what_is_no_row_is_named(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_json(text, "x")


def squad(*questions: dict[str, Any]) -> str:
    paragraph = {"context": "Rome is old.", "qas": list(questions)}
    return json.dumps({"version": "v2.0", "data": [{"title": "T", "paragraphs": [paragraph]}]})


def test_squad_2_has_questions_without_an_answer() -> None:
    answered = {"id": "1", "question": "What is old?", "answers": [{"text": "Rome", "answer_start": 0}]}
    impossible = {"id": "2", "question": "Who?", "answers": [], "is_impossible": True}
    table = parse_json(squad(answered, impossible), "x")
    assert {name: values[0] for name, values in table.columns.items()} == {
        "id": "1",
        "title": "T",
        "context": "Rome is old.",
        "question": "What is old?",
        "answers": [{"text": "Rome", "answer_start": 0}],
        "is_impossible": False,
    }
    assert table.column("is_impossible") == [False, True]
    assert table.column("answers")[1] == []


def test_squad_with_a_field_missing_names_the_last_good_question() -> None:
    good = {"id": "1", "question": "What is old?", "answers": []}
    with pytest.raises(DataError, match=r"x, after 1 questions.*KeyError: 'answer_start'"):
        parse_json(squad(good, {"id": "2", "question": "?", "answers": [{"text": "Rome"}]}), "x")
