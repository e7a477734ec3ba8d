"""The shape of an encoder: the published configuration, and the published sizes by name.

Enters: a ``config.json`` as a dict, or a preset's name. Leaves: a checked, frozen `BertConfig`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from bertsmith.errors import CheckpointError, SettingsError, nearest

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")

# What other programs compute as "bert" is BERT as published. A model that differs has a type of its own, so that they
# refuse it rather than compute something else with its weights.
_PUBLISHED_TYPE, _OWN_TYPE = "bert", "bertsmith"

_POSITION_KINDS = {"absolute": False, "relative_key": True}


@dataclass(frozen=True)
class BertConfig:
    """Sizes and settings of an encoder; the first eleven fields are those of the published ``bert_config.json``.

    vocab_size:                   V, rows of the word embedding
    hidden_size:                  D, width of the encoder
    num_hidden_layers:            number of transformer layers
    num_attention_heads:          H; must divide D
    intermediate_size:            F, width inside the feed-forward block
    hidden_act:                   "gelu" (exact), "gelu_new" or "gelu_pytorch_tanh" (tanh form), "relu"
    hidden_dropout_prob:          dropout after the embeddings and after each block, 0 <= p < 1
    attention_probs_dropout_prob: dropout on attention probabilities, 0 <= p < 1
    max_position_embeddings:      P, longest sequence
    type_vocab_size:              number of segments
    initializer_range:            standard deviation of the truncated normal the weights start from
    layer_norm_eps:               added to the variance in LayerNorm
    pad_token_id:                 id of [PAD]; kept for callers who pad
    classifier_dropout:           dropout before a head; ``None`` means ``hidden_dropout_prob``
    norm_placement:               "post" as published (Devlin et al. 2018), or "pre" (Xiong et al. 2020)
    use_relative_positions:       learned distances in attention (Shaw et al. 2018) in place of position embeddings
    is_decoder:                   a token sees only itself and those before it, as a causal language model does

    Raises `SettingsError` for values that cannot be.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02

    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    classifier_dropout: float | None = None
    norm_placement: Literal["post", "pre"] = "post"
    use_relative_positions: bool = False
    is_decoder: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                     "intermediate_size", "max_position_embeddings", "type_vocab_size"):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise SettingsError(f"config: {name} is {value!r}; it must be a whole number, 1 or more")
        if self.hidden_size % self.num_attention_heads:
            raise SettingsError(
                f"config: hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        if not isinstance(self.hidden_act, str) or self.hidden_act not in ACTIVATIONS:
            raise SettingsError(
                f"config: hidden_act {self.hidden_act!r} is not known; {nearest(str(self.hidden_act), ACTIVATIONS)}"
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            value = getattr(self, name)
            number = isinstance(value, int | float)
            if not (number and 0 <= value < 1) and not (name == "classifier_dropout" and value is None):
                raise SettingsError(f"config: {name} is {value!r}; it must be 0 or more and under 1")
        if self.norm_placement not in ("post", "pre"):
            raise SettingsError(f"config: norm_placement is {self.norm_placement!r}; it must be 'post' or 'pre'")

    @property
    def head_size(self) -> int:
        """K, the width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    def with_dropout(self, rate: float) -> BertConfig:
        """The same configuration with another dropout of the encoder."""
        return dataclasses.replace(self, hidden_dropout_prob=rate, attention_probs_dropout_prob=rate)

    @property
    def head_dropout(self) -> float:
        """Dropout before a head."""
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    @property
    def is_published_kind(self) -> bool:
        """Whether other programs that know BERT compute this model: norms behind the blocks, absolute positions."""
        return self.norm_placement == "post" and not self.use_relative_positions

    @classmethod
    def from_dict(cls, published: dict[str, Any], *, where: str = "config.json") -> BertConfig:
        """The configuration of a published ``config.json``; keys that only other tools read are passed over.

        Raises `CheckpointError` when the file describes another kind of model.
        """
        kind = published.get("model_type", _PUBLISHED_TYPE)
        if kind not in (_PUBLISHED_TYPE, _OWN_TYPE):
            raise CheckpointError(f"{where}: model_type is {kind!r}; bertsmith opens 'bert' models only")
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in published.items() if name in known and value is not None}
        positions = published.get("position_embedding_type", "absolute")
        if positions not in _POSITION_KINDS:
            raise CheckpointError(f"{where}: position_embedding_type {positions!r} is not supported; "
                                  f"supported: {', '.join(_POSITION_KINDS)}")  # fmt: skip
        values["use_relative_positions"] = _POSITION_KINDS[positions] or bool(published.get("use_relative_positions"))
        if published.get("add_cross_attention"):
            raise CheckpointError(f"{where}: add_cross_attention is true; bertsmith opens models without it only")
        try:
            return cls(**values)
        except SettingsError as error:
            raise CheckpointError(f"{where}: {str(error).removeprefix('config: ')}") from None

    def to_dict(self) -> dict[str, Any]:
        """The configuration under its published names, as ``config.json`` holds it.

        ``model_type`` is ``bertsmith`` where it is not of the published kind, which transformers refuses to open.
        """
        values = dataclasses.asdict(self)
        relative = values.pop("use_relative_positions")
        if self.norm_placement == "post":
            del values["norm_placement"]
        if not self.is_decoder:
            del values["is_decoder"]
        return {
            "model_type": _PUBLISHED_TYPE if self.is_published_kind else _OWN_TYPE,
            **values,
            "position_embedding_type": "relative_key" if relative else "absolute",
        }


def _preset(layers: int, width: int) -> BertConfig:
    """A published miniature (Turc et al. 2019): heads of 64, feed-forward four times the width."""
    return BertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
    )


PRESETS: dict[str, BertConfig] = {
    f"L{layers}-H{width}": _preset(layers, width)
    for layers, width in [
        (2, 128),
        (4, 128),
        (4, 256),
        (4, 512),
        (4, 768),
        (6, 256),
        (6, 512),
        (6, 768),
        (8, 512),
        (12, 768),
        (24, 1024),
    ]
}
PRESETS["base"] = PRESETS["L12-H768"]
PRESETS["large"] = PRESETS["L24-H1024"]


def preset(name: str) -> BertConfig:
    """The configuration of a published size, ``"L4-H256"`` or ``"base"``. Raises `SettingsError` for other names."""
    if name not in PRESETS:
        raise SettingsError(f"there is no preset {name!r}; {nearest(name, tuple(PRESETS))}")
    return PRESETS[name]
