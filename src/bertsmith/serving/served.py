"""A model that is served: from what is asked to an answer, through the queue of the model.

Enters: requests, on the event loop. Leaves: answers. Texts are tokenized in threads beside the loop, computed in those
of the queue (`batcher`), and turned into answers there, so that the loop does nothing but HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.engine.attending import attention_maps
from bertsmith.engine.engine import Engine
from bertsmith.errors import BertsmithError
from bertsmith.model.heads import EncoderModel
from bertsmith.serving.batcher import Batcher, Job, Outputs
from bertsmith.serving.call import Call
from bertsmith.serving.limits import Limits
from bertsmith.serving.meters import Meters
from bertsmith.serving.refusals import Failed, Overloaded, Refusal, TooLarge, UnfitForTask
from bertsmith.text.ragged import Ragged
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.training.precision import Precision

CHARACTERS_A_TOKEN = 4  # about; what is promised before a text is tokenized
MOST_ATTENDED = 64  # tokens whose attention is shown
MOST_BESIDE = 64  # requests for what no queue computes (tokens, searches, attention) at once
WARM_LENGTHS = (4, 8, 16, 32, 64, 128, 256, 512)  # tokens; kernels for these are made before the first request


@dataclass(frozen=True)
class Prepared:
    """What a request became: sequences to compute, and how their outputs are read."""

    sequences: Ragged
    decode: Callable[[Outputs], Any]


class Served:
    """A model with its queue. What it can be asked is in `kinds`.

    name:   by which requests name it
    source: the folder or hub name it was opened from
    task:   the task it was trained for, or "fill"
    """

    task: str

    def __init__(
        self,
        name: str,
        source: str,
        *,
        model: EncoderModel,
        tokenizer: Tokenizer,
        engine: Engine,
        precision: Precision,
        max_length: int,
        limits: Limits,
    ) -> None:
        self.name = name
        self.source = source
        self.model = model
        self.tokenizer = tokenizer
        self.engine = engine
        self.precision = precision
        self.max_length = max_length
        self.limits = limits
        self.opened = int(time.time())
        self.news: list[str] = []
        self._beside = 0

    def warm(self, threads: Executor, meters: Meters) -> None:
        """Compile, compute once at the usual lengths, measure the speed, and begin to answer."""
        self._threads = threads
        self._meters = meters
        longest = self._sample(WARM_LENGTHS[-1])
        self.engine.prepare(longest)
        for length in WARM_LENGTHS:
            self.engine.outputs(self._sample(length))
        self.batcher = Batcher(self.engine, max_wait=self.limits.max_wait, watch=meters.watch(self.name))
        self.batcher.start(self._sample(16, rows=64))
        self._tokenize_seconds = meters.tokenize_seconds.labels(self.name)
        self._queue_seconds = meters.queue_seconds.labels(self.name)
        self._compute_seconds = meters.compute_seconds.labels(self.name)
        self._texts, self._tokens = meters.texts.labels(self.name), meters.tokens.labels(self.name)

    def show(self) -> None:
        """Have the metrics tell of this one's queue."""
        meters = self._meters
        meters.waiting.labels(self.name).set_function(lambda: self.batcher.num_waiting)
        meters.promised.labels(self.name).set_function(lambda: self.batcher.promised)
        meters.speed.labels(self.name).set_function(lambda: self.batcher.speed)
        meters.ready.labels(self.name).set_function(lambda: float(not self.batcher.broken))

    def close(self) -> None:
        """Answer what is queued, and end."""
        self.batcher.close()

    async def ask(self, call: Call, characters: int, prepare: Callable[[], Prepared]) -> Any:
        """What ``prepare``, run in a thread, says of the outputs of the sequences that it makes.

        characters: of all texts: what is promised room for before they are tokens

        Raises `Overloaded` at once, `Unfit` and `TooLarge` for what the model cannot take, `Failed` for what the engine
        failed on, `ClientGone` when nobody waits any more.
        """
        batcher = self.batcher
        promised = characters // CHARACTERS_A_TOKEN + 2
        batcher.admit(promised)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        work = _Work(batcher, promised, prepare, lambda result: loop.call_soon_threadsafe(_settle, answer, result))
        call.model = self.name
        self._threads.submit(work.begin, self.limits)
        try:
            value: Any = await call.wait(answer)
        except BaseException:
            work.abandon()
            raise
        assert work.job is not None
        call.tokens += work.tokens
        call.texts += len(work.job.sequences)
        call.tokenize += work.tokenize
        call.queue += work.job.waited
        call.compute += work.job.computed
        self._tokenize_seconds.observe(work.tokenize)
        self._queue_seconds.observe(work.job.waited)
        self._compute_seconds.observe(work.job.computed)
        self._texts.inc(len(work.job.sequences))
        self._tokens.inc(work.tokens)
        return value

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        """What ``work`` returns, run beside the event loop; what is wrong with its input is `Unfit`.

        Raises `Overloaded` at once where too much of the kind is under way.
        """
        if self._beside >= MOST_BESIDE:
            raise Overloaded(
                f"overloaded: {self._beside} requests of this kind are under way; try again later", retry_after=1
            )
        self._beside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _refusing, work)
        finally:
            self._beside -= 1

    async def works(self) -> bool:
        """Whether the engine computes. One that failed again and again is tried anew."""
        if not self.batcher.broken:
            return True
        try:
            await self.ask(Call({}), 0, lambda: Prepared(self._sample(8), lambda outputs: None))
        except Refusal:
            return False
        return True

    def attend(self, text: str, text_pair: str | None) -> tuple[list[str], list[int], NDArray[np.float32]]:
        """Tokens, their segments, and the attention of every layer and head, (L, H, T, T)."""
        sequences = self.tokenizer.encode([text], None if text_pair is None else [text_pair])
        self.refuse_long(sequences.lengths, MOST_ATTENDED, "of which attention is shown")
        tokens = [self.tokenizer.vocabulary[number] for number in sequences.ids]
        return tokens, sequences.segments.tolist(), attention_maps(self.model, sequences, self.precision)

    def refuse_long(self, lengths: NDArray[np.integer[Any]], most: int, what: str = "that the model reads") -> None:
        """Raise `TooLarge` where a text has more tokens than ``most``, naming the first such."""
        for row in np.flatnonzero(lengths > most)[:1].tolist():
            place = f"text {row + 1} of {len(lengths)}" if len(lengths) > 1 else "the text"
            raise TooLarge(f"{place} has {int(lengths[row]):,} tokens, more than the {most:,} {what}")

    def describe(self) -> dict[str, Any]:
        """What clients and the playground are told."""
        config = self.model.config
        return {
            "id": self.name,
            "task": self.task,
            "labels": None,
            "pairs": None,
            "multi_label": False,
            "dimensions": None,
            "max_length": self.max_length,
            "layers": config.num_hidden_layers,
            "heads": config.num_attention_heads,
            "lowercase": self.tokenizer.lowercase,
            "engine": self.engine.name,
            "precision": self.dtype,
        }

    @property
    def dtype(self) -> str:
        """The number format of products of weights."""
        return self.precision.name

    def _sample(self, length: int, rows: int = 2) -> Ragged:
        """Sequences of so many tokens (fewer where the model has not the positions), to try the engine on."""
        length = min(length, self.model.config.max_position_embeddings)
        row = [self.tokenizer.cls_id, *[self.tokenizer.mask_id] * (length - 2), self.tokenizer.sep_id]
        return Ragged(
            np.array(row * rows, np.int32),
            np.zeros(length * rows, np.uint8),
            np.arange(0, length * rows + 1, length, dtype=np.int64),
            np.zeros(rows, np.int32),
        )


