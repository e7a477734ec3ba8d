"""A checkpoint: a folder of configuration, weights, tokenizer and task, as transformers lays it out.

Enters: what a model is, in plain dicts and published tensors. Leaves: a folder, and the same again from a folder,
whoever wrote it. Knows no task and no tokenizer: each brings what it keeps.

    config.json        the published configuration
    model.safetensors  the weights by published name
    tokenizer.json …   written by the tokenizer
    bertsmith.json     the task, and a checksum of each tensor; folders by others have none
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bertsmith.checkpoint.files import finish_writing, writing_folder
from bertsmith.checkpoint.json_file import read_json, write_json
from bertsmith.checkpoint.weights import SAFETENSORS, checksums, find_weights, read_weights, verify, write_weights
from bertsmith.errors import CheckpointError

CONFIG = "config.json"
RECORD = "bertsmith.json"
_EMBEDDING = "bert.embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds.

    folder:  where it was read
    config:  the published configuration, every key of it
    weights: by published name (see `names.canonical`), on the CPU
    task:    what was saved as the task, or ``None``
    """

    folder: Path
    config: dict[str, Any]
    weights: dict[str, Tensor]
    task: dict[str, Any] | None

    def check_vocabulary(self, num_tokens: int) -> None:
        """Raise `CheckpointError` if the tokenizer has more tokens than the embedding has rows.

        Fewer are allowed: published models round their embedding up.
        """
        rows = self.weights[_EMBEDDING].shape[0]
        if num_tokens > rows:
            raise CheckpointError(
                f"{self.folder}: the tokenizer has {num_tokens:,} tokens, the word embedding {rows:,} rows; "
                f"they are not of one model"
            )


def save_checkpoint(
    folder: Path,
    *,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    tokenizer_save: Callable[[Path], None],
    task: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint into ``folder``: all of it, or, after an error or a kill, nothing.

    config:         the published configuration (``architectures`` and labels among it, for transformers)
    weights:        by published name
    tokenizer_save: writes the tokenizer's files into the folder it is given
    task:           what ``bertsmith.json`` keeps of the task, as JSON
    files:          further text files by name (a model card)

    What else ``folder`` holds stays. Raises `OutputError` when the place is full or not writable.
    """
    with writing_folder(folder) as staging:
        write_json(staging / CONFIG, config)
        write_weights(weights, staging / SAFETENSORS)
        tokenizer_save(staging)
        write_json(staging / RECORD, {**(task or {}), "checksums": checksums(weights)})
        for name, text in (files or {}).items():
            (staging / name).write_text(text, encoding="utf-8")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Everything of a checkpoint but its tokenizer, checked as far as it can be without a model.

    Raises `CheckpointError` naming the file that is missing or damaged, the tensor that differs from its checksum, or
    both sizes of the vocabulary where configuration and weights disagree.
    """
    config = read_config(folder)
    task = read_task(folder)
    weights = read_weights(folder)
    if task is not None and find_weights(folder).name == SAFETENSORS:
        verify(weights, task.pop("checksums", {}), file=folder / SAFETENSORS, record=folder / RECORD)
    _check_embedding(folder, config, weights)
    return Checkpoint(folder, config, weights, task or None)


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a checkpoint. Raises `CheckpointError` if there is no such folder or file."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder")
    finish_writing(folder)
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder}: is no checkpoint, it has no {CONFIG}; name the folder that holds one")
    return read_json(folder / CONFIG)


def read_task(folder: Path) -> dict[str, Any] | None:
    """What ``bertsmith.json`` holds, checksums and all, or ``None`` for a folder by other software."""
    return read_json(folder / RECORD) if (folder / RECORD).is_file() else None


def _check_embedding(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    if _EMBEDDING not in weights:
        raise CheckpointError(f"{find_weights(folder)}: has no tensor {_EMBEDDING!r}; these are not BERT's weights")
    rows = weights[_EMBEDDING].shape[0]
    if config.get("vocab_size", rows) != rows:
        raise CheckpointError(
            f"{folder}: vocab_size is {config['vocab_size']} in {CONFIG}, the word embedding has {rows} rows; "
            f"config.json and the weights are not of one model"
        )
