"""A checkpoint: a folder of configuration, weights, tokenizer and task, as transformers lays it out.

Enters: what a model is, in plain dicts and published tensors. Leaves: a folder, and the same again from a folder,
whoever wrote it. Knows no task and no tokenizer: each brings what it keeps.

    config.json        the published configuration
    model.safetensors  the weights by published name
    tokenizer.json …   written by the tokenizer
    bertsmith.json     the task, and a checksum of each tensor; folders by others have none
    modules.json …     of a model that gives vectors of sentences: how (see `sentence_files`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bertsmith.checkpoint.files import finish_writing, writing_folder
from bertsmith.checkpoint.sentence_files import SentenceFiles, read_sentence_files, write_sentence_files
from bertsmith.checkpoint.weights import (
    SAFETENSORS,
    checksums,
    find_weights,
    on_cpu,
    read_weights,
    refuse_tensorflow,
    verify,
    write_weights,
)
from bertsmith.errors import CheckpointError
from bertsmith.files import read_json, write_json, write_text

CONFIG = "config.json"
RECORD = "bertsmith.json"
_EMBEDDING = "bert.embeddings.word_embeddings.weight"
_ROUNDED = 128  # rows of an embedding are a multiple of at most so many


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds.

    folder:  where it was read
    config:  the published configuration, every key of it
    weights: by published name (see `names.canonical`), on the CPU
    task:    what was saved as the task, or ``None``
    sentence: how it makes vectors of sentences, or ``None`` where it does not say; the weights are among ``weights``
    """

    folder: Path
    config: dict[str, Any]
    weights: dict[str, Tensor]
    task: dict[str, Any] | None
    sentence: SentenceFiles | None = None

    def check_vocabulary(self, num_tokens: int) -> None:
        """Raise `CheckpointError` if the tokenizer has more tokens than the embedding has rows.

        Fewer are allowed, for published models round their embedding up; see `tell_spare_rows`.
        """
        rows = self.weights[_EMBEDDING].shape[0]
        if num_tokens > rows:
            raise CheckpointError(
                f"{self.folder}: the tokenizer has {num_tokens:,} tokens, the word embedding {rows:,} rows; "
                f"they are not of one model"
            )


def tell_spare_rows(num_rows: int, num_tokens: int) -> list[str]:
    """A line about a word embedding with more rows than rounding it up gives the tokens of its tokenizer, if it has."""
    if num_rows - num_tokens < _ROUNDED:
        return []
    return [
        f"the tokenizer has {num_tokens:,} tokens, the word embedding {num_rows:,} rows: make sure that they are of "
        f"one model"
    ]


def save_checkpoint(
    folder: Path,
    *,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    tokenizer_save: Callable[[Path], None],
    task: Mapping[str, Any] | None = None,
    sentence: SentenceFiles | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint into ``folder``: all of it, or, after an error or a kill, nothing.

    config:         the published configuration (``architectures`` and labels among it, for transformers)
    weights:        by published name
    tokenizer_save: writes the tokenizer's files into the folder it is given
    task:           what ``bertsmith.json`` keeps of the task: values that `bertsmith.files.plain` makes JSON of
    sentence:       how the model makes vectors of sentences, if it does
    files:          further text files by name (a model card)

    What else ``folder`` holds stays. Raises `OutputError` when the place is full or not writable.
    """
    held = on_cpu(weights)
    if sentence is not None:
        sentence = sentence.settled(config["hidden_size"])
        config = {**config, **sentence.of_encoder}
    with writing_folder(folder) as staging:
        write_json(staging / CONFIG, config)
        write_weights(held, staging / SAFETENSORS)
        if sentence is not None:
            write_sentence_files(staging, sentence, width=config["hidden_size"], num_layers=config["num_hidden_layers"])
        tokenizer_save(staging)
        summed = checksums({**held, **(sentence.weights if sentence else {})})
        write_json(staging / RECORD, {**(task or {}), "checksums": summed})
        for name, text in (files or {}).items():
            write_text(staging / name, text)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Everything of a checkpoint but its tokenizer, checked as far as it can be without a model.

    Raises `CheckpointError` naming the file that is missing or damaged, the tensor that differs from its checksum, or
    both sizes of the vocabulary where configuration and weights disagree.

    A reader holds no lock. Where a save replaces the files while they are read, they are read again: the record has
    the weights' checksums, so files read between two looks at the same configuration and record are of one save.
    """
    while True:
        described = _described(folder)
        try:
            checkpoint = _read_checkpoint(folder)
        except CheckpointError:
            if _described(folder) == described:
                raise
        else:
            if _described(folder) == described:
                return checkpoint


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a checkpoint. Raises `CheckpointError` if there is no such folder or file."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder")
    finish_writing(folder)
    if not (folder / CONFIG).is_file():
        refuse_tensorflow(folder)
        raise CheckpointError(f"{folder}: is no checkpoint, it has no {CONFIG}; name the folder that holds one")
    return read_json(folder / CONFIG, CheckpointError)


def read_task(folder: Path) -> dict[str, Any] | None:
    """What ``bertsmith.json`` holds, checksums and all, or ``None`` for a folder by other software."""
    return read_json(folder / RECORD, CheckpointError) if (folder / RECORD).is_file() else None


def _described(folder: Path) -> list[bytes]:
    """The bytes of configuration and record, as far as they are there, no save being half in place."""
    finish_writing(folder)
    found = []
    for name in (CONFIG, RECORD):
        with suppress(OSError):  # one that cannot be read is told of by whoever needs what it says
            found.append((folder / name).read_bytes())
    return found


def _read_checkpoint(folder: Path) -> Checkpoint:
    config = read_config(folder)
    task = read_task(folder)
    weights = read_weights(folder)
    sentence = read_sentence_files(folder)
    weights |= sentence.weights if sentence else {}
    if task is not None and find_weights(folder).name == SAFETENSORS:
        way_out = (
            "copy the checkpoint again, or, if another program rewrote it on purpose, delete 'checksums' from "
            f"{folder / RECORD}"
        )
        verify(weights, task.pop("checksums", {}), file=folder / SAFETENSORS, way_out=way_out)
    _check_embedding(folder, config, weights)
    return Checkpoint(folder, config, weights, task or None, sentence)


def _check_embedding(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    if _EMBEDDING not in weights:
        raise CheckpointError(f"{find_weights(folder)}: has no tensor {_EMBEDDING!r}; these are not BERT's weights")
    rows = weights[_EMBEDDING].shape[0]
    if config.get("vocab_size", rows) != rows:
        raise CheckpointError(
            f"{folder}: vocab_size is {config['vocab_size']} in {CONFIG}, the word embedding has {rows} rows; "
            f"config.json and the weights are not of one model"
        )
