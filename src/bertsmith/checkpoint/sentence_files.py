"""How a sentence's vector is made, in the files of sentence-transformers.

Enters: a folder with ``modules.json``, or a `Pooling` and the weights of its linear map. Leaves: the other. A folder
names its modules in the order in which they are applied: Transformer, maybe WeightedLayerPooling, Pooling, maybe Dense,
maybe Normalize. What is cut of a vector is written as a Dense that keeps the first numbers, so that nothing but these
modules is needed to read it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertsmith.checkpoint.weights import find_weights, read_raw, write_weights
from bertsmith.errors import CheckpointError
from bertsmith.files import read_json, read_json_list, write_json
from bertsmith.model.sentence import Activation, Pooling, PoolingMode, SentenceModel

MODULES = "modules.json"
SENTENCE_CONFIG = "sentence_bert_config.json"
LIBRARY_CONFIG = "config_sentence_transformers.json"
DENSE = "dense.linear."  # of the tensors of the linear map, among a checkpoint's

_MODES: dict[str, PoolingMode] = {  # as newer files name them
    "mean": "mean",
    "cls": "cls",
    "max": "max",
    "mean_sqrt_len_tokens": "mean-sqrt",
}
_FLAGS: dict[str, PoolingMode] = {  # as all versions read them
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean-sqrt",
}
_ACTIVATIONS: dict[str, Activation] = {
    "torch.nn.modules.linear.Identity": "none",
    "torch.nn.modules.activation.Tanh": "tanh",
}
_TYPE = "sentence_transformers.models."  # newer versions read it, too


@dataclass(frozen=True)
class SentenceFiles:
    """What the files say.

    pooling:    how vectors are made
    weights:    of the linear map: `DENSE` + ``weight`` and ``bias``; empty where there is none
    max_length: tokens that a sentence may have, or ``None`` where they do not say
    prompts:    what may be put before texts, by name
    default_prompt: the name of the one that is put before all texts, or ``None``
    """

    pooling: Pooling
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    max_length: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None

    @property
    def of_encoder(self) -> dict[str, Any]:
        """What ``config.json`` must say for these modules: that transformers gives all layers, where they are used."""
        return {"output_hidden_states": True} if self.pooling.mode == "first-last" else {}

    def settled(self, width: int) -> SentenceFiles:
        """The same with what is cut of a vector done by the linear map: by one that cuts, where there is none.

        width: of the encoder
        """
        kept = self.pooling.dimensions
        if not kept:
            return self
        weights = self.weights or {f"{DENSE}weight": torch.eye(width), f"{DENSE}bias": torch.zeros(width)}
        cut = {name: tensor[:kept].clone() for name, tensor in weights.items()}
        return replace(self, pooling=replace(self.pooling, dense=kept, dimensions=0), weights=cut)


def linear_map_of(model: SentenceModel) -> dict[str, Tensor]:
    """The weights of a model's linear map, as `SentenceFiles` has them."""
    dense = model.head.dense
    return {} if dense is None else {f"{DENSE}weight": dense.weight.detach(), f"{DENSE}bias": dense.bias.detach()}


def read_sentence_files(folder: Path) -> SentenceFiles | None:
    """What a folder says of sentences, or ``None`` for one that has no ``modules.json``.

    Raises `CheckpointError` for modules that cannot be computed here, naming the first.
    """
    if not (folder / MODULES).is_file():
        return None
    pooling: Pooling | None = None
    weights: dict[str, Tensor] = {}
    first_last = normalize = False
    for module in read_json_list(folder / MODULES, CheckpointError):
        kind = str(module.get("type", "")).rpartition(".")[2]
        place = folder / str(module.get("path", ""))
        if normalize or (weights and kind == "Dense"):
            raise _not_computed(folder, kind, "behind the last one that is read here")
        if kind == "Pooling":
            pooling = Pooling(_mode(place), normalize=False)
        elif kind == "WeightedLayerPooling":
            first_last = _is_first_last(place)
        elif kind == "Dense" and pooling is not None:
            pooling, weights = _read_dense(place, pooling)
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise _not_computed(folder, kind, "a module unknown here")
    if pooling is None:
        raise CheckpointError(f"{folder / MODULES}: names no Pooling; give a model that has one, or an encoder alone")
    if first_last:
        pooling = replace(pooling, mode="first-last")
    sizes = _read(folder / SENTENCE_CONFIG)
    library = _read(folder / LIBRARY_CONFIG)
    prompts = {name: text for name, text in (library.get("prompts") or {}).items() if text}
    return SentenceFiles(
        replace(pooling, normalize=normalize),
        weights,
        sizes.get("max_seq_length"),
        prompts,
        library.get("default_prompt_name"),
    )


