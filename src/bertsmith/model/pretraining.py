"""The heads of pretraining: guessing masked (or next) tokens, and whether one text follows another.

Enters: vectors a token. Leaves: scores of every token of the vocabulary, and of "is next" against "is random". They are
the heads published as ForPreTraining, ForMaskedLM, ForNextSentencePrediction and LMHeadModel (Devlin et al. 2018,
section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bertsmith.model.batch import Batch
from bertsmith.model.config import BertConfig
from bertsmith.model.encoder import Encoder, activate, initialise
from bertsmith.model.heads import EncoderModel, Pooler, PretrainingKind
from bertsmith.model.layout import Layout, PackedLayout


class TokenGuess(nn.Module):
    """A vector to scores of all tokens: linear, activation, LayerNorm, then the word embedding as the last matrix.

    The last matrix is the encoder's own (tied), and comes with each call; its bias is here.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.activation = config.hidden_act
        self.transform = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, x: Tensor) -> Tensor:
        """Vectors to be compared with those of the vocabulary. x: (..., D) -> (..., D)."""
        transformed: Tensor = self.norm(activate(self.transform(x), self.activation))
        return transformed

    def logits(self, x: Tensor, words: Tensor) -> Tensor:
        """Scores of all tokens. x: (..., D), words: (V, D) -> (..., V)."""
        return nn.functional.linear(self(x), words, self.bias)


class NextSentence(nn.Module):
    """Pooler and linear: [CLS] to the scores of 0, "the second text is next", and 1, "it is a random one"."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.pooler = Pooler(config)
        self.classifier = nn.Linear(config.hidden_size, 2)

    def forward(self, x: Tensor, layout: Layout) -> Tensor:
        """x: (N, D) or (B, T, D) -> (B, 2)."""
        logits: Tensor = self.classifier(self.pooler(layout.first(x)))
        return logits


class PretrainingHead(nn.Module):
    """One of the two guesses, or both. ``tokens`` or ``next_sentence`` is ``None`` where the kind has no such guess."""

    def __init__(self, config: BertConfig, kind: PretrainingKind) -> None:
        super().__init__()
        self.tokens = None if kind == "next_sentence" else TokenGuess(config)
        self.next_sentence = NextSentence(config) if kind in ("pretraining", "next_sentence") else None


@dataclass(frozen=True)
class Guesses:
    """What a `PretrainingModel` says of a batch; ``None`` for a guess that its kind does not make.

    tokens:        (N, V) or (B, T, V), scores at every token
    next_sentence: (B, 2)
    """

    tokens: Tensor | None
    next_sentence: Tensor | None


class PretrainingModel(EncoderModel):
    """An encoder with a head of pretraining, starting from truncated-normal weights.

    kind: "pretraining" (both guesses), "masked", "next_sentence", or "causal" (the next token; ``config.is_decoder``)

    >>> model = PretrainingModel(BertConfig(hidden_size=8, num_attention_heads=2, vocab_size=50), "masked")
    >>> batch = Batch(ids=torch.tensor([2, 7, 3, 2, 3]), segments=torch.zeros(5, dtype=torch.int64),
    ...               lengths=torch.tensor([3, 2]))
    >>> model(batch).tokens.shape
    torch.Size([5, 50])
    """

    def __init__(self, config: BertConfig, kind: PretrainingKind, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.head_kind = kind
        self.encoder = Encoder(config)
        self.head = PretrainingHead(config, kind)
        self.ties_words = self.head.tokens is not None
        initialise(self, config.initializer_range, generator)

    @property
    def words(self) -> Tensor:
        """The word embedding, (V, D): the last matrix of the token guess as well."""
        weight = self.encoder.embeddings.word.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, batch: Batch) -> Guesses:
        """A packed batch to the scores at every token; training asks `vectors` instead, and guesses at few places."""
        x, layout = self.vectors(batch)
        return self.guess(x, layout)

    def guess(self, x: Tensor, layout: Layout) -> Guesses:
        """The scores from the encoder's last vectors, in either layout."""
        tokens = None if self.head.tokens is None else self.head.tokens.logits(x, self.words)
        return Guesses(tokens, None if self.head.next_sentence is None else self.head.next_sentence(x, layout))

    def vectors(self, batch: Batch) -> tuple[Tensor, Layout]:
        """The encoder's last vectors, (N, D), and how they lie."""
        layout = PackedLayout(batch.lengths, batch.ids.device)
        x = self.encoder(batch.ids, batch.segments, layout).last
        return x, layout


class LastVectors(EncoderModel):
    """An encoder whose last vectors are its output, for engines: what a `TokenGuess` begins with.

    >>> config = BertConfig(hidden_size=8, num_attention_heads=2, vocab_size=50)
    >>> ids = torch.tensor([2, 7, 3])
    >>> LastVectors(PretrainingModel(config, "masked"))(Batch(ids, torch.zeros_like(ids), torch.tensor([3]))).shape
    torch.Size([3, 8])
    """

    head_kind = "token"

    def __init__(self, model: EncoderModel) -> None:
        super().__init__()
        self.config = model.config
        self.encoder = model.encoder
        self.num_outputs = model.config.hidden_size

    def forward(self, batch: Batch) -> Tensor:
        """A packed batch to vectors, (N, D)."""
        return self.logits(batch.ids, batch.segments, PackedLayout(batch.lengths, batch.ids.device))

    def logits(self, ids: Tensor, segments: Tensor | None, layout: Layout) -> Tensor:
        """The last vectors in either layout, (N, D) or (B, T, D)."""
        return self.encoder(ids, segments, layout).last  # type: ignore[no-any-return]
