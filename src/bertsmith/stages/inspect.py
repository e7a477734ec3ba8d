"""inspect: what a model folder holds, or what a model of a published size would.

The recipe: gather the facts of a checkpoint or of a preset, and tell them, every tensor's name and shape among them.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from bertsmith.checkpoint import labels_of, read_checkpoint, resolve, to_published
from bertsmith.errors import SettingsError, TokenizerError
from bertsmith.files import dump_json, plain
from bertsmith.model.config import BertConfig, preset
from bertsmith.model.heads import BertModel
from bertsmith.report.terminal import tabulate_scores
from bertsmith.report.words import clip_text, show_value
from bertsmith.text import Tokenizer

_PRESET_LABELS = 2  # a preset is shown with the usual head, a classifier of two labels
_NARROWEST = 110  # signs in a line of a file or pipe, which have no width of their own


@dataclass(frozen=True)
class InspectSettings:
    """Options of `inspect`."""

    model: str | None = None
    """Folder of a model, trained here or published; starter; or a name on the hub."""
    preset: str | None = None
    """In place of --model: a published size, such as L4-H256, base or large, as a classifier of two labels."""
    json: bool = False
    """Print one JSON object, and nothing else, on standard output."""

    def __post_init__(self) -> None:
        if (self.model is None) == (self.preset is None):
            raise SettingsError("give --model FOLDER or --preset SIZE, one of them")


@dataclass(frozen=True)
class TensorFacts:
    """One tensor by its published name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def num_weights(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model.

    model:      its folder, or the preset
    about:      task, architecture and the like, by name, in the order to be told
    config:     sizes and settings of the encoder
    tokenizer:  its vocabulary and case; empty where there is none
    training:   the options it was trained with; empty where none are recorded
    scores:     of the evaluation after training
    tensors:    all of them, from the input to the output
    """

    model: str
    about: Mapping[str, Any]
    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    training: Mapping[str, Any]
    scores: Mapping[str, float]
    tensors: Sequence[TensorFacts]

    @property
    def num_weights(self) -> int:
        """Numbers in all tensors together."""
        return sum(tensor.num_weights for tensor in self.tensors)


def inspect(settings: InspectSettings) -> ModelFacts:
    """Print what a model is made of. Returns the same as values."""
    facts = facts_of_folder(settings.model) if settings.model is not None else facts_of_preset(settings.preset or "")
    if settings.json:
        sys.stdout.write(dump_json(as_json(facts)) + "\n")
    else:
        console = Console()
        show_facts(facts, console if console.is_terminal else Console(width=max(console.width, _NARROWEST)))
    return facts


def facts_of_folder(name: str) -> ModelFacts:
    """The facts of a checkpoint, ours or a published one, with or without a task."""
    checkpoint = read_checkpoint(resolve(name))
    config = BertConfig.from_dict(checkpoint.config, where=str(checkpoint.folder / "config.json"))
    record = checkpoint.task or {}
    pretrained = record.get("pretraining", {})
    labels = record.get("settings", {}).get("labels") or (labels_of(checkpoint.config) if not record else None)
    about = {
        "task": record.get("task", "none yet: pretrained" if pretrained else "none recorded"),
        "architecture": ", ".join(checkpoint.config.get("architectures") or ["none named"]),
        "labels": labels,
        "max length": record.get("max_length"),
        "trained from": record.get("base_model"),
        "steps": record.get("steps", pretrained.get("steps")),
    }
    return ModelFacts(
        model=str(checkpoint.folder),
        about={name: value for name, value in about.items() if value is not None},
        config=config.to_dict(),
        tokenizer=_facts_of_tokenizer(checkpoint.folder),
        training=record.get("training", pretrained.get("settings", {})),
        scores=record.get("scores", pretrained.get("scores", {})),
        tensors=_facts_of_tensors(_from_input_to_output(checkpoint.weights, config)),
    )


def facts_of_preset(name: str) -> ModelFacts:
    """The facts of a classifier of a published size; nothing is computed, no memory is taken."""
    config = preset(name)
    return ModelFacts(
        model=f"preset {name}",
        about={"task": f"classify, with {_PRESET_LABELS} labels", "weights": "none: a published size"},
        config=config.to_dict(),
        tokenizer={},
        training={},
        scores={},
        tensors=_facts_of_tensors(_classifier(config)),
    )


def as_json(facts: ModelFacts) -> dict[str, Any]:
    """All facts as plain values, with the totals."""
    values: dict[str, Any] = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    values["about"] = {name.replace(" ", "_"): value for name, value in facts.about.items()}
    values |= values.pop("about")
    values["num_tensors"] = len(facts.tensors)
    values["num_weights"] = facts.num_weights
    values["tensors"] = [{**plain(tensor), "num_weights": tensor.num_weights} for tensor in facts.tensors]
    return values


def show_facts(facts: ModelFacts, console: Console) -> None:
    """Tell the facts to a person, the totals last."""
    console.print(Text(facts.model, style="bold"))
    about = _grid(facts.about)
    about.add_row("encoder", _describe_encoder(facts.config))
    if facts.tokenizer:
        about.add_row("tokenizer", show_value(plain(dict(facts.tokenizer))))
    console.print(about)
    if facts.training:
        console.print(Text("\ntrained with", style="dim"))
        console.print(_grid(facts.training))
    if facts.scores:
        if facts.training.get("refit"):
            console.print(Text("\nscores of the model before the refit on train + eval", style="dim"))
        console.print(tabulate_scores(facts.scores))
    tensors = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    tensors.add_column("tensor", no_wrap=True)
    tensors.add_column("shape", justify="right", no_wrap=True)
    tensors.add_column("weights", justify="right", no_wrap=True)
    for tensor in facts.tensors:
        tensors.add_row(Text(tensor.name), " × ".join(f"{size:,}" for size in tensor.shape), f"{tensor.num_weights:,}")
    console.print(tensors)
    console.print(f"{len(facts.tensors):,} tensors, {facts.num_weights:,} weights", style="bold", highlight=False)


def _classifier(config: BertConfig) -> dict[str, Tensor]:
    """The tensors of a classifier by published name, from the input to the output; they take no memory."""
    with torch.device("meta"):
        model = BertModel(config, "sequence", _PRESET_LABELS)
    return to_published(model.state_dict(), "sequence")


def _from_input_to_output(weights: Mapping[str, Tensor], config: BertConfig) -> dict[str, Tensor]:
    """The same tensors in the order in which a model uses them, unknown ones last; files keep them by the alphabet."""
    known = [name for name in _classifier(config) if name in weights]
    return {name: weights[name] for name in [*known, *(name for name in weights if name not in set(known))]}


def _facts_of_tensors(weights: Mapping[str, Tensor]) -> list[TensorFacts]:
    return [
        TensorFacts(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in weights.items()
    ]


def _facts_of_tokenizer(folder: Any) -> dict[str, Any]:
    try:
        tokenizer = Tokenizer.from_folder(folder)
    except TokenizerError as error:
        return {"missing": str(error)}
    return {"vocabulary": tokenizer.vocab_size, "lowercase": tokenizer.lowercase}


def _describe_encoder(config: Mapping[str, Any]) -> str:
    return (
        f"{config['num_hidden_layers']} layers, {config['hidden_size']} wide, {config['num_attention_heads']} heads, "
        f"feed-forward {config['intermediate_size']:,}, vocabulary {config['vocab_size']:,}, "
        f"{config['max_position_embeddings']} positions"
    )


def _grid(values: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name.replace("_", " "), Text(clip_text(show_value(plain(value)), 400)))
    return table
