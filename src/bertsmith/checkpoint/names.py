"""Two names for every tensor: ours in memory, the published ones on disk.

Enters: tensors under either kind of name. Leaves: the same tensors under the other. Knows no file and no model.

A row of the tables below is one module: our path, and the published path, or three of them where one matrix of ours
is three on disk (its rows are theirs end to end). ``{i}`` stands for a layer's number; ``.weight`` and ``.bias`` follow
on either side. Published names are kept in one form, with the prefix ``bert.``: the one that a BERT with a head has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from bertsmith.errors import CheckpointError
from bertsmith.model.heads import AnyHead

_LAYER = "bert.encoder.layer.{i}"

ENCODER: dict[str, tuple[str, ...]] = {
    "encoder.embeddings.word": ("bert.embeddings.word_embeddings",),
    "encoder.embeddings.position": ("bert.embeddings.position_embeddings",),
    "encoder.embeddings.segment": ("bert.embeddings.token_type_embeddings",),
    "encoder.embeddings.norm": ("bert.embeddings.LayerNorm",),
    "encoder.layers.{i}.attention.qkv": (
        f"{_LAYER}.attention.self.query",
        f"{_LAYER}.attention.self.key",
        f"{_LAYER}.attention.self.value",
    ),
    "encoder.layers.{i}.attention.distance": (f"{_LAYER}.attention.self.distance_embedding",),
    "encoder.layers.{i}.attention.out": (f"{_LAYER}.attention.output.dense",),
    "encoder.layers.{i}.attention_norm": (f"{_LAYER}.attention.output.LayerNorm",),
    "encoder.layers.{i}.feed_forward.up": (f"{_LAYER}.intermediate.dense",),
    "encoder.layers.{i}.feed_forward.down": (f"{_LAYER}.output.dense",),
    "encoder.layers.{i}.feed_forward_norm": (f"{_LAYER}.output.LayerNorm",),
    "encoder.norm": ("bert.encoder.norm",),  # only where norms stand before the blocks: no published counterpart
}

_NO_HEAD = {"pooler": ("bert.pooler.dense",)}  # of a `PooledEncoder`
_POOLER = {"head.pooler": ("bert.pooler.dense",)}

_TOKENS: dict[str, tuple[str, ...]] = {
    "head.tokens.transform": ("cls.predictions.transform.dense",),
    "head.tokens.norm": ("cls.predictions.transform.LayerNorm",),
    "head.tokens": ("cls.predictions",),
}

_NEXT_SENTENCE: dict[str, tuple[str, ...]] = {
    "head.next_sentence.pooler": ("bert.pooler.dense",),
    "head.next_sentence.classifier": ("cls.seq_relationship",),
}

HEADS: dict[AnyHead, dict[str, tuple[str, ...]]] = {
    "sequence": {**_POOLER, "head.classifier": ("classifier",)},
    "choice": {**_POOLER, "head.classifier": ("classifier",)},
    "token": {"head.classifier": ("classifier",)},
    "span": {"head.classifier": ("qa_outputs",)},
    "pretraining": _TOKENS | _NEXT_SENTENCE,
    "masked": _TOKENS,
    "next_sentence": _NEXT_SENTENCE,
    "causal": _TOKENS,
    "sentence": {"head.dense": ("dense.linear",), "head.classifier": ("classifier",)},
}


def published_names(name: str, head: AnyHead | None) -> tuple[str, ...]:
    """The published name, or three names, of one of our parameters. Raises `KeyError` for a name of no row.

    >>> published_names("encoder.layers.3.feed_forward.up.bias", None)
    ('bert.encoder.layer.3.intermediate.dense.bias',)
    """
    template, layer, parameter = _take_apart(name)
    return tuple(f"{path.replace('{i}', layer)}.{parameter}" for path in _table(head)[template])


def to_published(weights: Mapping[str, Tensor], head: AnyHead | None) -> dict[str, Tensor]:
    """Our tensors under their published names, the fused ones split into views. ``head`` is ``None`` for no head."""
    published: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        names = published_names(name, head)
        published.update(zip(names, tensor.chunk(len(names)), strict=True))
    return published


def from_published(weights: Mapping[str, Tensor], head: AnyHead | None) -> dict[str, Tensor]:
    """Published tensors under our names, the split ones fused.

    Tensors that no row names, and pieces of a fused one that is not complete, keep their published names.
    """
    origin = {path: ours for ours, paths in _table(head).items() for path in paths}
    ours: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        template, layer, parameter = _take_apart(name)
        if template not in origin:
            ours[name] = tensor
            continue
        fused = f"{origin[template].replace('{i}', layer)}.{parameter}"
        pieces = published_names(fused, head)
        if not all(piece in weights for piece in pieces):
            ours[name] = tensor
        elif len(pieces) == 1:
            ours[fused] = tensor
        elif name == pieces[0]:
            ours[fused] = torch.cat([weights[piece] for piece in pieces])
    return ours


def canonical(weights: Mapping[str, Tensor], *, where: str) -> dict[str, Tensor]:
    """Tensors of a file under the one form of their published names; what is no weight is left out.

    ``where`` names the file in the `CheckpointError` for two tensors that have one name.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        known = canonical_name(name)
        if known is None:
            continue
        if known in found:
            raise CheckpointError(f"{where}: holds tensor {known!r} twice, once as {name!r}; remove one of them")
        found[known] = tensor
    return found


def canonical_name(name: str) -> str | None:
    """The one form of a published name, or ``None`` for a counter that old versions stored beside the weights.

    >>> canonical_name("encoder.layer.0.output.LayerNorm.gamma")
    'bert.encoder.layer.0.output.LayerNorm.weight'
    """
    if name.endswith("embeddings.position_ids"):
        return None
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    return f"bert.{name}" if name.startswith(("embeddings.", "encoder.", "pooler.")) else name


def _table(head: AnyHead | None) -> dict[str, tuple[str, ...]]:
    return ENCODER | (_NO_HEAD if head is None else HEADS[head])


def _take_apart(name: str) -> tuple[str, str, str]:
    """('encoder.layers.{i}.attention.out', '3', 'weight') of 'encoder.layers.3.attention.out.weight'."""
    module, _, parameter = name.rpartition(".")
    layer = re.search(r"(?<=\.)\d+(?=\.)", module)
    if layer is None:
        return module, "", parameter
    return f"{module[: layer.start()]}{{i}}{module[layer.end() :]}", layer[0], parameter
