"""JSON: lines of objects, a list of objects, or SQuAD.

Enters: the text of a file. Leaves: a `Table` with the values as JSON has them; one row an object, or one row a question
for SQuAD 1.1 and 2.0. Does not know what a column means.
"""

from __future__ import annotations

import json
from typing import Any

from bertsmith.errors import DataError
from bertsmith.tables.source import split_lines
from bertsmith.tables.table import Table


def parse_json(text: str, path: str) -> Table:
    """Any of the three forms. Raises `DataError` naming the line (and column) of what is not one of them."""
    if not text.strip():
        raise DataError(f"{path}: the file is empty; give one with at least one JSON object")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return _parse_lines(text, path)  # which names the line at fault
    if isinstance(whole, dict) and isinstance(whole.get("data"), list):
        data = whole["data"]
        if any(isinstance(article, dict) and "paragraphs" in article for article in data):
            return _squad(data, path)
        return _of_objects(data, path)
    if isinstance(whole, list):
        return _of_objects(whole, path)
    if isinstance(whole, dict):  # a single object, on one line or spread over many
        return _of_objects([whole], path)
    raise DataError(f'{path}: a JSON {_kind(whole)}, not objects; write one object a line, {{"text": ...}}')


def _parse_lines(text: str, path: str) -> Table:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for number, line in enumerate(split_lines(text), start=1):
        if not line.strip():
            continue
        rows.append(parse_object(line, f"{path}, line {number}"))
        lines.append(number)
    return Table(path, Table.from_rows(rows).columns, lines)


def parse_object(line: str, where: str) -> dict[str, Any]:
    """The JSON object in a line. Raises `DataError` for anything else; ``where`` names the line."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{where}, column {error.colno}: not valid JSON ({error.msg}); write one whole object a line"
        ) from None
    except RecursionError:
        raise DataError(f"{where}: JSON nested too deeply; give one flat object a row") from None
    except ValueError:  # Python's limit, of 4,300 digits unless it was changed
        raise DataError(f"{where}: a number of too many digits; write it as a string") from None
    if not isinstance(row, dict):
        raise DataError(f'{where}: a JSON {_kind(row)} where an object is expected; write {{"text": ...}}')
    return row


def _of_objects(rows: list[Any], path: str) -> Table:
    for place, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, item {place}: a JSON {_kind(row)} where an object is expected; name its fields")
    if not rows:
        raise DataError(f"{path}: an empty list; give at least one object")
    return Table.from_rows(rows, path)


def _squad(articles: list[Any], path: str) -> Table:
    """One row a question: id, title, context, question, answers ([{text, answer_start}, ...]), is_impossible."""
    rows: list[dict[str, Any]] = []
    for a, article in enumerate(articles):
        try:
            for p, paragraph in enumerate(article["paragraphs"]):
                for q, question in enumerate(paragraph["qas"]):
                    place = f", article {a + 1}, paragraph {p + 1}, question {q + 1}"
                    answers = question.get("answers") or []  # absent where there is only a question to answer
                    rows.append(
                        {
                            "id": question["id"],
                            "title": article.get("title", ""),
                            "context": paragraph["context"],
                            "question": question["question"],
                            "answers": [{"text": one["text"], "answer_start": one["answer_start"]} for one in answers],
                            "is_impossible": bool(question.get("is_impossible", False)),
                        }
                    )
        except (KeyError, TypeError, AttributeError) as error:
            done = f"after {len(rows)} questions{place}" if rows else f"in article {a + 1}"
            raise DataError(
                f"{path}, {done}: not in SQuAD's form ({type(error).__name__}: {error}); each question needs id, "
                "question and answers with text and answer_start, each paragraph a context"
            ) from None
    if not rows:
        raise DataError(f"{path}: SQuAD's form, and no questions; give a file with at least one")
    return Table.from_rows(rows, path)


def _kind(value: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)
