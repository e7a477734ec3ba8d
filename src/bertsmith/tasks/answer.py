"""Extractive question answering: the span of a context that answers a question, or that there is none.

Enters: questions, contexts and answers with their characters. Leaves: ``{"answer", "start", "end", "score",
"probability", "nbest"}``, the answer exactly as it stands in the context. A long context is read in overlapping
windows. The head and the loss are those of Devlin et al. 2018, sections 4.2 and 4.3.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from bertsmith.errors import DataError, SettingsError
from bertsmith.model.batch import Batch
from bertsmith.tables.table import Table
from bertsmith.tasks.answer_insight import break_down_answers, judge_answers, surest_misses
from bertsmith.tasks.insight import Insight
from bertsmith.tasks.losses import span_loss
from bertsmith.tasks.questions import Questions, questions_of_inputs, read_questions
from bertsmith.tasks.squad import answer_scores, answer_scores_2
from bertsmith.tasks.task import Answer, Columns, Encoded, Task
from bertsmith.tasks.windows import best_spans, make_windows, pieces_of_spans
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss

CANDIDATES = 20  # spans a window may put forward, and a question may weigh against each other


class Candidate(NamedTuple):
    """A span of a context: its text and characters, and the sum of its start and end logits."""

    answer: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class AnswerQuestions(Task):
    """An answerer.

    no_answer:           whether a question may have no answer, as in SQuAD 2.0; learnt from the data
    no_answer_threshold: no answer is given where its score exceeds the best span's by more than this
    stride:              tokens that neighbouring windows share
    max_question:        tokens a question is cut to
    max_answer:          most tokens in an answer
    num_best:            answers listed under ``nbest``
    """

    no_answer: bool = False
    no_answer_threshold: float = 0.0
    stride: int = 128
    max_question: int = 64
    max_answer: int = 30
    num_best: int = 5

    name: ClassVar[str] = "answer"
    head: ClassVar[Literal["span"]] = "span"
    metric: ClassVar[str] = "f1"
    percent: ClassVar[bool] = True
    default_max_length: ClassVar[int] = 384
    options: ClassVar[tuple[str, ...]] = (
        "no_answer_threshold",
        "stride",
        "max_question",
        "max_answer",
        "num_best",
        "allow_missing_answers",
    )

    def __post_init__(self) -> None:
        for name in ("stride", "max_question", "max_answer", "num_best"):
            least = 0 if name == "stride" else 1
            if getattr(self, name) < least:
                raise SettingsError(f"{name} is {getattr(self, name)}; give {least} or more")
        if not np.isfinite(self.no_answer_threshold):  # JSON, in which a checkpoint keeps it, has no such number
            raise SettingsError(f"no_answer_threshold is {self.no_answer_threshold}; give a finite number")

    @classmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Questions:
        """Questions of a table: ``question``, ``context`` and ``answers``."""
        return read_questions(table, columns, labelled=labelled)

    @classmethod
    def strata(cls, examples: Questions) -> Sequence[Hashable]:
        """Whether there is an answer."""
        return [bool(gold) for gold in examples.golds or ()]

    @classmethod
    def learn(cls, examples: Questions, **options: Any) -> Self:
        """Whether there are questions without an answer.

        Raises `DataError` for an answer that is not in its context, unless ``allow_missing_answers`` is true: then such
        questions cost nothing, and are counted.
        """
        cls.check_options(options)
        allowed = options.pop("allow_missing_answers", False)
        golds = examples.golds or []
        if not any(golds):
            place = examples.where(0) if len(examples) else "no examples"
            raise DataError(f"{place}: none of {len(examples)} questions has an answer; there is nothing to learn")
        if len(examples.lost) and not allowed:
            row = int(examples.lost[0])
            raise DataError(
                f"{examples.where(row)}: the answer {golds[row][0]!r:.80} is not in the context "
                f"({len(examples.lost)} such in all); mend it, or leave such rows out with allow_missing_answers"
            )
        return cls(no_answer=not all(golds), **options)

    @property
    def num_outputs(self) -> int:
        return 2

    def check(self, examples: Questions) -> None:
        """Nothing to raise: an answer is scored by its text, wherever it stands."""

    def encode(self, examples: Questions, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """One sequence a window; targets ``start`` and ``end``, which are 0 ([CLS]) in a window without the answer.

        Notes, by window: ``questions``, ``first`` (place of the first context token) and ``bounds`` (W+1,) into
        ``offsets``, the characters of the context tokens of all windows end to end.
        """
        if max_length < self.max_question + 5:
            raise SettingsError(
                f"max_length {max_length} leaves no room for a context beside a question of {self.max_question} "
                f"tokens; give {self.max_question + 5} or more (384 is usual)"
            )
        contexts = tokenizer.pieces(examples.contexts)
        made = make_windows(
            tokenizer,
            examples.questions,
            contexts,
            examples.context_of,
            max_length=max_length,
            max_question=self.max_question,
            stride=self.stride,
        )
        parts = contexts.take_ranges(made.starts, made.ends)
        windows_by_question = np.bincount(made.questions, minlength=len(examples))
        counts = {
            "context without tokens": int(np.sum(np.diff(contexts.bounds) == 0)),
            "question with a context of several windows": int(np.sum(windows_by_question > 1)),
            f"question cut to {self.max_question} tokens": int(np.count_nonzero(made.cut)),
        }
        targets = {}
        if examples.golds is not None:
            pieces = pieces_of_spans(contexts, examples.context_of, examples.spans)[made.questions]  # (W, 2)
            has_answer = np.array([bool(gold) for gold in examples.golds], dtype=bool)[made.questions]
            inside = (pieces[:, 0] >= made.starts) & (pieces[:, 1] < made.ends) & (pieces[:, 0] >= 0)
            lost = has_answer & (pieces[:, 0] < 0)
            for name, piece in [("start", pieces[:, 0]), ("end", pieces[:, 1])]:
                places = np.where(inside, piece - made.starts + made.first, 0)
                targets[name] = np.where(lost, made.sequences.lengths, places)  # past the end: ignored by the loss
            counts["question without an answer"] = sum(not gold for gold in examples.golds)
            counts["answer found elsewhere than said"] = examples.moved
            counts["answer missing from the context (not learnt)"] = len(np.unique(made.questions[lost]))
        return Encoded(
            made.sequences,
            np.arange(len(made.sequences) + 1),
            targets,
            notes={
                "questions": made.questions,
                "first": made.first,
                "bounds": parts.bounds,
                "offsets": parts.offsets,
            },
            counts=counts,
        )

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Mean of the cross entropies of start and end over each window's tokens. Shape: logits (N, 2)."""
        return span_loss(logits, batch.lengths, batch.targets["start"], batch.targets["end"])

    def candidates(
        self, outputs: NDArray[np.float32], encoded: Encoded, examples: Questions
    ) -> tuple[list[list[Candidate]], NDArray[np.float64]]:
        """The best spans of each question, best first, and its score for no answer (R,).

        A text found more than once counts once, with its best score. The score for no answer is that of [CLS] as start
        and end, the least over the windows (as the published scripts take it).
        """
        bounds, offsets = encoded.notes["bounds"], encoded.notes["offsets"]
        sequence_starts = encoded.sequences.bounds[:-1]
        context_starts = (sequence_starts + encoded.notes["first"]).tolist()
        found: list[dict[str, Candidate]] = [{} for _ in range(len(examples))]
        for window, row in enumerate(encoded.notes["questions"].tolist()):
            characters = offsets[bounds[window] : bounds[window + 1]]
            logits = outputs[context_starts[window] :][: len(characters)]  # (T, 2)
            first, last, scores = best_spans(logits[:, 0], logits[:, 1], CANDIDATES, self.max_answer)
            context = examples.contexts[examples.context_of[row]]
            spans = zip(characters[first, 0].tolist(), characters[last, 1].tolist(), scores.tolist(), strict=True)
            for start, end, score in spans:
                text = context[start:end]
                if text not in found[row] or score > found[row][text].score:
                    found[row][text] = Candidate(text, start, end, score)
        ranked = [
            sorted(by_text.values(), key=lambda one: (-one.score, one.start, one.end))[:CANDIDATES] for by_text in found
        ]
        no_answer = np.full(len(examples), np.inf)
        np.minimum.at(no_answer, encoded.notes["questions"], outputs[sequence_starts].sum(1).astype(np.float64))
        return ranked, no_answer

    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Questions) -> list[Answer]:
        """The best answer of each question and its rivals.

        ``start`` and ``end`` count characters of the context. ``probability`` is the softmax over the scores of the
        best 20 candidates, no answer among them where questions may have none. No answer is the text "" with ``None``
        for its characters.
        """
        ranked, no_answer = self.candidates(outputs, encoded, examples)
        return [self._answer(*one) for one in zip(ranked, no_answer.tolist(), strict=True)]

    def _answer(self, ranked: list[Candidate], no_answer: float) -> Answer:
        entries: list[Answer] = [one._asdict() for one in ranked]
        none: Answer = {"answer": "", "start": None, "end": None, "score": no_answer}
        if self.no_answer or not entries:
            entries.append(none)
        for entry, probability in zip(entries, softmax([entry["score"] for entry in entries]).tolist(), strict=True):
            entry["probability"] = probability
        silent = self.stays_silent(ranked, no_answer)
        best = none if silent else entries[0]
        entries.sort(key=lambda entry: -entry["score"])
        return {**best, "nbest": entries[: self.num_best]}

    def stays_silent(self, ranked: list[Candidate], no_answer: float) -> bool:
        """Whether no answer is the answer."""
        return not ranked or (self.no_answer and no_answer - ranked[0].score > self.no_answer_threshold)

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Questions) -> dict[str, float]:
        """``exact_match`` and ``f1`` in percent, as the script of SQuAD 1.1 has them; where some questions have no
        answer, what the script of SQuAD 2.0 has (`squad.answer_scores_2`)."""
        ranked, no_answer = self.candidates(outputs, encoded, examples)
        golds = examples.golds or []
        best = [one[0].answer if one else "" for one in ranked]
        given = [
            "" if self.stays_silent(*one) else text for text, *one in zip(best, ranked, no_answer.tolist(), strict=True)
        ]
        if all(golds):
            return answer_scores(given, golds)
        margins = [
            silence - (one[0].score if one else -np.inf)
            for one, silence in zip(ranked, no_answer.tolist(), strict=True)
        ]
        return answer_scores_2(given, best, margins, golds)

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Questions) -> Insight:
        """Scores by question word and by length of the answer; the surest of the answers that are wholly wrong."""
        given = self.answers(outputs, encoded, examples)
        judged = judge_answers(examples, given)
        return Insight(breakdowns=break_down_answers(examples, judged), mistakes=surest_misses(examples, given, judged))

    def examples_of_texts(self, texts: Sequence[Any]) -> Questions:
        """Pairs (question, context), or mappings with ``question`` and ``context``."""
        return questions_of_inputs(texts)
