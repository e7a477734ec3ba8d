"""What is wrong or remarkable about examples, before a minute of training is spent on them.

Enters: the texts and labels of the examples, and counts of what truncation cut. Leaves: findings, one line each. Knows
nothing of tasks, files or tokens; nothing here stops a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal

Texts = tuple[str, ...]  # all the texts of one example: one, a pair, a question and its endings

IMBALANCED = 10  # the largest class at least this many times the smallest
RARE = 8  # a class with fewer examples than this is hardly learnt
LISTED = 12  # labels shown with their counts


@dataclass(frozen=True)
class Finding:
    """One thing found in the data.

    kind:    labels, one-class, imbalance, rare, duplicates, conflicts, overlap, empty or truncated
    level:   ``note`` for what is only worth knowing, ``warning`` for what is likely a mistake
    message: one line: what, how many, which rows
    count:   how many examples it is about
    rows:    the first of them, from 0; none for findings about all
    """

    kind: str
    level: Literal["note", "warning"]
    message: str
    count: int
    rows: tuple[int, ...] = ()


def check_examples(
    texts: Sequence[Texts],
    labels: Sequence[Hashable] | None = None,
    *,
    eval_texts: Sequence[Texts] | None = None,
    cut: Sequence[int] | None = None,
    max_length: int | None = None,
) -> list[Finding]:
    """All the findings about training examples, in the order of their kinds in `Finding`.

    texts:      the texts of each training example
    labels:     one an example; None (or numbers with fractions) leaves label counts and conflicts out
    eval_texts: the texts of each evaluation example, for the overlap
    cut:        tokens that truncation takes from each example
    max_length: the length it cuts to, for the message
    """
    findings = []
    classes = None if labels is None or _continuous(labels) else labels
    if classes is not None:
        findings += check_labels(classes)
    keys = [_key(example) for example in texts]
    findings += _check_duplicates(keys, classes)
    if eval_texts is not None:
        findings += _check_overlap(keys, [_key(example) for example in eval_texts])
    findings += _check_empty(texts, "train")
    if eval_texts is not None:
        findings += _check_empty(eval_texts, "eval")
    if cut is not None:
        findings += _check_truncated(cut, max_length)
    return findings


def check_labels(labels: Sequence[Hashable]) -> list[Finding]:
    """Counts of the labels; a single class, rare ones, and classes of very different sizes."""
    counts = Counter(labels).most_common()
    shown = ", ".join(f"{label} {count:,}" for label, count in counts[:LISTED])
    more = f" and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
    findings = [Finding("labels", "note", f"{len(counts)} labels: {shown}{more}", len(labels))]
    if len(counts) == 1:
        message = f"every example has the label {counts[0][0]}; there is nothing to tell apart"
        return [*findings, Finding("one-class", "warning", message, len(labels))]
    if not counts:
        return []
    (most, largest), (least, smallest) = counts[0], counts[-1]
    if largest >= IMBALANCED * smallest:
        message = (
            f"{most} has {largest / smallest:.0f} times the examples of {least} ({largest:,} and {smallest:,}); look "
            "at F1 or MCC rather than accuracy, or use class weights"
        )
        findings.append(Finding("imbalance", "note", message, largest))
    rare = [f"{label} {count}" for label, count in reversed(counts) if count < RARE]
    if rare:
        shown = ", ".join(rare[:LISTED]) + (f" and {len(rare) - LISTED} more" if len(rare) > LISTED else "")
        message = f"{len(rare)} labels with fewer than {RARE} examples: {shown}"
        findings.append(Finding("rare", "warning", message, len(rare)))
    return findings


def _check_duplicates(keys: Sequence[Texts], labels: Sequence[Hashable] | None) -> list[Finding]:
    first: dict[Texts, int] = {}
    duplicates: list[int] = []
    conflicts: list[int] = []
    for row, key in enumerate(keys):
        earlier = first.setdefault(key, row)
        if earlier != row:
            duplicates.append(row)
            if labels is not None and labels[earlier] != labels[row]:
                conflicts.append(row)
    findings = []
    if duplicates:
        row = duplicates[0]
        message = (
            f"{_share(len(duplicates), len(keys))} training examples repeat an earlier one (row {row + 1} repeats row "
            f"{first[keys[row]] + 1})"
        )
        findings.append(Finding("duplicates", "note", message, len(duplicates), tuple(duplicates[:LISTED])))
    if conflicts and labels is not None:
        row = conflicts[0]
        earlier = first[keys[row]]
        message = (
            f"{_share(len(conflicts), len(keys))} training examples repeat an earlier one under another label (row "
            f"{earlier + 1} is {labels[earlier]}, row {row + 1} is {labels[row]})"
        )
        findings.append(Finding("conflicts", "warning", message, len(conflicts), tuple(conflicts[:LISTED])))
    return findings


def _check_overlap(train: Sequence[Texts], evaluation: Sequence[Texts]) -> list[Finding]:
    known = set(train)
    rows = [row for row, key in enumerate(evaluation) if key in known]
    if not rows:
        return []
    message = (
        f"{_share(len(rows), len(evaluation))} evaluation examples are also in the training examples (the first is "
        f"evaluation row {rows[0] + 1}); scores on them say nothing"
    )
    return [Finding("overlap", "warning", message, len(rows), tuple(rows[:LISTED]))]


def _check_empty(texts: Sequence[Texts], where: str) -> list[Finding]:
    rows = [row for row, example in enumerate(texts) if not all(text.strip() for text in example)]
    if not rows:
        return []
    message = f"{_share(len(rows), len(texts))} {where} examples have an empty text (the first is row {rows[0] + 1})"
    return [Finding("empty", "warning", message, len(rows), tuple(rows[:LISTED]))]


def _check_truncated(cut: Sequence[int], max_length: int | None) -> list[Finding]:
    rows = [row for row, tokens in enumerate(cut) if tokens > 0]
    if not rows:
        return []
    tokens = int(sum(cut))
    limit = f" to {max_length} tokens" if max_length is not None else ""
    message = (
        f"{_share(len(rows), len(cut))} training examples are cut{limit}, {tokens:,} tokens in all; see --max-length"
    )
    level: Literal["note", "warning"] = "warning" if len(rows) * 10 > len(cut) else "note"
    return [Finding("truncated", level, message, len(rows), tuple(rows[:LISTED]))]


def _key(example: Texts) -> Texts:
    """What makes two examples the same: their texts, without regard to the spacing."""
    return tuple(" ".join(text.split()) for text in example)


def _continuous(labels: Sequence[Hashable]) -> bool:
    return any(isinstance(label, Real) and not float(label).is_integer() for label in labels)


def _share(count: int, total: int) -> str:
    """``12 of 3,400 (0.4 %)``."""
    return f"{count:,} of {total:,} ({100 * count / total:.1f} %)"
