"""Tagging of words: named entities and other spans, or a plain tag (part of speech) for every word.

Enters: sentences as words with a tag each, in IOB1, IOB2, BIOES or a plain scheme. Leaves: ``{"words": [...], "tags":
[...], "spans": [{"type", "start", "end", "text"}]}``. The tag of a word sits on its first piece and the others are
ignored (Devlin et al. 2018, section 5.3). A sentence longer than ``max_length`` becomes several sequences of whole
words, whose tags are joined again: no word is ever left without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.errors import SettingsError
from bertsmith.model.batch import Batch
from bertsmith.tables.table import Table
from bertsmith.tasks.chunks import chunk_words
from bertsmith.tasks.insight import Insight
from bertsmith.tasks.labels import check_loss_options, learn_weights
from bertsmith.tasks.losses import IGNORED, class_loss, weights_by_class
from bertsmith.tasks.sentences import Sentences, read_sentences, sentences_of
from bertsmith.tasks.tag_insight import spans_by_type, worst_sentences
from bertsmith.tasks.tag_set import check_tags, learn_tags, number_tags
from bertsmith.tasks.tagging import Scheme, Span, count_spans, scheme_of, spans_of, tags_of, to_iob2
from bertsmith.tasks.task import Answer, Columns, Encoded, Task
from bertsmith.tasks.texts import where_of_inputs
from bertsmith.text.join import arrange, range_places
from bertsmith.text.ragged import bounds_of
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.loss import Loss


@dataclass(frozen=True)
class Tag(Task):
    """A tagger.

    labels:          tags by number: ``O`` and the ``B-`` and ``I-`` of every type, or plain tags
    scheme:          what the training data was written in; all but ``plain`` are IOB2 inside
    label_smoothing: share of the target spread over all tags, from 0 to below 1
    focal_gamma:     how strongly the loss leaves out what is easy; 0 is cross entropy
    class_weights:   weight of each tag in the loss, 1 where not named; `learn` also takes ``"balanced"``
    """

    labels: tuple[str, ...]
    scheme: Scheme = "IOB2"
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    class_weights: Mapping[str, float] | None = None

    name: ClassVar[str] = "tag"
    head: ClassVar[Literal["token"]] = "token"
    metric: ClassVar[str] = "f1"
    options: ClassVar[tuple[str, ...]] = ("label_smoothing", "focal_gamma", "class_weights")

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        check_loss_options(self.labels, self.label_smoothing, self.focal_gamma, self.class_weights)

    @classmethod
    def read(cls, table: Table, columns: Columns, *, labelled: bool = True) -> Sentences:
        """Sentences of a table: a column of words and one of tags."""
        return read_sentences(table, columns, labelled=labelled)

    @classmethod
    def learn(cls, examples: Sentences, **options: Any) -> Self:
        """The scheme and the tags that the examples have. Raises `DataError` when there is nothing to tell apart."""
        cls.check_options(options)
        labels, scheme = learn_tags(examples)
        names = (tag for tags in examples.tags or [] for tag in to_iob2(tags, scheme))
        options["class_weights"] = learn_weights(options.get("class_weights"), names, labels)
        return cls(labels=labels, scheme=scheme, **options)

    @property
    def label_names(self) -> Sequence[str]:
        return self.labels

    @classmethod
    def from_labels(cls, labels: Sequence[str]) -> Self:
        """The task of a published checkpoint, of which only the tags by number are known.

        Tags of any scheme are read into spans alike; ones that are of no scheme are plain.
        """
        return cls(labels=tuple(labels), scheme=scheme_of([[label] for label in labels]))

    def check(self, examples: Sentences) -> None:
        """Raise `DataError` for a tag not seen in training, naming its sentence and word."""
        check_tags(examples, self.labels, self.scheme)

    def targets(self, examples: Sentences) -> NDArray[np.int64]:
        """Tag numbers of all words, sentence after sentence, (W,). Raises as `check`."""
        return number_tags(examples, self.labels, self.scheme)

    def encode(self, examples: Sentences, tokenizer: Tokenizer, max_length: int) -> Encoded:
        """One sequence for each chunk of a sentence; the target ``label`` by token.

        A word that is longer than a sequence alone is cut to its first pieces, and the rest counted as cut. The note
        ``first_pieces`` (W,) is where each word's first piece stands among the tokens.
        """
        room = max_length - 2
        if room < 1:
            raise SettingsError(f"max_length {max_length} has no room for a word; give 3 or more")
        ids, bounds = tokenizer.pieces_of_words(examples.words)
        lengths = np.minimum(np.diff(bounds), room)  # (W,)
        kept, word_bounds = range_places(bounds[:-1], bounds[:-1] + lengths)
        dropped = np.concatenate([[0], np.cumsum(np.diff(bounds) - lengths)])
        sentences = bounds_of([len(words) for words in examples.words])
        chunks, owners = chunk_words(lengths, sentences, room)
        layout = arrange(word_bounds[chunks])
        sequences = layout.ragged(ids[kept], None, tokenizer.cls_id, tokenizer.sep_id)
        sequences.cut[:] = np.diff(dropped[chunks])
        is_first = np.zeros(len(kept), dtype=np.int64)
        is_first[word_bounds[:-1]] = 1
        first_pieces = np.flatnonzero(layout.pour(is_first, None, 0))
        token_targets = {}
        if examples.tags is not None:
            labels = np.full(len(sequences.ids), IGNORED, dtype=np.int64)
            labels[first_pieces] = self.targets(examples)
            token_targets["label"] = labels
        return Encoded(
            sequences,
            np.arange(len(sequences) + 1),
            token_targets=token_targets,
            notes={"first_pieces": first_pieces},
            cut=np.diff(dropped[sentences]),
            counts={
                "sentence without words": int(np.sum(np.diff(sentences) == 0)),
                "sentence too long for one sequence, and split": len(np.unique(owners[1:][np.diff(owners) == 0])),
            },
        )

    def loss(self, logits: Tensor, batch: Batch) -> Loss:
        """Cross entropy of the tag of every word, at its first piece. Shape: logits (N, C)."""
        return class_loss(
            logits,
            batch.targets["label"],
            class_weights=weights_by_class(self.class_weights, self.labels),
            label_smoothing=self.label_smoothing,
            focal_gamma=self.focal_gamma,
        )

    def predicted(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Sentences) -> list[list[str]]:
        """The most probable tag of every word as the model gives it, an ``I-`` that begins a span included."""
        best = outputs[encoded.notes["first_pieces"]].argmax(1)  # (W, C) -> (W,)
        bounds = bounds_of([len(words) for words in examples.words])
        tags = [self.labels[number] for number in best.tolist()]
        return [tags[first:end] for first, end in pairwise(bounds.tolist())]

    def answers(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Sentences) -> list[Answer]:
        """Words, tags and spans of each sentence.

        ``start`` and ``end`` (which is past the last) count characters in a text, words in a sentence that came as
        words. Plain tags have no spans.
        """
        answers: list[Answer] = []
        for row, tags in enumerate(self.predicted(outputs, encoded, examples)):
            words = examples.words[row]
            if self.scheme == "plain":
                answers.append({"words": words, "tags": tags})
                continue
            spans = spans_of(tags)
            answers.append(
                {
                    "words": words,
                    "tags": tags_of(spans, len(words)),
                    "spans": [_shown(span, examples, row) for span in spans],
                }
            )
        return answers

    def spans(
        self, outputs: NDArray[np.float32], encoded: Encoded, examples: Sentences
    ) -> tuple[list[list[Span]], list[list[Span]]]:
        """Spans of each sentence in the truth, and as found."""
        gold = [spans_of(tags, self.scheme) for tags in examples.tags or []]
        return gold, [spans_of(tags, self.scheme) for tags in self.predicted(outputs, encoded, examples)]

    def scores(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Sentences) -> dict[str, float]:
        """``precision``, ``recall`` and ``f1`` of spans, and ``accuracy`` of tags, by word."""
        overall, _ = count_spans(*self.spans(outputs, encoded, examples))
        places = encoded.notes["first_pieces"]
        targets = encoded.token_targets["label"][places]
        right = (outputs[places].argmax(1) == targets)[targets != IGNORED]
        return {
            "precision": overall.precision,
            "recall": overall.recall,
            "f1": overall.f1,
            "accuracy": float(right.mean()) if len(right) else 0.0,
        }

    def insight(self, outputs: NDArray[np.float32], encoded: Encoded, examples: Sentences) -> Insight:
        """Scores by type of span, and the sentences with most that is wrong. A plain tag is the span of its word."""
        gold, found = self.spans(outputs, encoded, examples)
        _, by_type = count_spans(gold, found)
        mistakes = worst_sentences(
            gold,
            found,
            lambda row: examples.shown(row)[0],
            lambda row, span: " ".join(examples.words[row][span[1] : span[2]]),
        )
        return Insight(breakdowns=[spans_by_type(by_type)], mistakes=mistakes)

    def examples_of_texts(self, texts: Sequence[Any]) -> Sentences:
        """Texts, lists of words, or mappings with ``words`` or ``text``."""
        if texts and all(isinstance(one, Mapping) for one in texts):
            return self.read(Table.from_rows(texts, path="input"), Columns(), labelled=False)
        return sentences_of(texts, where_of_inputs)


def _shown(span: Span, examples: Sentences, row: int) -> dict[str, Any]:
    kind, first, end = span
    text = examples.texts[row]
    if text is None:
        return {"type": kind, "start": first, "end": end, "text": " ".join(examples.words[row][first:end])}
    start, stop = examples.places[row][first][0], examples.places[row][end - 1][1]
    return {"type": kind, "start": start, "end": stop, "text": text[start:stop]}
