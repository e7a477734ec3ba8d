"""Names of labels: how they are read, ordered, looked up and weighed.

Enters: raw values of a label column. Leaves: names and numbers. Knows nothing of texts or models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bertsmith.errors import DataError, SettingsError, nearest
from bertsmith.tables.table import is_missing


def label_name(value: Any, where: str) -> str:
    """The name of a label as answers show it: text without space around it, whole numbers without a point.

    Raises `DataError` for a label that is not there.

    >>> label_name(1, ""), label_name(2.0, ""), label_name(" good", ""), label_name(True, "")
    ('1', '2', 'good', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    name = "" if is_missing(value) else str(value).strip()
    if not name:
        raise DataError(f"{where}: the label is empty; give one, or leave the row out")
    return name


def label_names(value: Any, where: str) -> list[str]:
    """The names of many labels: a list, or text parted by ``|`` or else by commas. None at all is allowed.

    >>> label_names("joy|fear, a little", ""), label_names("joy, fear", ""), label_names([1, 2], "")
    (['joy', 'fear, a little'], ['joy', 'fear'], ['1', '2'])
    """
    if is_missing(value):
        return []
    if isinstance(value, str):
        value = [part for part in value.split("|" if "|" in value else ",") if part.strip()]
    parts = value if isinstance(value, Sequence) else [value]
    return list(dict.fromkeys(label_name(part, where) for part in parts))


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in the order of their numbers: integers by value, all else by characters.

    >>> ordered(["10", "9", "9"]), ordered(["neutral", "bad", "10"])
    (('9', '10'), ('10', 'bad', 'neutral'))
    """
    distinct = set(names)
    if all(name.lstrip("-").isdecimal() for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def number_of(name: str, numbers: Mapping[str, int], where: str) -> int:
    """The number of a label. Raises `DataError` for one that was not seen in training."""
    try:
        return numbers[name]
    except KeyError:
        hint = nearest(name, set(numbers)) if len(numbers) <= 20 else f"{len(numbers)} labels are known"
        raise DataError(f"{where}: label {name!r} was not seen in training; {hint}") from None


def balanced_weights(names: Iterable[str], labels: Sequence[str]) -> dict[str, float]:
    """Weights that let every label count the same in all: number of names / (number of labels * its own count)."""
    counts = Counter(names)
    total = sum(counts[label] for label in labels)
    return {label: total / (len(labels) * counts[label]) if counts[label] else 1.0 for label in labels}


def balanced_set_weights(names: Iterable[str], labels: Sequence[str], num_rows: int) -> dict[str, float]:
    """Weights that let rows with a label count in all as much as those without: rows without it / rows with it."""
    counts = Counter(names)
    return {label: (num_rows - counts[label]) / counts[label] if counts[label] else 1.0 for label in labels}


def learn_weights(
    given: str | Mapping[str, float] | None, names: Iterable[str], labels: Sequence[str], *, num_rows: int | None = None
) -> Mapping[str, float] | None:
    """The option ``class_weights`` as weights by label: as given, or learnt where that is ``"balanced"``.

    names:    the labels of all examples, one after another
    num_rows: number of examples where any number of labels may hold at once

    Raises `SettingsError` for any other word.
    """
    if not isinstance(given, str):
        return given
    if given != "balanced":
        raise SettingsError(f"class_weights is {given!r}; give 'balanced' or a weight for each label")
    return balanced_weights(names, labels) if num_rows is None else balanced_set_weights(names, labels, num_rows)


def check_loss_options(
    labels: Sequence[str],
    label_smoothing: float,
    focal_gamma: float,
    class_weights: Mapping[str, float] | None = None,
) -> None:
    """Raise `SettingsError` for values that no loss is defined for."""
    if not 0 <= label_smoothing < 1:
        raise SettingsError(f"label_smoothing is {label_smoothing}; give a number from 0 to below 1")
    if not focal_gamma >= 0:
        raise SettingsError(f"focal_gamma is {focal_gamma}; give a number from 0 (the paper's choice is 2)")
    for name, weight in (class_weights or {}).items():
        if name not in labels:
            raise SettingsError(f"class_weights names {name!r}, which is no label; {nearest(name, set(labels))}")
        if not 0 <= weight < float("inf"):
            raise SettingsError(f"class_weights gives {name!r} the weight {weight}; give a number from 0")
