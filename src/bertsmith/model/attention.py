"""Self-attention: every token of a sequence looks at all tokens of the same sequence.

Enters: hidden vectors in either layout. Leaves: the same shape. (Vaswani et al. 2017, section 3.2; distances: Shaw et
al. 2018, section 3.2, the form published checkpoints call "relative_key".)
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.model.config import BertConfig
from bertsmith.model.layout import Layout
from bertsmith.model.noise import Noise


class SelfAttention(nn.Module):
    """Multi-head self-attention with query, key and value as one projection.

    On disk the projection is the three published tensors; its rows here are query, key, value in that order.
    """

    def __init__(self, config: BertConfig, noise: Noise) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.head_size = config.head_size
        self.dropout = config.attention_probs_dropout_prob
        self.noise = noise
        self.causal = config.is_decoder
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)
        self.distance = (
            nn.Embedding(2 * config.max_position_embeddings - 1, config.head_size)
            if config.use_relative_positions
            else None
        )

    def forward(self, x: Tensor, layout: Layout, kept: list[Tensor] | None = None) -> Tensor:
        """Attend within each sequence.

        x:    (N, D) or (B, T, D)
        kept: when a list is given, each group's probabilities (b, H, t, t) are appended to it

        Returns: shaped as x.
        """
        contexts = []
        for part, group in zip(layout.split(self.qkv(x)), layout.groups, strict=True):
            rows, span, _ = part.shape
            heads = part.view(rows, span, 3, self.num_heads, self.head_size)  # (b, t, 3, H, K)
            query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)  # each (b, H, t, K)
            bias = group.bias
            if self.distance is not None:
                distances = self._distance_scores(query)
                bias = distances if bias is None else distances + bias
            if self.causal:
                future = torch.full((span, span), -math.inf, device=part.device).triu(1)  # (t, t)
                bias = future if bias is None else future + bias
            context = self._attend(query, key, value, bias, kept)  # (b, H, t, K)
            contexts.append(context.transpose(1, 2).reshape(rows, span, -1))  # (b, t, D)
        joined: Tensor = self.out(layout.join(contexts))
        return joined

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, kept: list[Tensor] | None
    ) -> Tensor:
        """Weighted sums of values: (b, H, t, K) each -> (b, H, t, K); bias broadcasts to (b, H, t, t)."""
        dropout = self.dropout if self.training else 0.0
        if dropout == 0 and kept is None and not _fused_is_slow(query):
            mask = None if bias is None else bias.to(query.dtype)
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        # Written out: the fused kernels give no probabilities, and on the CPU have no dropout and a slow backward pass.
        # The softmax is in fp32, which is more exact, and on the CPU four times faster than in bf16.
        scores = ((query * (1 / math.sqrt(self.head_size))) @ key.transpose(-1, -2)).float()  # (b, H, t, t)
        probabilities = (scores if bias is None else scores + bias).softmax(-1)
        if kept is not None:
            kept.append(probabilities)
        return self.noise.drop(probabilities, dropout).to(value.dtype) @ value

    def _distance_scores(self, query: Tensor) -> Tensor:
        """Scores of each query with the embedding of each distance: (b, H, t, K) -> (b, H, t, t)."""
        assert self.distance is not None
        span = query.shape[2]
        places = torch.arange(span, device=query.device)
        reach = (self.distance.num_embeddings - 1) // 2
        distances = (places[:, None] - places[None, :]).clamp(-reach, reach)  # padding may reach beyond
        table = self.distance(distances + reach)  # (t, t, K)
        scores = torch.einsum("bhik,ijk->bhij", query, table.to(query.dtype))
        return scores / math.sqrt(self.head_size)


def _fused_is_slow(query: Tensor) -> bool:
    """Whether the fused kernel is to be differentiated on a CPU in half precision.

    Its backward pass takes two to seven times as long there as products written out (`docs/lab-notes.md`); in fp32 and
    without gradients it is the faster one.
    """
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.requires_grad
