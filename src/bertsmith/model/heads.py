"""Heads, and the whole model: an encoder with one head on it.

Enters: vectors a token. Leaves: the numbers a task's loss and decoding need. Three kinds serve all the classic tasks:

    sequence   pooled [CLS] -> C numbers a sequence   classify, regress, and choose (one number an ending)
    token      every vector -> C numbers a token      tag
    span       every vector -> 2 numbers a token      answer (start and end)

They are the heads published as ForSequenceClassification, ForMultipleChoice, ForTokenClassification and
ForQuestionAnswering.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from bertsmith.model.batch import Batch
from bertsmith.model.config import BertConfig
from bertsmith.model.encoder import Encoder, initialise
from bertsmith.model.layout import Layout, PackedLayout
from bertsmith.model.noise import Noise

HeadKind = Literal["sequence", "choice", "token", "span"]  # of tasks
PretrainingKind = Literal["pretraining", "masked", "next_sentence", "causal"]  # see bertsmith.model.pretraining
AnyHead = HeadKind | PretrainingKind | Literal["sentence"]  # the last: see bertsmith.model.sentence
ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]  # as published


class Pooler(nn.Linear):
    """The published pooler, a linear map and tanh on the vectors of [CLS]: ``pooler(layout.first(x))``.

    >>> Pooler(BertConfig(hidden_size=8, num_attention_heads=2))(torch.zeros(3, 8)).shape
    torch.Size([3, 8])
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config.hidden_size, config.hidden_size)

    def forward(self, input: Tensor) -> Tensor:
        """The first vector of each sequence to its pooled one: (B, D) -> (B, D)."""
        return torch.tanh(super().forward(input))


class SequenceHead(nn.Module):
    """Pooler, dropout, linear. For ``sequence`` and ``choice``."""

    def __init__(self, config: BertConfig, num_outputs: int, noise: Noise) -> None:
        super().__init__()
        self.noise = noise
        self.dropout = config.head_dropout
        self.pooler = Pooler(config)
        self.classifier = nn.Linear(config.hidden_size, num_outputs)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """x: (N, D) or (B, T, D) -> (B, C)."""
        pooled = self.pooler(layout.first(x))
        logits: Tensor = self.classifier(self.noise.drop(pooled, self.dropout) if self.training else pooled)
        return logits


class TokenHead(nn.Module):
    """Dropout and linear on every token. For ``token``, and without dropout, as published, for ``span``."""

    def __init__(self, config: BertConfig, num_outputs: int, noise: Noise, *, dropout: float) -> None:
        super().__init__()
        self.noise = noise
        self.dropout = dropout
        self.classifier = nn.Linear(config.hidden_size, num_outputs)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """x: (N, D) or (B, T, D) -> (N, C) or (B, T, C)."""
        logits: Tensor = self.classifier(self.noise.drop(x, self.dropout) if self.training else x)
        return logits


HEADS: dict[HeadKind, Callable[[BertConfig, int, Noise], nn.Module]] = {
    "sequence": SequenceHead,
    "choice": SequenceHead,
    "token": lambda config, num_outputs, noise: TokenHead(config, num_outputs, noise, dropout=config.head_dropout),
    "span": lambda config, num_outputs, noise: TokenHead(config, num_outputs, noise, dropout=0.0),
}


class EncoderModel(nn.Module):
    """An encoder with something on it: what the training loop needs to know of any model.

    num_outputs: width of its output
    ties_words:  whether the word embedding is used a second time, so that tokens which do not occur learn, too
    """

    config: BertConfig
    encoder: Encoder
    num_outputs: int
    ties_words: bool = False


class PooledEncoder(EncoderModel):
    """An encoder and its pooler without a head, as published models come: transformers' BertModel.

    `bertsmith.checkpoint.load_weights(model, weights, None)` fills one from any checkpoint that has a pooler.

    >>> model = PooledEncoder(BertConfig(hidden_size=8, num_attention_heads=2, vocab_size=50))
    >>> batch = Batch(ids=torch.tensor([2, 7, 3, 2, 3]), segments=torch.zeros(5, dtype=torch.int64),
    ...               lengths=torch.tensor([3, 2]))
    >>> model(batch).shape
    torch.Size([2, 8])
    """

    def __init__(self, config: BertConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.pooler = Pooler(config)
        initialise(self, config.initializer_range, generator)

    def forward(self, batch: Batch) -> Tensor:
        """A packed batch to the published pooled output, (B, D)."""
        layout = PackedLayout(batch.lengths, batch.ids.device)
        pooled: Tensor = self.pooler(layout.first(self.encoder(batch.ids, batch.segments, layout).last))
        return pooled


class BertModel(EncoderModel):
    """An encoder with one head of a task, starting from truncated-normal weights.

    >>> model = BertModel(BertConfig(hidden_size=8, num_attention_heads=2, vocab_size=50), "sequence", num_outputs=3)
    >>> batch = Batch(ids=torch.tensor([2, 7, 3, 2, 3]), segments=torch.zeros(5, dtype=torch.int64),
    ...               lengths=torch.tensor([3, 2]))
    >>> model(batch).shape
    torch.Size([2, 3])
    """

    def __init__(
        self, config: BertConfig, head: HeadKind, num_outputs: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.head_kind = head
        self.num_outputs = num_outputs
        self.encoder = Encoder(config)
        self.head = HEADS[head](config, num_outputs, self.encoder.noise)
        initialise(self, config.initializer_range, generator)

    def forward(self, batch: Batch) -> Tensor:
        """A packed batch to logits: (B, C) for heads by sequence, (N, C) for heads by token."""
        layout = PackedLayout(batch.lengths, batch.ids.device)
        return self.logits(batch.ids, batch.segments, layout)

    def logits(self, ids: Tensor, segments: Tensor | None, layout: Layout) -> Tensor:
        """Logits in either layout: (B, C) for heads by sequence, (N, C) or (B, T, C) for heads by token."""
        x = self.encoder(ids, segments, layout).last
        self.encoder.noise.enter(self.config.num_hidden_layers + 1)
        logits: Tensor = self.head(x, layout)
        return logits
