"""The encoder: embeddings and a stack of transformer layers.

Enters: token ids, segments and a layout. Leaves: one vector a token. (Devlin et al. 2018; layers: Vaswani et al. 2017,
section 3.1, with post-LN as published or pre-LN after Xiong et al. 2020.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bertsmith.model.attention import SelfAttention
from bertsmith.model.config import BertConfig
from bertsmith.model.layout import Layout
from bertsmith.model.noise import Noise


@dataclass(frozen=True)
class EncoderOutput:
    """What the encoder gives.

    last:       (N, D) or (B, T, D), vectors of the last layer
    states:     when asked for, the embeddings' output and each layer's, num_hidden_layers + 1 of them
    attentions: when asked for, by layer and by group of the layout: (b, H, t, t) probabilities of the sequences
                ``layout.groups[g].rows``
    """

    last: Tensor
    states: tuple[Tensor, ...] = ()
    attentions: tuple[list[Tensor], ...] = ()


class Encoder(nn.Module):
    """BERT without its heads.

    noise:         where dropout masks come from; training seeds it once a step
    recompute:     gradient checkpointing: layers are computed again in the backward pass instead of kept
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.noise = Noise()
        self.recompute = False
        self.embeddings = Embeddings(config, self.noise)
        self.layers = nn.ModuleList(Layer(config, self.noise) for _ in range(config.num_hidden_layers))
        pre = config.norm_placement == "pre"
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if pre else None

    def set_dropout(self, rate: float) -> None:
        """Train with this dropout everywhere, in place of the configuration's, which stays what it is."""
        for part in self.modules():
            if isinstance(part, Embeddings | Layer | SelfAttention):
                part.dropout = rate

    def forward(
        self,
        ids: Tensor,
        segments: Tensor | None,
        layout: Layout,
        *,
        states: bool = False,
        attentions: bool = False,
    ) -> EncoderOutput:
        """Encode tokens.

        ids:        (N,) or (B, T) int64
        segments:   the same shape, or None for all zeros
        states:     keep every layer's output
        attentions: keep every layer's attention probabilities

        Raises, on the CPU, `IndexError` for ids outside the vocabulary and positions beyond P.
        """
        self.noise.enter(0)
        x = self.embeddings(layout.fill(ids), None if segments is None else layout.fill(segments), layout)
        all_states = [x]
        all_attentions: list[list[Tensor]] = []
        for index, layer in enumerate(self.layers):
            kept: list[Tensor] | None = [] if attentions else None
            if self.recompute and kept is None and self.training and torch.is_grad_enabled():
                x = checkpoint(layer, x, layout, index + 1, kept, use_reentrant=False, preserve_rng_state=False)
            else:
                x = layer(x, layout, index + 1, kept)
            if states:
                all_states.append(x)
            if kept is not None:
                all_attentions.append(kept)
        if self.norm is not None:
            x = self.norm(x)
            all_states[-1] = x
        trimmed = tuple(layout.trim(state) for state in all_states) if states else ()
        return EncoderOutput(layout.trim(x), trimmed, tuple(all_attentions))


class Embeddings(nn.Module):
    """Word + position + segment, normalised."""

    def __init__(self, config: BertConfig, noise: Noise) -> None:
        super().__init__()
        width = config.hidden_size
        self.noise = noise
        self.dropout = config.hidden_dropout_prob
        self.word: nn.Module = nn.Embedding(config.vocab_size, width)
        self.position = None if config.use_relative_positions else nn.Embedding(config.max_position_embeddings, width)
        self.segment = nn.Embedding(config.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor, segments: Tensor | None, layout: Layout) -> Tensor:
        """ids, segments: (N,) or (B, T) -> (N, D) or (B, T, D)."""
        x = self.word(ids)
        x = x + (self.segment.weight[0] if segments is None else self.segment(segments))
        if self.position is not None:
            x = x + self.position(layout.positions)
        x = self.norm(x)
        return self.noise.drop(x, self.dropout) if self.training else x


class Layer(nn.Module):
    """Attention and feed-forward, each with a residual connection and LayerNorm."""

    def __init__(self, config: BertConfig, noise: Noise) -> None:
        super().__init__()
        self.noise = noise
        self.dropout = config.hidden_dropout_prob
        self.pre = config.norm_placement == "pre"
        self.attention = SelfAttention(config, noise)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, layout: Layout, place: int, kept: list[Tensor] | None = None) -> Tensor:
        """x: (N, D) or (B, T, D) -> same; ``place`` is where this layer's dropout masks start."""
        self.noise.enter(place)
        if self.pre:
            x = x + self._drop(self.attention(self.attention_norm(x), layout, kept))
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self._drop(self.attention(x, layout, kept)))
        normed: Tensor = self.feed_forward_norm(x + self._drop(self.feed_forward(x)))
        return normed

    def _drop(self, x: Tensor) -> Tensor:
        return self.noise.drop(x, self.dropout) if self.training else x


class FeedForward(nn.Module):
    """Two linear maps with an activation between, on each token alone."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.activation = config.hidden_act
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., F) -> (..., D)."""
        down: Tensor = self.down(activate(self.up(x), self.activation))
        return down


def activate(x: Tensor, name: str) -> Tensor:
    """The published activations: exact GELU, its tanh form (Hendrycks and Gimpel 2016), ReLU."""
    if name == "relu":
        return F.relu(x)
    return F.gelu(x, approximate="none" if name == "gelu" else "tanh")


def initialise(module: nn.Module, deviation: float, generator: torch.Generator | None = None) -> None:
    """Weights from a normal truncated at two deviations, biases 0, LayerNorm 1 and 0, as google-research/bert does."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
        if isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