def write_sentence_files(folder: Path, files: SentenceFiles, *, width: int, num_layers: int) -> None:
    """Write ``modules.json`` and the folders it names, of what is settled.

    width, num_layers: of the encoder
    """
    pooling = files.pooling
    modules: list[tuple[str, str]] = [("Transformer", "")]
    if pooling.mode == "first-last":
        modules.append(("WeightedLayerPooling", _write_first_last(folder, len(modules), width, num_layers)))
    place = f"{len(modules)}_Pooling"
    flags = {flag: mode == ("mean" if pooling.mode == "first-last" else pooling.mode) for flag, mode in _FLAGS.items()}
    write_json(folder / place / "config.json", {"word_embedding_dimension": width, **flags})
    modules.append(("Pooling", place))
    if files.weights:
        modules.append(("Dense", _write_dense(folder, len(modules), files.weights, pooling.activation)))
    if pooling.normalize:
        place = f"{len(modules)}_Normalize"
        (folder / place).mkdir()
        modules.append(("Normalize", place))
    write_json(
        folder / MODULES,
        [
            {"idx": index, "name": str(index), "path": path, "type": _TYPE + kind}
            for index, (kind, path) in enumerate(modules)
        ],
    )
    write_json(folder / SENTENCE_CONFIG, {"max_seq_length": files.max_length, "do_lower_case": False})
    write_json(
        folder / LIBRARY_CONFIG,
        {
            "prompts": dict(files.prompts),
            "default_prompt_name": files.default_prompt,
            "similarity_fn_name": "cosine",
        },
    )


def _read_dense(place: Path, pooling: Pooling) -> tuple[Pooling, dict[str, Tensor]]:
    config = read_json(place / "config.json", CheckpointError)
    named = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    if named not in _ACTIVATIONS or config.get("use_residual"):
        raise _not_computed(place, "Dense", f"with {named}" if named not in _ACTIVATIONS else "with a residual")
    weights = read_raw(find_weights(place))
    if "linear.weight" not in weights:
        raise CheckpointError(f"{find_weights(place)}: has no tensor 'linear.weight'; copy or download it again")
    weight = weights["linear.weight"].float()
    bias = weights.get("linear.bias", torch.zeros(len(weight))).float()
    return (
        replace(pooling, dense=len(weight), activation=_ACTIVATIONS[named]),
        {f"{DENSE}weight": weight, f"{DENSE}bias": bias},
    )


def _write_dense(folder: Path, index: int, weights: Mapping[str, Tensor], activation: Activation) -> str:
    place = f"{index}_Dense"
    dense = {name.removeprefix("dense."): tensor for name, tensor in weights.items()}
    rows, columns = dense["linear.weight"].shape
    named = next(name for name, known in _ACTIVATIONS.items() if known == activation)
    write_json(
        folder / place / "config.json",
        {"in_features": columns, "out_features": rows, "bias": True, "activation_function": named},
    )
    write_weights(dense, folder / place / "model.safetensors")
    return place


def _write_first_last(folder: Path, index: int, width: int, num_layers: int) -> str:
    place = f"{index}_WeightedLayerPooling"
    config = {"word_embedding_dimension": width, "layer_start": 1, "num_hidden_layers": num_layers}
    write_json(folder / place / "config.json", config)
    weights = torch.zeros(num_layers)
    weights[0] += 1
    weights[-1] += 1
    write_weights({"layer_weights": weights}, folder / place / "model.safetensors")
    return place


def _is_first_last(place: Path) -> bool:
    start = read_json(place / "config.json", CheckpointError).get("layer_start")
    weights = read_raw(find_weights(place)).get("layer_weights")
    if start == 1 and weights is not None and weights[0] == weights[-1] and not weights[1:-1].any():
        return True
    raise _not_computed(place, "WeightedLayerPooling", "with other weights than of the first and the last layer")


def _mode(place: Path) -> PoolingMode:
    config = read_json(place / "config.json", CheckpointError)
    named = config.get("pooling_mode")
    if named is not None:
        modes = [_MODES.get(name) for name in ([named] if isinstance(named, str) else named)]
    else:
        modes = [_FLAGS.get(flag) for flag, holds in config.items() if flag.startswith("pooling_mode_") and holds]
    if len(modes) != 1 or modes[0] is None:
        raise _not_computed(place, "Pooling", f"of {named or 'several modes'}")
    return modes[0]


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, CheckpointError) if path.is_file() else {}


def _not_computed(place: Path, kind: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{place}: {kind} {what}; here a sentence's vector is one pooling (mean, cls, max, mean_sqrt_len), at most one "
        "Dense and one Normalize"
    )
