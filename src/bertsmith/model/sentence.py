"""From vectors of tokens to one vector a sentence.

Enters: an encoder's output. Leaves: (B, E) sentence vectors: pooled, maybe mapped by a linear layer (a learnt one, or
a whitening), maybe cut to their first numbers, maybe of length 1. Sentence-BERT (Reimers and Gurevych 2019, section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.errors import SettingsError, nearest
from bertsmith.model.batch import Batch
from bertsmith.model.config import BertConfig
from bertsmith.model.encoder import Encoder, EncoderOutput, initialise
from bertsmith.model.heads import AnyHead, EncoderModel
from bertsmith.model.layout import Layout, PackedLayout

PoolingMode = Literal["mean", "cls", "max", "mean-sqrt", "first-last"]
Activation = Literal["none", "tanh"]

POOLERS: dict[PoolingMode, Callable[[EncoderOutput, Layout], Tensor]] = {
    "mean": lambda output, layout: layout.sums(output.last) / layout.counts(),
    "cls": lambda output, layout: layout.first(output.last),
    "max": lambda output, layout: layout.maxima(output.last),
    "mean-sqrt": lambda output, layout: layout.sums(output.last) / layout.counts().sqrt(),
    "first-last": lambda output, layout: layout.sums((output.states[1] + output.states[-1]) / 2) / layout.counts(),
}


@dataclass(frozen=True)
class Pooling:
    """How a sentence gets its vector.

    mode:       mean of its tokens, [CLS], the maximum of each number, the sum over the square root of their number
                ("mean-sqrt"), or the mean over tokens of the first and the last layer ("first-last"; Li et al. 2020,
                "On the sentence embeddings from pre-trained language models", section 4)
    dense:      width of a linear map behind it, 0 for none
    activation: behind that map
    dimensions: numbers of the vector that are kept, the first ones; 0 keeps all
    normalize:  whether vectors are brought to length 1
    """

    mode: PoolingMode = "mean"
    dense: int = 0
    activation: Activation = "none"
    dimensions: int = 0
    normalize: bool = True

    def __post_init__(self) -> None:
        for name, value, valid in (
            ("pooling", self.mode, get_args(PoolingMode)),
            ("activation", self.activation, get_args(Activation)),
        ):
            if value not in valid:
                raise SettingsError(f"{name} is {value!r}; {nearest(value, valid)}")
        if self.dense < 0 or self.dimensions < 0:
            raise SettingsError(f"the width of a vector cannot be {min(self.dense, self.dimensions)}; give 1 or more")

    def width(self, hidden_size: int) -> int:
        """Numbers of a sentence's vector."""
        width = self.dense or hidden_size
        if self.dimensions > width:
            raise SettingsError(f"dimensions is {self.dimensions}, and vectors have {width}; give {width} or less")
        return self.dimensions or width


class SentenceHead(nn.Module):
    """Pooling, and the linear map behind it where there is one.

    num_classes: outputs of a classifier of pairs for training (see `SentenceModel.classify`), 0 for none
    """

    def __init__(self, config: BertConfig, pooling: Pooling, num_classes: int = 0) -> None:
        super().__init__()
        self.pooling = pooling
        self.dense = nn.Linear(config.hidden_size, pooling.dense) if pooling.dense else None
        self.classifier = nn.Linear(3 * pooling.width(config.hidden_size), num_classes) if num_classes else None

    def pooled(self, output: EncoderOutput, layout: Layout) -> Tensor:
        """The vectors before they are brought to length 1, float32: (B, E)."""
        pooling = self.pooling
        vectors = POOLERS[pooling.mode](output, layout).float()
        if self.dense is not None:
            with torch.autocast(vectors.device.type, enabled=False):  # a whitening is not to be rounded
                vectors = self.dense(vectors)
            vectors = vectors.tanh() if pooling.activation == "tanh" else vectors
        return vectors[:, : pooling.dimensions] if pooling.dimensions else vectors

    def forward(self, output: EncoderOutput, layout: Layout) -> Tensor:
        """The vectors of sentences, float32: (B, E)."""
        vectors = self.pooled(output, layout)
        return F.normalize(vectors, dim=-1) if self.pooling.normalize else vectors


class SentenceModel(EncoderModel):
    """An encoder that gives a vector a sentence.

    >>> config = BertConfig(hidden_size=8, num_attention_heads=2, vocab_size=50)
    >>> batch = Batch(ids=torch.tensor([2, 7, 3, 2, 3]), segments=torch.zeros(5, dtype=torch.int64),
    ...               lengths=torch.tensor([3, 2]))
    >>> SentenceModel(config, Pooling("max", dimensions=4))(batch).shape
    torch.Size([2, 4])
    """

    head_kind: AnyHead = "sentence"

    def __init__(
        self, config: BertConfig, pooling: Pooling, num_classes: int = 0, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.num_outputs = pooling.width(config.hidden_size)
        self.encoder = Encoder(config)
        self.head = SentenceHead(config, pooling, num_classes)
        initialise(self, config.initializer_range, generator)

    def forward(self, batch: Batch) -> Tensor:
        """A packed batch to the vectors of its sequences, float32: (B, E)."""
        return self.logits(batch.ids, batch.segments, PackedLayout(batch.lengths, batch.ids.device))

    def logits(self, ids: Tensor, segments: Tensor | None, layout: Layout) -> Tensor:
        """The vectors of sequences in either layout, float32: (B, E)."""
        vectors: Tensor = self.head(self._encoded(ids, segments, layout), layout)
        return vectors

    def pooled(self, batch: Batch) -> Tensor:
        """A packed batch to vectors that are not brought to length 1, float32: (B, E)."""
        layout = PackedLayout(batch.lengths, batch.ids.device)
        return self.head.pooled(self._encoded(batch.ids, batch.segments, layout), layout)

    def classify(self, first: Tensor, second: Tensor) -> Tensor:
        """Classes of pairs of vectors from (u, v, |u - v|), as Sentence-BERT is trained: (R, E) twice -> (R, C)."""
        assert self.head.classifier is not None
        classes: Tensor = self.head.classifier(torch.cat([first, second, (first - second).abs()], dim=1))
        return classes

    def _encoded(self, ids: Tensor, segments: Tensor | None, layout: Layout) -> EncoderOutput:
        output: EncoderOutput = self.encoder(ids, segments, layout, states=self.head.pooling.mode == "first-last")
        return output
