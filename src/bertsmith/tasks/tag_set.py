"""The set of tags that a tagger knows: learnt from sentences, checked against others, and numbered.

Enters: sentences with their tags as written. Leaves: tags by number and their scheme, or the sentence and word that do
not fit. Knows nothing of tokens or models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertsmith.errors import DataError, nearest
from bertsmith.tasks.labels import ordered
from bertsmith.tasks.losses import IGNORED
from bertsmith.tasks.sentences import Sentences
from bertsmith.tasks.tagging import Scheme, is_span_tag, scheme_of, split_tag, to_iob2


def learn_tags(examples: Sentences) -> tuple[tuple[str, ...], Scheme]:
    """The tags by number, and the scheme that the sentences are written in.

    Tags of spans become IOB2: ``O``, then ``B-`` and ``I-`` of every type. Raises `DataError` when there is nothing to
    tell apart, and for tags of which some are of a scheme of spans and some are not.
    """
    rows = examples.tags or []
    scheme = scheme_of(rows)
    written = {tag for tags in rows for tag in tags}
    if scheme == "plain":
        _check_plain(examples)
        labels = ordered(written)
    else:
        kinds = ordered({split_tag(tag)[1] for tag in written} - {""})
        labels = ("O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI"))
    if len(labels) < 2:
        found = f"the only tag is {labels[0]!r}" if written else "there are no tags"
        place = examples.where(0) if len(examples) else "no examples"
        raise DataError(f"{place}: {found} in all {len(examples)} sentences; training needs two or more")
    return labels, scheme


def _check_plain(examples: Sentences) -> None:
    """Raise `DataError` for tags of which some are of a scheme of spans and some are not: a slip, most likely."""
    rows = examples.tags or []
    if not any(is_span_tag(tag) and tag != "O" for tags in rows for tag in tags):
        return
    place, tag = _first_of(examples, {tag for tags in rows for tag in tags if not is_span_tag(tag)})
    raise DataError(f"{place}: tag {tag!r} is neither O nor like B-TYPE or I-TYPE, as others are; correct it")


def check_tags(examples: Sentences, labels: Sequence[str], scheme: Scheme) -> None:
    """Raise `DataError` for a tag that is not known, naming its sentence and word.

    A type that is known may come in any scheme of spans.
    """
    written = {tag for tags in examples.tags or [] for tag in tags}
    if scheme == "plain":
        unknown = written - set(labels)
    else:
        kinds = {split_tag(label)[1] for label in labels}
        unknown = {tag for tag in written if not is_span_tag(tag) or split_tag(tag)[1] not in kinds}
    if unknown:
        place, tag = _first_of(examples, unknown)
        raise DataError(f"{place}: tag {tag!r} was not seen in training; {nearest(tag, set(labels))}")


def number_tags(examples: Sentences, labels: Sequence[str], scheme: Scheme) -> NDArray[np.int64]:
    """Numbers of the tags of all words, sentence after sentence, (W,). Raises as `check_tags`.

    A published tagger may have other tags for the types than IOB2's: then the tag as written is taken, and where it
    has none such either, the word has no target (its span still counts).
    """
    check_tags(examples, labels, scheme)
    numbers = {label: number for number, label in enumerate(labels)}
    found = [
        numbers.get(tag, numbers.get(as_written, IGNORED))
        for tags in examples.tags or []
        for tag, as_written in zip(to_iob2(tags, scheme), tags, strict=True)
    ]
    return np.array(found, dtype=np.int64)


def _first_of(examples: Sentences, tags: set[str]) -> tuple[str, str]:
    """Place and tag of the first word that has one of ``tags``."""
    rows = examples.tags or []
    row = next(row for row, found in enumerate(rows) if not tags.isdisjoint(found))
    word = next(word for word, tag in enumerate(rows[row]) if tag in tags)
    return f"{examples.where(row)}, word {word + 1} ({examples.words[row][word]!r})", rows[row][word]
