"""What a report tells: one run as plain data.

Enters: numbers, texts and arrays that the stages gathered. Leaves: frozen records that `html`, `card` and `terminal`
show. Knows nothing of torch, files or how it will look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.tasks.insight import Insight


@dataclass(frozen=True)
class Split:
    """One split of the data, after tokenization.

    name:      "train", "eval", ...
    rows:      number of examples
    lengths:   (S,) tokens in each sequence, special tokens included; S differs from ``rows`` where a row is several
    truncated: number of examples that lost tokens
    labels:    examples by label name, in label order; empty when the task has none to count
    source:    the file it came from, as the user wrote it
    """

    name: str
    rows: int
    lengths: NDArray[np.int64]
    truncated: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    @property
    def tokens(self) -> int:
        """Tokens of all sequences together."""
        return int(np.sum(self.lengths))

    @property
    def share_truncated(self) -> float:
        """Share of the examples that lost tokens, 0 to 1."""
        return self.truncated / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Curves:
    """What the log holds, as (step, value) pairs in rising order of steps."""

    loss: Sequence[tuple[int, float]] = ()
    rate: Sequence[tuple[int, float]] = ()
    scores: Sequence[tuple[int, Mapping[str, float]]] = ()  # of the eval split; "loss" may be among them


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class, 0 to 1, and the number of its examples in the gold labels."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Report:
    """One training run. Every part but ``title`` may be left out, and its section then is too.

    title:       what this run is
    command:     the exact command line that repeats it
    task:        name of the task
    model:       what the run started from
    headline:    scores on the eval split, the most telling first
    settings:    options of the run, by name
    splits:      the data, train first
    max_length:  tokens that a sequence may have
    findings:    what the data checks say, a sentence each; empty: nothing to say; None: not checked
    curves:      what the log holds
    metric:      the score that chose the best step
    best_step:   the step with the best score, where it decided which weights were kept
    baseline:    what a guess without a model comes to, by name of a score
    refit_steps: steps of the training on train + eval that followed, where there was one; the rest tells of the model
                 before
    insight:     what the task says of the answers on the eval split
    timing:      rows for the table of speed (seconds, tokens/s, ...), shown as they are
    environment: rows for the table of versions and hardware, shown as they are
    """

    title: str
    command: str = ""
    task: str = ""
    model: str = ""
    headline: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    splits: Sequence[Split] = ()
    max_length: int | None = None
    findings: Sequence[str] | None = None
    curves: Curves = Curves()
    metric: str = ""
    best_step: int | None = None
    baseline: Mapping[str, float] = field(default_factory=dict)
    refit_steps: int | None = None
    insight: Insight = field(default_factory=Insight)
    timing: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
