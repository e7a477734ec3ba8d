"""Options that several stages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from bertsmith.errors import SettingsError
from bertsmith.model.sentence import PoolingMode
from bertsmith.tasks import Columns, Task
from bertsmith.tasks.embed import Objective
from bertsmith.text.join import Truncation

Words = Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=True, negative=(), metavar="TEXT")]


@dataclass(frozen=True)
class ColumnOptions:
    """Which columns of a file hold what."""

    columns: str | None = None
    """Names of the columns of files without a header: source,label,note,sentence (_ skips one, a last ... the rest)."""
    text: str | None = None
    """Column of the text, if it has no usual name."""
    text_pair: str | None = None
    """Column of the second text of pairs."""
    label: str | None = None
    """Column of the label, score, tags or answer."""

    @property
    def names(self) -> list[str] | None:
        """The names of ``--columns``."""
        return None if self.columns is None else [name.strip() for name in self.columns.split(",")]

    @property
    def parts(self) -> Columns:
        """Which columns hold what."""
        return Columns(self.text, self.text_pair, self.label)


@dataclass(frozen=True)
class TaskOptions:
    """What single tasks take besides."""

    multi_label: bool | None = None
    """classify: any number of labels may hold at once."""
    label_smoothing: float | None = None
    """classify, choose, tag: share of the target spread over all labels."""
    focal_gamma: float | None = None
    """classify, choose, tag: focal loss; 2 is usual, 0 is cross entropy."""
    class_weights: str | None = None
    """classify, tag: "balanced", or a weight for each label as in "spam=2,ham=1"."""
    truncation: Truncation | None = None
    """classify, regress: what is cut of a text longer than --max-length; longest_first unless given."""
    stride: int | None = None
    """answer: tokens that neighbouring windows of a long context share."""
    max_question: int | None = None
    """answer: tokens a question is cut to."""
    max_answer: int | None = None
    """answer: most tokens in an answer."""
    no_answer_threshold: float | None = None
    """answer: no answer is given where its score exceeds the best answer's by more than this; 0 unless given."""
    num_best: int | None = None
    """answer: answers listed for each question, the best first; 5 unless given."""
    allow_missing_answers: bool | None = None
    """answer: leave out training questions whose answer is not in their context."""
    loss: Objective | None = None
    """embed: contrastive, triplet, cosine, cosent, softmax or simcse; as the columns suggest unless given."""
    temperature: float | None = None
    """embed: of contrastive, cosent and simcse; 0.05 unless given."""
    margin: float | None = None
    """embed: of triplet; 1 unless given."""
    symmetric: bool | None = None
    """embed: contrastive from positives to anchors as well."""
    matryoshka: str | None = None
    """embed: train vectors that may be cut to their first numbers, as in 64,128,256."""
    pooling: PoolingMode | None = None
    """embed: mean, cls, max, mean-sqrt or first-last; as the model says, or mean, unless given."""

    def given(self, task: type[Task]) -> dict[str, Any]:
        """The options that were given, by name. Raises `SettingsError` for one that ``task`` does not have."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        for name in values:
            if name not in task.options:
                raise SettingsError(f"--{name.replace('_', '-')} is no option of the task {task.name!r}")
        if self.matryoshka is not None:
            values["matryoshka"] = parse_widths(self.matryoshka)
        if isinstance(self.class_weights, str) and self.class_weights != "balanced":
            values["class_weights"] = parse_weights(self.class_weights)
        return values


def parse_widths(text: str) -> tuple[int, ...]:
    """Widths of vectors, parted by commas.

    >>> parse_widths("64, 128")
    (64, 128)
    """
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = (0,)
    if min(widths) < 1:
        raise SettingsError(f"--matryoshka {text!r}: write numbers of 1 or more, parted by commas")
    return widths


def parse_weights(text: str) -> dict[str, float]:
    """Weights by label; a comma within a label is part of it.

    >>> parse_weights("spam=2, ham, eggs=1")
    {'spam': 2.0, 'ham, eggs': 1.0}
    """
    weights = {}
    label = ""
    for part in text.split(","):
        name, equals, weight = part.rpartition("=")
        try:
            weights[(label + name).strip()] = float(weight if equals else "")
            label = ""
        except ValueError:
            label += part + ","
    if label:
        raise SettingsError(f"--class-weights {label[:-1].strip()!r}: write label=weight, or balanced")
    return weights
