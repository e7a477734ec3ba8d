"""Texts to sentence vectors, as many as there are.

Enters: a folder or name of a model, and texts: a list, or a stream without end. Leaves: vectors in the order of the
texts. The next texts are tokenized while the last are computed, and memory is bounded by a chunk of the stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.checkpoint import read_checkpoint, resolve
from bertsmith.engine.choosing import EngineName, InferencePrecision, InInt8, choose_engine
from bertsmith.engine.engine import Engine
from bertsmith.engine.exported import checksum_of
from bertsmith.engine.task_model import TaskModel
from bertsmith.errors import SettingsError
from bertsmith.files import dump_json
from bertsmith.model.sentence import Pooling, PoolingMode, SentenceModel
from bertsmith.tasks.embed import Embed
from bertsmith.text.ragged import Ragged

CHUNK_TEXTS = 16_384
CHUNK_CHARACTERS = 4_000_000


@dataclass(frozen=True)
class Embedded:
    """The vectors of a chunk of texts.

    vectors: (S, E) float32
    lengths: (S,) tokens of each text, those around it included
    cut:     (S,) tokens that were left out, beyond ``max_length``
    """

    vectors: NDArray[np.float32]
    lengths: NDArray[np.int64]
    cut: NDArray[np.int32]

    @property
    def num_empty(self) -> int:
        """Texts without tokens, such as blank lines. Their vector is that of [CLS] [SEP]."""
        return int((self.lengths <= 2).sum())


class Embedder:
    """A model of sentence vectors with the engine that computes it.

    >>> Embedder.open("starter").embed(["a text", "another"]).shape                   # doctest: +SKIP
    (2, 384)
    """

    def __init__(self, name: str, model: TaskModel, engine: Engine, news: Sequence[str] = ()) -> None:
        self.name = name
        assert isinstance(model.task, Embed)
        self.model = model
        self.task: Embed = model.task
        self.engine = engine
        self.news = list(news)

    @classmethod
    def open(
        cls,
        name: str | Path,
        *,
        pooling: PoolingMode | None = None,
        normalize: bool | None = None,
        dimensions: int = 0,
        prompt: str | None = None,
        max_length: int | None = None,
        engine: EngineName = "auto",
        precision: InferencePrecision = "auto",
        device: str = "auto",
        threads: int | None = None,
    ) -> Embedder:
        """The model of a folder or a hub name: one for sentences, or any encoder, of whose tokens the mean is taken.

        pooling:    another way from tokens to a vector than the model's own, without a linear map that it may have
        normalize:  whether vectors get length 1; as the model says unless given
        dimensions: numbers of a vector that are kept, the first ones; 0 keeps all
        prompt:     name of a prompt of the model, to stand before every text; its default one unless given
        max_length: tokens that a text may have; as many as the model says unless given
        threads:    of a CPU; as many as the process may use unless given

        Raises `CheckpointError` for a folder that is missing or damaged, `SettingsError` for what the model has not.
        """
        checkpoint = read_checkpoint(resolve(name))
        said = checkpoint.sentence
        chosen = (said.pooling if said else Pooling()) if pooling is None else Pooling(pooling)
        chosen = replace(chosen, dimensions=dimensions or chosen.dimensions)
        chosen = chosen if normalize is None else replace(chosen, normalize=normalize)
        longest = max_length or (said.max_length if said else None)
        int8 = precision == "int8"
        model = TaskModel.start(
            checkpoint,
            Embed(pooling=chosen),
            max_length=longest,
            seed=0,
            device="cpu" if int8 else device,
            precision="fp32" if precision == "int8" else precision,
        )
        if prompt is not None:
            assert isinstance(model.task, Embed)
            model.task = replace(model.task, default_prompt=_checked(prompt, model.task.prompts))
        news = [] if said else [f"{name}: not trained for sentences; a text gets the {chosen.mode} of its tokens"]
        if threads is not None:
            _use_threads(threads)
        chosen_engine = choose_engine(
            engine, model.model, model.precision, int8=int8, folder=checkpoint.folder, threads=threads
        )
        return cls(str(name), model, chosen_engine, news)

    @property
    def precision(self) -> str:
        """The number format of products of weights."""
        return "int8" if isinstance(self.engine, InInt8) else self.model.precision.name

    def prepare(self, texts: Sequence[str]) -> None:
        """Load, compile or calibrate what the first call with texts like these would have to."""
        self.engine.prepare(self._tokenize(list(texts)))

    @property
    def pooling(self) -> Pooling:
        """How tokens become a vector."""
        return self.module.head.pooling

    @property
    def module(self) -> SentenceModel:
        """The model that computes."""
        assert isinstance(self.model.model, SentenceModel)
        return self.model.model

    @property
    def word_embeddings(self) -> NDArray[np.float32]:
        """The embedding of every token of the vocabulary, (V, D)."""
        words: NDArray[np.float32] = self.module.encoder.embeddings.word.weight.detach().cpu().numpy()  # type: ignore[operator]
        return words

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """How often each token of the vocabulary occurs in texts, (V,); those around every text are not counted."""
        ids, _ = self.model.tokenizer.encode_pieces(texts)
        return np.bincount(ids, minlength=len(self.word_embeddings)).astype(np.int64)

    @property
    def width(self) -> int:
        """Numbers of a vector, E."""
        return self.module.num_outputs

    @property
    def fingerprint(self) -> str:
        """The same for two embedders exactly when they give the same vectors, but for rounding."""
        told = {
            "tokenizer": self.model.tokenizer.fingerprint,
            "max_length": self.model.max_length,
            "pooling": self.pooling,
            "prompt": self.task.prompts.get(self.task.default_prompt or "", ""),
        }
        return f"{zlib.crc32(dump_json(told).encode()):08x}{checksum_of(self.module)}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of texts, (S, E) float32."""
        parts = [chunk.vectors for chunk in self.stream(texts)]
        return np.concatenate(parts) if parts else np.empty((0, self.width), np.float32)

    def stream(self, texts: Iterable[str]) -> Iterator[Embedded]:
        """The vectors of texts, chunk by chunk in their order. While one is computed, the next is tokenized."""
        with ThreadPoolExecutor(1) as other:
            waiting: Future[Ragged] | None = None
            for chunk in chunks_of(texts):
                tokenized = other.submit(self._tokenize, chunk)
                if waiting is not None:
                    yield self._computed(waiting.result())
                waiting = tokenized
            if waiting is not None:
                yield self._computed(waiting.result())

    def _tokenize(self, texts: list[str]) -> Ragged:
        return self.model.tokenizer.encode(self.task.prompted(texts), max_length=self.model.max_length)

    def _computed(self, sequences: Ragged) -> Embedded:
        return Embedded(self.engine.outputs(sequences), sequences.lengths, sequences.cut)


def with_linear_map(model: TaskModel, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> TaskModel:
    """A model of vectors with a linear map behind its pooling, and vectors of length 1. The encoder is the same one.

    Shape: weight (K, E), bias (K,).
    """
    old = model.model
    assert isinstance(old, SentenceModel)
    pooling = replace(old.head.pooling, dense=len(weight), normalize=True)
    mapped = SentenceModel(old.config, pooling)
    mapped.encoder = old.encoder
    assert mapped.head.dense is not None
    mapped.head.dense.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
    mapped.to(model.precision.device).eval()
    return replace(model, model=mapped, task=replace(model.task, pooling=pooling))  # type: ignore[call-arg]


def chunks_of(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists of at most `CHUNK_TEXTS` texts and about `CHUNK_CHARACTERS` characters."""
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) >= CHUNK_TEXTS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _checked(prompt: str, prompts: Any) -> str:
    if prompt not in prompts:
        known = ", ".join(map(repr, prompts)) or "none"
        raise SettingsError(f"--prompt {prompt!r} is no prompt of this model; it has: {known}")
    return prompt


def _use_threads(number: int) -> None:
    if number < 1:
        raise SettingsError(f"--threads is {number}; it must be 1 or more")
    torch.set_num_threads(number)
