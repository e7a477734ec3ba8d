"""What ``config.json`` says of the head.

Enters: an encoder's configuration, the kind of head and its labels, or a published configuration. Leaves: the other.
Knows the published keys alone: `architectures`, `id2label`, `label2id`, `problem_type`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bertsmith.model.heads import AnyHead, HeadKind, PretrainingKind, ProblemType

TASK_HEADS: dict[HeadKind, str] = {
    "sequence": "BertForSequenceClassification",
    "choice": "BertForMultipleChoice",
    "token": "BertForTokenClassification",
    "span": "BertForQuestionAnswering",
}

PRETRAINING_HEADS: dict[PretrainingKind, str] = {
    "pretraining": "BertForPreTraining",
    "masked": "BertForMaskedLM",
    "next_sentence": "BertForNextSentencePrediction",
    "causal": "BertLMHeadModel",
}

ARCHITECTURES: dict[AnyHead, str] = dict([*TASK_HEADS.items(), *PRETRAINING_HEADS.items(), ("sentence", "BertModel")])


def describe_head(
    config: Mapping[str, Any],
    head: AnyHead | None,
    labels: Sequence[str] | None = None,
    problem_type: ProblemType | None = None,
) -> dict[str, Any]:
    """``config`` with the keys that tell transformers which head stands on the encoder and what its outputs mean.

    >>> describe_head({"hidden_size": 8}, "sequence", ["no", "yes"], "single_label_classification")["id2label"]
    {'0': 'no', '1': 'yes'}
    """
    described = {"architectures": [ARCHITECTURES[head] if head else "BertModel"], **config}
    if labels is not None:
        described["id2label"] = {str(number): label for number, label in enumerate(labels)}
        described["label2id"] = {label: number for number, label in enumerate(labels)}
    if problem_type is not None:
        described["problem_type"] = problem_type
    return described


def head_of(config: Mapping[str, Any]) -> HeadKind | None:
    """The task's head that a published configuration names, or ``None`` for an encoder alone or with another head."""
    named = config.get("architectures") or []
    return next((head for head, architecture in TASK_HEADS.items() if architecture in named), None)


def pretraining_kind_of(config: Mapping[str, Any]) -> PretrainingKind | None:
    """The head of pretraining that a published configuration names, or ``None``."""
    named = config.get("architectures") or []
    return next((kind for kind, architecture in PRETRAINING_HEADS.items() if architecture in named), None)


def labels_of(config: Mapping[str, Any]) -> list[str] | None:
    """The label of each output by number, or ``None`` where a configuration names none."""
    labels = config.get("id2label")
    if not isinstance(labels, dict) or sorted(map(str, labels)) != sorted(str(number) for number in range(len(labels))):
        return None
    return [str(label) for _, label in sorted(labels.items(), key=lambda item: int(item[0]))]
