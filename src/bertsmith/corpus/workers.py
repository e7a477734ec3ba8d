"""Processes that do the work on the text: they read files, split and tokenize.

Enters: small files to read, blocks of documents to encode. Leaves: documents and `EncodedBlock`s, in the order in which
they were asked for. Knows nothing of what came before or comes after.

What becomes of a file or a block depends on it alone, so the number of processes changes nothing but the speed. The
processes are started afresh (not forked: libraries hold threads), end with their parent, and a few files and blocks are
under way for each: memory does not grow with the text.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self, TypeVar

from bertsmith.corpus.blocks import BlockEncoder, EncodedBlock
from bertsmith.corpus.cleaning import CleaningOptions
from bertsmith.corpus.documents import Document
from bertsmith.corpus.sources import Source
from bertsmith.errors import SettingsError
from bertsmith.text.recipe import Recipe

Item = TypeVar("Item")
Tag = TypeVar("Tag")
Result = TypeVar("Result")

AHEAD = 2  # items under way for each process
LONGEST_WHOLE = 2**23  # characters of a source that is handed over whole


class Workers:
    """Processes, each with a tokenizer; a context that ends them.

    number:   of processes besides this one; with 0 this one does it all
    language: as `bertsmith.corpus.sentences.split_sentences` takes it
    """

    def __init__(self, number: int, recipe: Recipe, language: str, cleaning: CleaningOptions) -> None:
        self._number = number
        if not number:
            self._encoder = BlockEncoder(recipe, language, cleaning)
            return
        self._pool = ProcessPoolExecutor(
            number, multiprocessing.get_context("spawn"), initializer=_start, initargs=(recipe, language, cleaning)
        )
        # Ctrl-C goes to all processes of a terminal. These inherit that it is blocked, from their first moment on; this
        # one hears it, and ends them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        for _ in range(number):
            self._pool.submit(os.getpid)  # a process is started when there is work for it
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._number:
            self._pool.shutdown(cancel_futures=True)

    def read(
        self, batches: Iterable[tuple[Sequence[Source], Tag]]
    ) -> Iterator[tuple[list[tuple[list[Document], Counter[str]] | None], Tag]]:
        """What `read_whole` gives for every batch of sources; each batch comes with a tag, which is handed on."""
        return self._in_order(read_whole, batches)

    def encode(self, blocks: Iterable[tuple[list[Document], Tag]]) -> Iterator[tuple[EncodedBlock, Tag]]:
        """Every block encoded; each comes with a tag, which is handed on."""
        return self._in_order(_encode if self._number else self._encoder.encode, blocks)

    def _in_order(
        self, function: Callable[[Item], Result], items: Iterable[tuple[Item, Tag]]
    ) -> Iterator[tuple[Result, Tag]]:
        """Results in the order of the items. Raises `SettingsError` when the system ends one of the processes."""
        if not self._number:
            for item, tag in items:
                yield function(item), tag
            return
        waiting: deque[tuple[Future[Result], Tag]] = deque()
        try:
            for item, tag in items:
                waiting.append((self._pool.submit(function, item), tag))
                if len(waiting) > self._number * AHEAD:
                    future, tag = waiting.popleft()
                    yield future.result(), tag
            while waiting:
                future, tag = waiting.popleft()
                yield future.result(), tag
        except BrokenProcessPool:
            raise SettingsError(
                "a worker process was killed, probably for want of memory; go on with --resume and fewer --workers"
            ) from None


def read_whole(sources: Sequence[Source]) -> list[tuple[list[Document], Counter[str]] | None]:
    """The documents of each source and what was dropped of it; ``None`` for one too long to be handed over whole."""
    found: list[tuple[list[Document], Counter[str]] | None] = []
    for source in sources:
        documents, counts = [], Counter[str]()
        characters = 0
        for document in source.documents(counts):
            documents.append(document)
            characters += sum(map(len, document.texts))
            if characters > LONGEST_WHOLE:
                found.append(None)
                break
        else:
            found.append((documents, counts))
    return found


_encoder: BlockEncoder  # of a worker process


def _start(recipe: Recipe, language: str, cleaning: CleaningOptions) -> None:
    """Make a worker process ready."""
    global _encoder
    os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # a process is a core
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _encoder = BlockEncoder(recipe, language, cleaning)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode(block: list[Document]) -> EncodedBlock:
    return _encoder.encode(block)
