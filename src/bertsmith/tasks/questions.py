"""Questions about contexts, with their answers: the examples of `answer`.

Enters: a table, or what a person passes to ``predict``. Leaves: `Questions`, each distinct context held once. Knows
nothing of tokens or models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import DataError, count
from bertsmith.tables.columns import find_column, look_for_column
from bertsmith.tables.table import Table, is_missing
from bertsmith.tasks.task import Columns, Examples
from bertsmith.tasks.texts import is_pair, texts_of_column, where_of_inputs

QUESTION_COLUMNS = ["question", "query", "text"]
CONTEXT_COLUMNS = ["context", "passage", "paragraph", "document", "text_pair"]
ANSWER_COLUMNS = ["answers", "answer", "answer_text", "label"]


@dataclass(frozen=True)
class Questions(Examples):
    """R questions about U distinct contexts.

    questions:  the questions
    contexts:   distinct contexts, (U,)
    context_of: (R,) int64, the context of each question
    golds:      texts of the right answers of each question, none for one without an answer; ``None`` when unlabelled
    spans:      (R, 2) int64, first character of the answer to learn and the one after its last; -1, -1 where it has
                none or where its text is not in the context
    moved:      how many answers stand elsewhere in their context than their row says
    """

    questions: list[str]
    contexts: list[str]
    context_of: NDArray[np.int64]
    golds: list[list[str]] | None
    spans: NDArray[np.int64]
    moved: int = 0

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def groups(self) -> Sequence[int]:
        """The contexts: one that was learnt from is not asked about."""
        return [int(number) for number in self.context_of]

    def shown(self, row: int) -> tuple[str, ...]:
        """The question and its context."""
        return (self.questions[row], self.contexts[self.context_of[row]])

    @property
    def lost(self) -> NDArray[np.int64]:
        """Questions whose answer is not in their context."""
        golds = self.golds or []
        return np.array([row for row, gold in enumerate(golds) if gold and self.spans[row, 0] < 0], dtype=np.int64)


def read_questions(table: Table, columns: Columns, *, labelled: bool) -> Questions:
    """Questions of a table.

    Answers are SQuAD's (a list of mappings with ``text`` and ``answer_start``), the same turned round (``{"text":
    [...], "answer_start": [...]}``), or a text that is looked for in the context. A question without answers, or with a
    true ``is_impossible``, has none. The first answer is the one to learn; where its text does not stand at its start,
    the nearest occurrence is taken.

    Raises `DataError` for answers of another form, and for an ``is_impossible`` that is neither true nor false.
    """
    questions = texts_of_column(table, find_column(table, columns.text, QUESTION_COLUMNS, "question", "--text"))
    name = find_column(table, columns.text_pair, CONTEXT_COLUMNS, "context", "--text-pair")
    contexts = texts_of_column(table, name)
    id_column = look_for_column(table, None, ["id"], "")
    ids = None if id_column is None else table.column(id_column)

    def where(row: int) -> str:
        return table.where(row) if ids is None else f"{table.where(row)} (id {ids[row]})"

    if not labelled:
        return questions_about(questions, contexts, where)
    values = table.column(find_column(table, columns.label, ANSWER_COLUMNS, "answer", "--label"))
    impossible = look_for_column(table, None, ["is_impossible"], "")
    flags = [None] * len(table) if impossible is None else table.column(impossible)
    golds: list[list[str]] = []
    spans = np.full((len(table), 2), -1, dtype=np.int64)
    moved = 0
    for row, value in enumerate(values):
        answers = [] if _is_true(flags[row], where(row)) else _answers(value, where(row))
        golds.append([text for text, _ in answers])
        if answers:
            text, said = answers[0]
            start = _nearest_occurrence(contexts[row], text, said)
            if start >= 0:
                spans[row] = start, start + len(text)
                moved += said is not None and start != said
    return questions_about(questions, contexts, where, golds, spans, moved)


def questions_about(
    questions: list[str],
    contexts: Sequence[str],
    where: Callable[[int], str],
    golds: list[list[str]] | None = None,
    spans: NDArray[np.int64] | None = None,
    moved: int = 0,
) -> Questions:
    """Questions with a context each, given one by one; equal contexts become one."""
    distinct: dict[str, int] = {}
    context_of = [distinct.setdefault(context, len(distinct)) for context in contexts]
    if spans is None:
        spans = np.full((len(questions), 2), -1, dtype=np.int64)
    numbers = np.array(context_of, dtype=np.int64)
    return Questions(questions, list(distinct), numbers, golds, spans, moved, where=where)


def questions_of_inputs(inputs: Sequence[Any]) -> Questions:
    """Unlabelled questions of pairs (question, context) and of mappings with these names, in any mixture."""
    questions, contexts = [], []
    for row, one in enumerate(inputs):
        pair = (one.get("question"), one.get("context")) if isinstance(one, Mapping) else one
        if not is_pair(pair):
            raise DataError(
                f"{where_of_inputs(row)}: {one!r:.60}; give (question, context), or a mapping with 'question' and "
                "'context'"
            )
        questions.append(str(pair[0]))
        contexts.append(str(pair[1]))
    return questions_about(questions, contexts, where_of_inputs)


def _is_true(value: Any, where: str) -> bool:
    """What a column of booleans says, which are words or numbers in some formats; nothing is false."""
    word = "" if is_missing(value) else str(value).strip().lower()
    if word not in ("", "true", "false", "1", "0", "1.0", "0.0"):
        raise DataError(f"{where}: is_impossible is {value!r:.40}; give true or false")
    return word in ("true", "1", "1.0")


def _answers(value: Any, where: str) -> list[tuple[str, int | None]]:
    """Texts of answers with the characters they are said to start at."""
    if is_missing(value) or value == "":
        return []
    if isinstance(value, str):
        return [(value, None)]
    if isinstance(value, Mapping) and "text" in value:
        texts, starts = value["text"], value.get("answer_start")
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            texts, starts = [texts], [starts]
        texts = list(texts)
        starts = [None] * len(texts) if starts is None else list(starts) if isinstance(starts, Iterable) else [starts]
        if len(starts) != len(texts):
            raise DataError(
                f"{where}: {count(len(texts), 'answer')} but {count(len(starts), 'start')}; give one start an answer"
            )
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(value, Sequence) and all(isinstance(one, str) for one in value):
        pairs = [(one, None) for one in value]
    elif isinstance(value, Sequence) and all(isinstance(one, Mapping) and "text" in one for one in value):
        pairs = [(one["text"], one.get("answer_start")) for one in value]
    else:
        raise DataError(f"{where}: the answers are {value!r:.80}; give a list of mappings with text and answer_start")
    return [(_answer_text(text, where), _answer_start(start, where)) for text, start in pairs if text != ""]


def _answer_text(text: Any, where: str) -> str:
    if is_missing(text) or not isinstance(text, str | int | float):
        raise DataError(f"{where}: the text of an answer is {text!r:.40}; give a text, or leave the answer out")
    return str(text)


def _answer_start(start: Any, where: str) -> int | None:
    if is_missing(start):
        return None
    try:
        number = float(start)
    except (TypeError, ValueError):
        number = np.nan
    if not number.is_integer():
        raise DataError(f"{where}: answer_start is {start!r:.40}; give the number of a character, from 0, or none")
    return int(number)


def _nearest_occurrence(context: str, text: str, said: int | None) -> int:
    """Where a text stands in a context, nearest to where it is said to; -1 when it is nowhere."""
    if said is None:
        return context.find(text)
    if said >= 0 and context.startswith(text, said):
        return said
    before = context.rfind(text, 0, max(0, said + len(text)))
    after = context.find(text, max(0, said))
    if before < 0 or (after >= 0 and after - said < said - before):
        return after
    return before
