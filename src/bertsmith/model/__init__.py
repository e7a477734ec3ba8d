"""Batches -> vectors: configuration, layout, attention, encoder, heads.

One legend for shapes holds in this folder and everywhere above it:

    B  sequences in a batch         T  positions of a padded sequence
    N  packed tokens of a batch     D  width of the encoder (hidden_size)
    H  attention heads              K  width of one head, D = H * K
    F  feed-forward width           V  vocabulary size
    P  positions the model knows    C  classes, or outputs of a head

Packed tensors are (N, D): all sequences end to end, no padding. Padded ones are (B, T, D). Every layer but attention
works on the last dimension alone, so one encoder serves both; `layout` holds the little that differs.

This folder knows nothing of files, text or tasks.
"""

from bertsmith.model.batch import Batch
from bertsmith.model.config import PRESETS, BertConfig
from bertsmith.model.encoder import Encoder, EncoderOutput
from bertsmith.model.heads import BertModel, PooledEncoder, Pooler
from bertsmith.model.layout import Layout, PackedLayout, PaddedLayout

__all__ = [
    "PRESETS",
    "Batch",
    "BertConfig",
    "BertModel",
    "Encoder",
    "EncoderOutput",
    "Layout",
    "PackedLayout",
    "PaddedLayout",
    "PooledEncoder",
    "Pooler",
]
