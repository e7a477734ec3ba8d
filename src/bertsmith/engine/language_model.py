"""A model of pretraining with its tokenizer: what guesses at hidden tokens.

Enters: a folder, ours or a published one, or a hub name; or a configuration, for a model that is yet to learn. Leaves:
guesses, and a folder again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.checkpoint import (
    Checkpoint,
    Differences,
    describe_head,
    load_weights,
    pretraining_kind_of,
    read_checkpoint,
    resolve,
    save_checkpoint,
    tell_spare_rows,
    to_published,
)
from bertsmith.errors import CheckpointError, DataError
from bertsmith.model.batch import Batch
from bertsmith.model.config import BertConfig
from bertsmith.model.heads import PretrainingKind
from bertsmith.model.pretraining import PretrainingModel
from bertsmith.text import Tokenizer
from bertsmith.training.options import PrecisionName
from bertsmith.training.precision import Precision, choose_device, choose_precision

_TIED = "cls.predictions.decoder."  # older files keep the last matrix and its bias a second time


@dataclass(frozen=True)
class Guess:
    """A token that may stand at a [MASK].

    text: the whole text with it in place; of several [MASK]s the others are as they were
    """

    token: str
    probability: float
    text: str


@dataclass
class LanguageModel:
    """A model that guesses hidden tokens.

    model:       encoder and head
    tokenizer:   of the model's vocabulary
    precision:   number format and device it computes in
    differences: how the checkpoint it was loaded from differs from the model
    """

    model: PretrainingModel
    tokenizer: Tokenizer
    precision: Precision
    differences: Differences = field(default_factory=Differences)

    @classmethod
    def open(cls, name: str | Path, *, device: str = "auto", precision: PrecisionName = "fp32") -> LanguageModel:
        """The model of a checkpoint that has a head for tokens: one of ours, or a published one.

        Raises `CheckpointError` for any other, for missing tensors and for damaged files.
        """
        checkpoint = read_checkpoint(resolve(name))
        kind = pretraining_kind_of(checkpoint.config)
        if kind is None or kind == "next_sentence":
            raise CheckpointError(
                f"{checkpoint.folder}: has no head that guesses tokens ({', '.join(_architectures(checkpoint))}); "
                f"pretrain one with: bertsmith pretrain --model {checkpoint.folder} --corpus CORPUS --out FOLDER"
            )
        opened = cls._build(checkpoint, kind, seed=0, device=device, precision=precision)
        opened.differences.refuse(checkpoint.folder)
        return opened

    @classmethod
    def start(
        cls,
        origin: BertConfig | str | Path,
        tokenizer: Tokenizer,
        kind: PretrainingKind,
        *,
        seed: int,
        device: str = "auto",
        precision: PrecisionName = "auto",
    ) -> LanguageModel:
        """A model to be trained: from random weights of a configuration, or going on from a checkpoint's encoder.

        Raises `CheckpointError` for a checkpoint that is damaged, or whose tokenizer is another than ``tokenizer``.
        """
        if isinstance(origin, BertConfig):
            chosen = choose_precision(precision, choose_device(device))
            model = _new_model(origin, kind, seed)
            model.to(chosen.device).eval()
            return cls(model, tokenizer, chosen)
        checkpoint = read_checkpoint(resolve(origin))
        started = cls._build(checkpoint, kind, seed=seed, device=device, precision=precision)
        if started.tokenizer.fingerprint != tokenizer.fingerprint:
            raise CheckpointError(
                f"{checkpoint.folder}: its tokenizer is not the one the corpus was prepared with; prepare the corpus "
                f"with --tokenizer {checkpoint.folder}"
            )
        started.differences.of_encoder().refuse(checkpoint.folder)
        return started

    @classmethod
    def _build(
        cls,
        checkpoint: Checkpoint,
        kind: PretrainingKind,
        *,
        seed: int,
        device: str,
        precision: PrecisionName,
    ) -> LanguageModel:
        config = BertConfig.from_dict(checkpoint.config, where=str(checkpoint.folder / "config.json"))
        tokenizer = Tokenizer.from_folder(checkpoint.folder)
        checkpoint.check_vocabulary(tokenizer.vocab_size)
        model = _new_model(config, kind, seed)
        weights = dict(checkpoint.weights)
        for name, twin in (("weight", "bert.embeddings.word_embeddings.weight"), ("bias", "cls.predictions.bias")):
            copy = weights.pop(_TIED + name, None)
            if copy is not None and not torch.equal(copy, weights.setdefault(twin, copy)):
                raise CheckpointError(
                    f"{checkpoint.folder}: {_TIED}{name} is not {twin}; only models whose last matrix is the word "
                    f"embedding can be opened"
                )
        differences = load_weights(model, weights, kind)
        chosen = choose_precision(precision, choose_device(device))
        model.to(chosen.device).eval()
        return cls(model, tokenizer, chosen, differences)

    @torch.inference_mode()
    def fill(self, text: str, *, top: int = 5) -> list[list[Guess]]:
        """For each [MASK] of a text its most probable tokens, best first.

        Raises `DataError` for a text without a [MASK], or one longer than the model reads.

        >>> model.fill("the capital of france is [MASK].")[0][0].token         # doctest: +SKIP
        'paris'
        """
        ids = self.read(text)
        with self.precision.compute():
            vectors, _ = self.model.vectors(_on_device(ids, self.precision.device))
        return self.guesses(ids, vectors, top=top)

    def read(self, text: str) -> NDArray[np.int32]:
        """The tokens of a text, (T,). Raises `DataError` for one without a [MASK], or longer than the model reads."""
        ids = self.tokenizer.encode([text]).ids
        limit = self.model.config.max_position_embeddings
        if len(ids) > limit:
            raise DataError(f"the text has {len(ids)} tokens, and the model reads {limit}; give a shorter one")
        if self.tokenizer.mask_id not in ids:
            raise DataError(f"no [MASK] in {text[:60]!r}; write [MASK] where a token is to be guessed")
        return ids

    @torch.inference_mode()
    def guesses(self, ids: NDArray[np.int32], vectors: Tensor, *, top: int) -> list[list[Guess]]:
        """For each [MASK] its most probable tokens, from a text's last vectors. Shape: ids (T,), vectors (T, D)."""
        places = np.flatnonzero(ids == self.tokenizer.mask_id)
        seen_from = places - 1 if self.model.head_kind == "causal" else places  # which is guessed from the one before
        head = self.model.head.tokens
        assert head is not None
        with self.precision.compute():
            tokens = head.logits(vectors[torch.from_numpy(seen_from)], self.model.words)
        chances, numbers = tokens.float().softmax(-1).topk(min(top, tokens.shape[-1]))
        return [
            [
                Guess(self.tokenizer.vocabulary[token], chance, self._filled(ids, place, token))
                for chance, token in zip(chances[row].tolist(), numbers[row].tolist(), strict=True)
            ]
            for row, place in enumerate(places.tolist())
        ]

    def _filled(self, ids: NDArray[np.int32], place: int, token: int) -> str:
        filled = ids.copy()
        filled[place] = token
        return self.tokenizer.decode(filled[1:-1], skip_special=False)

    def save(
        self, folder: str | Path, *, record: Mapping[str, Any] | None = None, files: Mapping[str, str] | None = None
    ) -> None:
        """Write the checkpoint: a folder that transformers opens. ``record`` is what ``bertsmith.json`` keeps."""
        kind = self.model.head_kind
        save_checkpoint(
            Path(folder),
            config=describe_head(self.model.config.to_dict(), kind),
            weights=to_published(self.model.state_dict(), kind),
            tokenizer_save=lambda place: self.tokenizer.save(
                place, max_length=self.model.config.max_position_embeddings
            ),
            task=record,
            files=files,
        )

    @property
    def news(self) -> list[str]:
        """What a person should know of how the checkpoint and the model differ, a line each."""
        spare = tell_spare_rows(self.model.config.vocab_size, self.tokenizer.vocab_size)
        return [*self.differences.news, *spare]

    @property
    def num_parameters(self) -> int:
        """Weights of encoder and head."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def _new_model(config: BertConfig, kind: PretrainingKind, seed: int) -> PretrainingModel:
    """A model with random weights; "causal" alone reads as a decoder, whatever the encoder was before."""
    config = dataclasses.replace(config, is_decoder=kind == "causal")
    return PretrainingModel(config, kind, torch.Generator().manual_seed(seed))


def _on_device(ids: NDArray[np.int32], device: torch.device) -> Batch:
    held = torch.from_numpy(ids.astype(np.int64)).to(device)
    return Batch(held, torch.zeros_like(held), torch.tensor([len(held)]))


def _architectures(checkpoint: Checkpoint) -> Sequence[str]:
    return checkpoint.config.get("architectures") or ["no head"]
