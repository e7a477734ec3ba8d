"""What each kind of model can be asked: vectors, answers of a task, words for [MASK]s.

Enters: texts as clients send them. Leaves: answers as plain values. How they are written, the routes say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax

from bertsmith.checkpoint import head_of, pretraining_kind_of, read_checkpoint, resolve
from bertsmith.engine.choosing import EngineName, InferencePrecision, choose_engine, lasting_engine
from bertsmith.engine.embedder import Embedder
from bertsmith.engine.engine import Engine
from bertsmith.engine.exported import holds_int8
from bertsmith.engine.language_model import Guess, LanguageModel
from bertsmith.engine.task_model import TaskModel
from bertsmith.errors import SettingsError
from bertsmith.model.pretraining import LastVectors
from bertsmith.serving.batcher import Outputs
from bertsmith.serving.call import Call
from bertsmith.serving.limits import Limits
from bertsmith.serving.refusals import TooLarge, Unfit
from bertsmith.serving.served import Prepared, Served, characters_of
from bertsmith.tasks import AnswerQuestions, Classify, Encoded, Examples, Rerank, Tag
from bertsmith.tasks.questions import Questions
from bertsmith.text.pydocs import harvest
from bertsmith.text.ragged import Ragged, bounds_of
from bertsmith.training.precision import choose_device

TextOrIds = str | Sequence[int]


def open_model(
    name: str,
    source: str,
    *,
    limits: Limits,
    device: str = "auto",
    precision: InferencePrecision = "auto",
    engine: EngineName = "auto",
    threads: int | None = None,
    max_length: int | None = None,
) -> Served:
    """The model of a folder or a hub name, to be served for what it was trained for; an encoder without a task gives
    vectors.

    Raises as `TaskModel.open` does.
    """
    checkpoint = read_checkpoint(resolve(source))
    config = checkpoint.config
    lasting = lasting_engine(choose_device(device), engine)
    recorded = (checkpoint.task or {}).get("task")
    guesses = pretraining_kind_of(config) not in (None, "next_sentence") and checkpoint.sentence is None
    if guesses and recorded is None:
        if precision == "int8":
            raise SettingsError(f"{source}: is not served in int8, for it fills in words; give another --precision")
        language = LanguageModel.open(source, device=device, precision=precision)
        vectors = choose_engine(lasting, LastVectors(language.model), language.precision, threads=threads)
        return ServedFiller(name, source, language, limits, vectors)
    if recorded not in (None, "embed") or (recorded is None and checkpoint.sentence is None and head_of(config)):
        model = TaskModel.open(
            source, device=device, precision=precision, engine=lasting, max_length=max_length, threads=threads
        )
        return ServedTask(name, source, model, limits)
    embedder = Embedder.open(
        source, device=device, precision=precision, engine=lasting, threads=threads, max_length=max_length
    )
    if precision == "int8" and not holds_int8(checkpoint.folder):
        embedder.prepare([docstring.text for docstring in harvest()])
        embedder.news.append(
            "has no export in int8, and was calibrated on Python's docstrings; better, on your own texts: "
            f"bertsmith export --model {source} --to openvino --precision int8 --data FILE"
        )
    return ServedEmbedder(name, source, embedder, limits)


class ServedEmbedder(Served):
    """A model of vectors."""

    task = "embed"

    def __init__(self, name: str, source: str, embedder: Embedder, limits: Limits) -> None:
        held = embedder.model
        super().__init__(
            name,
            source,
            model=held.model,
            tokenizer=held.tokenizer,
            engine=embedder.engine,
            precision=held.precision,
            max_length=held.max_length,
            limits=limits,
        )
        self.embedder = embedder
        self.news = embedder.news
        self.prompts = embedder.task.prompts
        self.default_prompt = embedder.task.default_prompt
        self.normalized = embedder.pooling.normalize

    async def embed(
        self,
        call: Call,
        texts: Sequence[TextOrIds],
        *,
        truncate: bool = False,
        prompt_name: str | None = None,
        dimensions: int | None = None,
        normalize: bool | None = None,
    ) -> NDArray[np.float32]:
        """The vectors of texts, or of their tokens' ids, (S, E).

        dimensions: numbers of a vector to keep, the first ones
        normalize:  to length 1; as the model says unless given
        """
        width = self.embedder.width
        if dimensions is not None and not 1 <= dimensions <= width:
            raise Unfit(f"dimensions: is {dimensions}, and vectors have {width}; give 1 to {width}")
        if prompt_name is not None and prompt_name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise Unfit(f"prompt_name: {prompt_name!r:.60} is no prompt of {self.name}; it has: {known}")

        def prepare() -> Prepared:
            sequences = self._sequences(texts, prompt_name)
            if not truncate:
                self.refuse_long(sequences.lengths + sequences.cut, self.max_length)
            return Prepared(sequences, lambda outputs: _fitted(outputs, dimensions, normalize, self.normalized))

        vectors: NDArray[np.float32] = await self.ask(call, characters_of(texts), prepare)
        return vectors

    def _sequences(self, texts: Sequence[TextOrIds], prompt_name: str | None) -> Ragged:
        if isinstance(texts[0], str):
            prompt = self.prompts.get(prompt_name or self.default_prompt or "", "")
            return self.tokenizer.encode([prompt + text for text in texts], max_length=self.max_length)  # type: ignore[operator]
        rows = [self._pieces(row) for row in texts]  # type: ignore[arg-type]
        ids = np.array([number for row in rows for number in row], dtype=np.int32)
        return self.tokenizer.build(ids, bounds_of([len(row) for row in rows]), max_length=self.max_length)

    def _pieces(self, ids: Sequence[int]) -> Sequence[int]:
        """Ids of a text without the [CLS] and the [SEP] that may stand around it."""
        for number in ids:
            if not 0 <= number < self.tokenizer.vocab_size:
                raise Unfit(f"input: there is no token {number}; {self.name} has 0 to {self.tokenizer.vocab_size - 1}")
        whole = len(ids) > 1 and ids[0] == self.tokenizer.cls_id and ids[-1] == self.tokenizer.sep_id
        return ids[1:-1] if whole else ids

    @property
    def dtype(self) -> str:
        return self.embedder.precision

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "dimensions": self.embedder.width}


def _fitted(
    vectors: NDArray[np.float32], dimensions: int | None, normalize: bool | None, normalized: bool
) -> NDArray[np.float32]:
    """Vectors cut to their first numbers, and of length 1 where asked. What has length 1 keeps it when it is cut."""
    cut = vectors if dimensions is None else vectors[:, :dimensions]
    wanted = normalized if normalize is None else normalize
    if not wanted or (normalized and cut.shape == vectors.shape):
        return cut
    return cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


class ServedTask(Served):
    """A model with the head of a task."""

    def __init__(self, name: str, source: str, model: TaskModel, limits: Limits) -> None:
        super().__init__(
            name,
            source,
            model=model.model,
            tokenizer=model.tokenizer,
            engine=model.engine,
            precision=model.precision,
            max_length=model.max_length,
            limits=limits,
        )
        self.held = model
        self.task = model.task.name
        self.news = model.news
        self.pairs: bool | None = True if self.task == "rerank" else getattr(model.task, "pairs", None)
        self.multi_label = isinstance(model.task, Classify) and model.task.multi_label

    async def answers(self, call: Call, inputs: Sequence[Any], *, truncate: bool = False) -> list[dict[str, Any]]:
        """The task's answers to inputs, as `TaskModel.predict` takes and gives them."""

        def prepare() -> Prepared:
            examples, encoded = self._read(inputs, truncate)
            return Prepared(encoded.sequences, lambda outputs: self.held.task.answers(outputs, encoded, examples))

        answers: list[dict[str, Any]] = await self.ask(call, characters_of(inputs), prepare)
        return answers

    async def scores(
        self, call: Call, inputs: Sequence[Any], *, raw: bool = False, truncate: bool = False
    ) -> NDArray[np.float64]:
        """The number of each label for texts or pairs of texts, (S, C): probabilities, or the head's outputs where they
        are ``raw`` or the task is to give a number."""
        self._check_pairs(inputs)

        def prepare() -> Prepared:
            _, encoded = self._read(inputs, truncate)
            return Prepared(encoded.sequences, lambda outputs: self._scores(outputs, raw))

        scores: NDArray[np.float64] = await self.ask(call, characters_of(inputs), prepare)
        return scores

    def _read(self, inputs: Sequence[Any], truncate: bool) -> tuple[Examples, Encoded]:
        """Examples and their tokens. Raises `TooLarge` for one that is not read whole, unless that was asked for."""
        task = self.held.task
        if isinstance(task, Rerank):  # which cuts documents alone
            queries = list(dict.fromkeys(query for query, _ in inputs))
            self.refuse_long(self._lengths(queries), self.max_length - 4, "that leave a document room beside a query")
        if isinstance(task, AnswerQuestions | Tag):  # which may be long: what is too much is told before it is laid out
            texts = [text for one in inputs for text in ([one] if isinstance(one, str) else one)]
            self.limits.check_tokens(int(self._lengths(texts).sum()))
        examples = task.examples_of_texts(inputs)
        encoded = self.held.encode(examples)
        if truncate:
            return examples, encoded
        if isinstance(task, AnswerQuestions) and isinstance(examples, Questions):
            self.refuse_long(self._lengths(examples.questions), task.max_question, "that a question may have")
        elif isinstance(task, Tag):
            if encoded.num_cut:
                raise TooLarge(f"a word has more tokens than the {self.max_length - 2:,} that the model reads at once")
        else:
            self.refuse_long(encoded.sequences.lengths + encoded.sequences.cut, self.max_length)
        return examples, encoded

    def _lengths(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of texts, without those around them."""
        return np.diff(self.tokenizer.encode_pieces(texts)[1])

    def _scores(self, outputs: Outputs, raw: bool) -> NDArray[np.float64]:
        numbers = outputs.astype(np.float64)
        if raw or self.task == "regress":
            return numbers
        if self.multi_label or isinstance(self.held.task, Rerank):
            return np.asarray(expit(numbers))
        return np.asarray(softmax(numbers, axis=1))

    def _check_pairs(self, inputs: Sequence[Any]) -> None:
        given = not isinstance(inputs[0], str)
        if self.pairs is not None and self.pairs != given:
            trained = "pairs of texts; give [[first, second], ...]" if self.pairs else "single texts; give [text, ...]"
            raise Unfit(f"inputs: {self.name} was trained on {trained}")

    @property
    def dtype(self) -> str:
        return "int8" if self.held.int8_from is not None else super().dtype

    def describe(self) -> dict[str, Any]:
        names = self.held.task.label_names
        return {
            **super().describe(),
            "labels": None if names is None else list(names),
            "pairs": self.pairs,
            "multi_label": self.multi_label,
        }


class ServedFiller(Served):
    """A model of pretraining, which guesses at [MASK]s."""

    task = "fill"

    def __init__(self, name: str, source: str, language: LanguageModel, limits: Limits, engine: Engine) -> None:
        super().__init__(
            name,
            source,
            model=language.model,
            tokenizer=language.tokenizer,
            engine=engine,
            precision=language.precision,
            max_length=language.model.config.max_position_embeddings,
            limits=limits,
        )
        self.language = language
        self.news = language.news

    async def fill(self, call: Call, text: str, top: int) -> list[list[Guess]]:
        """For each [MASK] of a text its most probable tokens, best first."""

        def prepare() -> Prepared:
            sequences = self.tokenizer.encode([text])
            self.refuse_long(sequences.lengths, self.max_length)
            if self.tokenizer.mask_id not in sequences.ids:
                raise Unfit("inputs: has no [MASK]; write [MASK] where a word is to be guessed")
            return Prepared(sequences, lambda outputs: self._guesses(sequences.ids, outputs, top))

        guesses: list[list[Guess]] = await self.ask(call, len(text), prepare)
        return guesses

    def _guesses(self, ids: NDArray[np.int32], outputs: Outputs, top: int) -> list[list[Guess]]:
        return self.language.guesses(ids, torch.from_numpy(outputs).to(self.precision.device), top=top)
