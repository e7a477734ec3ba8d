"""What is wrong or remarkable about examples, before a minute of training is spent on them.

Enters: the texts and labels of the examples, and counts of what truncation cut. Leaves: findings, one line each. Knows
nothing of tasks, files or tokens; nothing here stops a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from bertsmith.errors import count

Texts = tuple[str, ...]  # all the texts of one example: one, a pair, a question and its endings

IMBALANCED = 10  # the largest class at least this many times the smallest
RARE = 8  # a class with fewer examples than this is hardly learnt
LISTED = 12  # labels shown with their counts

Where = Callable[[int], str]  # the place that a row came from


@dataclass(frozen=True)
class Finding:
    """One thing found in the data.

    kind:    labels, one-class, imbalance, rare, duplicates, conflicts, overlap, empty or truncated; who knows tokens
             finds counts and large-rows
    level:   ``note`` for what is only worth knowing, ``warning`` for what is likely a mistake
    message: one line: what, how many, where the first one is
    count:   how many examples it is about
    rows:    the first of them, from 0, among the examples; none for findings about all
    """

    kind: str
    level: Literal["note", "warning"]
    message: str
    count: int
    rows: tuple[int, ...] = ()


def place_of(row: int) -> str:
    """The place of a row that came from nowhere: its number, from 1."""
    return f"row {row + 1}"


def check_examples(
    texts: Sequence[Texts],
    labels: Sequence[Sequence[str]] | None = None,
    *,
    where: Where = place_of,
    eval_texts: Sequence[Texts] | None = None,
    eval_where: Where = place_of,
    cut: Sequence[int] | None = None,
    max_length: int | None = None,
) -> list[Finding]:
    """All the findings about training examples, in the order of their kinds in `Finding`.

    texts:      the texts of each training example
    labels:     the names of the labels of each; None leaves label counts and conflicts out
    where:      names the place that a training example came from
    eval_texts: the texts of each evaluation example, for the overlap
    eval_where: names the place that an evaluation example came from
    cut:        tokens that truncation takes from each example
    max_length: the length it cuts to, for the message
    """
    findings = []
    if labels is not None:
        findings += check_labels(labels)
    keys = [_key(example) for example in texts]
    findings += _check_duplicates(keys, labels, where)
    if eval_texts is not None:
        findings += _check_overlap(keys, [_key(example) for example in eval_texts], eval_where)
    findings += _check_empty(texts, "train", where)
    if eval_texts is not None:
        findings += _check_empty(eval_texts, "eval", eval_where)
    if cut is not None:
        findings += _check_truncated(cut, max_length)
    return findings


def check_labels(labels: Sequence[Sequence[str]]) -> list[Finding]:
    """Counts of the labels; a single class, rare ones, and classes of very different sizes."""
    counts = Counter(name for names in labels for name in names).most_common()
    findings = [Finding("labels", "note", f"{count(len(counts), 'label')}: {_listed(counts)}", len(labels))]
    if len(counts) == 1 and counts[0][1] == len(labels):
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
    rare = [(label, size) for label, size in reversed(counts) if size < RARE]
    if rare:
        message = f"{count(len(rare), f'label with fewer than {RARE} examples')}: {_listed(rare)}"
        findings.append(Finding("rare", "warning", message, len(rare)))
    return findings


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    shown = ", ".join(f"{label} {size:,}" for label, size in counts[:LISTED])
    return shown + (f" and {len(counts) - LISTED} more" if len(counts) > LISTED else "")


def _check_duplicates(keys: Sequence[Texts], labels: Sequence[Sequence[str]] | None, where: Where) -> list[Finding]:
    first: dict[Texts, int] = {}
    duplicates: list[int] = []
    conflicts: list[int] = []
    for row, key in enumerate(keys):
        earlier = first.setdefault(key, row)
        if earlier != row:
            duplicates.append(row)
            if labels is not None and set(labels[earlier]) != set(labels[row]):
                conflicts.append(row)
    findings = []
    if duplicates:
        place, earlier_place = _two_places(where(duplicates[0]), where(first[keys[duplicates[0]]]))
        message = (
            f"{_share(len(duplicates), len(keys))} training examples repeat an earlier one ({place} repeats "
            f"{earlier_place})"
        )
        findings.append(Finding("duplicates", "note", message, len(duplicates), tuple(duplicates[:LISTED])))
    if conflicts and labels is not None:
        row = conflicts[0]
        earlier = first[keys[row]]
        earlier_place, place = _two_places(where(earlier), where(row))
        message = (
            f"{_share(len(conflicts), len(keys))} training examples repeat an earlier one under another label "
            f"({earlier_place} is {_named(labels[earlier])}, {place} is {_named(labels[row])})"
        )
        findings.append(Finding("conflicts", "warning", message, len(conflicts), tuple(conflicts[:LISTED])))
    return findings


def _named(labels: Sequence[str]) -> str:
    return " and ".join(labels) or "without a label"


def _two_places(one: str, other: str) -> tuple[str, str]:
    """Two places, the second without what it shares with the first: ``train.tsv, line 7`` and ``line 4``."""
    source, _, line = other.rpartition(", ")
    return one, line if one.startswith(f"{source}, ") else other


def _check_overlap(train: Sequence[Texts], evaluation: Sequence[Texts], where: Where) -> list[Finding]:
    known = set(train)
    rows = [row for row, key in enumerate(evaluation) if key in known]
    if not rows:
        return []
    message = (
        f"{_share(len(rows), len(evaluation))} evaluation examples are also in the training examples (the first is "
        f"{where(rows[0])}); scores on them say nothing"
    )
    return [Finding("overlap", "warning", message, len(rows), tuple(rows[:LISTED]))]


def _check_empty(texts: Sequence[Texts], split: str, where: Where) -> list[Finding]:
    rows = [row for row, example in enumerate(texts) if not all(text.strip() for text in example)]
    if not rows:
        return []
    message = f"{_share(len(rows), len(texts))} {split} examples have an empty text (the first is {where(rows[0])})"
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


def _share(part: int, total: int) -> str:
    """``12 of 3,400 (0.4 %)``."""
    return f"{part:,} of {total:,} ({100 * part / total:.1f} %)"