class _Work:
    """A request on its way from the event loop to the queue and back."""

    def __init__(
        self,
        batcher: Batcher,
        promised: int,
        prepare: Callable[[], Prepared],
        deliver: Callable[[Any], object],
    ) -> None:
        self.batcher = batcher
        self.promised = promised
        self.prepare = prepare
        self.deliver = deliver
        self.job: Job | None = None
        self.tokens = 0
        self.tokenize = 0.0
        self.abandoned = False

    def begin(self, limits: Limits) -> None:
        """Tokenize, and queue. In a thread."""
        began = time.monotonic()
        try:
            if self.abandoned:
                raise Failed("abandoned")
            prepared: Prepared = _refusing(self.prepare)
            self.tokens = len(prepared.sequences.ids)
            limits.check_tokens(self.tokens)
        except Exception as error:
            self.batcher.release(self.promised)
            self.deliver(error)
            return
        self.tokenize = time.monotonic() - began
        self.job = Job(prepared.sequences, lambda result: self.deliver(_decoded(result, prepared.decode)))
        self.batcher.submit(self.job, self.promised)
        if self.abandoned:
            self.batcher.drop(self.job)

    def abandon(self) -> None:
        """Nobody waits any more. On the event loop."""
        self.abandoned = True
        if self.job is not None:
            self.batcher.drop(self.job)


def _decoded(result: Outputs | Exception, decode: Callable[[Outputs], Any]) -> Any:
    if isinstance(result, Exception):
        return result
    try:
        return decode(result)
    except Exception as error:
        return error


def _refusing(work: Callable[[], Any]) -> Any:
    """What ``work`` returns; what the rest of the project calls the user's mistake is a request that does not fit."""
    try:
        return work()
    except BertsmithError as error:
        raise UnfitForTask(str(error)) from None


def _settle(answer: asyncio.Future[Any], result: Any) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def characters_of(texts: Iterable[Any]) -> int:
    """About how many characters texts have, in whatever lists and mappings; an id is a token."""
    characters = 0
    for text in texts:
        if isinstance(text, str):
            characters += len(text)
        elif isinstance(text, int):
            characters += CHARACTERS_A_TOKEN
        else:
            characters += characters_of(text.values() if isinstance(text, Mapping) else text)
    return characters
