"""One queue a model: what is asked at the same time is computed together.

Enters: jobs, each some sequences. Leaves: the engine's outputs of each job. Knows nothing of texts, tasks or HTTP.

A batch is the sequence that has waited longest and those nearest to it in length, up to as many tokens as the engine
gains by. So little of a batch is padding, and nobody waits for ever behind shorter ones: whoever is oldest goes next,
and is overtaken only by the few batches' worth that stand in the window with it. The engine is never kept waiting for a
batch to fill: what has gathered while it computed is the next batch.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertsmith.engine.engine import Engine
from bertsmith.serving.company import neighbours, rounded
from bertsmith.serving.refusals import Failed, Overloaded, Refusal, Unready
from bertsmith.text.ragged import Ragged, gather_places

Outputs = NDArray[np.float32]
WINDOW = 4  # batches; so many tokens of the oldest sequences are what a batch is chosen from
LEAST_SHARE = 64  # tokens; fewer are not shared out among lanes
BROKEN_AFTER = 3  # calls of the engine in a row that failed


@dataclass(frozen=True)
class BatchFacts:
    """What was computed at once. ``places`` is the tokens and the padding beside them, ``seconds`` how long it took."""

    sequences: int
    tokens: int
    places: int
    seconds: float


class Job:
    """Sequences that somebody waits for.

    deliver: called once, from another thread, with the outputs (S, C) or (N, C), or with what prevented them
    waited, computed: seconds before its first sequence was taken, and from then until its last was done
    """

    def __init__(self, sequences: Ragged, deliver: Callable[[Outputs | Exception], object]) -> None:
        self.sequences = sequences
        self.deliver = deliver
        self.began = time.monotonic()
        self.waited = 0.0
        self.computed = 0.0
        self.left = len(sequences)
        self.outputs: Outputs | None = None
        self.over = False  # delivered, or nobody waits any more

    def receive(self, rows: NDArray[np.int64], found: Outputs, shape: tuple[int, int]) -> None:
        """Take the outputs of some of its sequences."""
        if self.outputs is None:
            self.outputs = np.empty(shape, np.float32)
        by_token = shape[0] != len(self.sequences)
        self.outputs[gather_places(self.sequences.bounds, rows)[0] if by_token else rows] = found
        self.left -= len(rows)

    def end(self, result: Outputs | Exception) -> None:
        """Tell whoever waits."""
        self.over = True
        self.computed = time.monotonic() - self.began - self.waited
        with suppress(RuntimeError):  # of an event loop that has ended meanwhile
            self.deliver(result)


Item = tuple[Job, int, int]  # a job, one of its sequences, and the tokens of that


class Batcher:
    """The queue of an engine, and the threads that feed it, one a lane.

    max_wait: seconds that may be waited; who would have to wait longer is refused at once
    watch:    told of every batch, from the threads that compute
    """

    def __init__(
        self, engine: Engine, *, max_wait: float, watch: Callable[[BatchFacts], None] = lambda facts: None
    ) -> None:
        self.engine = engine
        self.max_wait = max_wait
        self.watch = watch
        self.speed = 1.0  # tokens a second, of all lanes together; measured
        self.promised = 0  # tokens that were admitted and that no lane has taken yet
        self.failures = 0  # calls of the engine that failed since the last that did not
        self._waiting: OrderedDict[int, Item] = OrderedDict()  # by number, the oldest first
        self._window: list[tuple[int, int]] = []  # (tokens, number) of the oldest of them, sorted
        self._window_tokens = 0
        self._behind: deque[int] = deque()  # numbers of the others, the oldest first; maybe of some that were dropped
        self._number = 0
        self._closed = False
        self._free = 0  # lanes with nothing to do
        self._change = threading.Condition()
        self._lanes = [
            threading.Thread(target=self._work, name=f"lane-{lane}", daemon=True) for lane in range(engine.lanes)
        ]

    def start(self, sample: Ragged) -> None:
        """Measure the engine's speed on sequences, and begin to take jobs."""
        began = time.monotonic()
        self.engine.outputs(sample)
        self.speed = len(sample.ids) / max(1e-6, time.monotonic() - began)
        for lane in self._lanes:
            lane.start()

    @property
    def broken(self) -> bool:
        """Whether the engine fails whatever it is asked."""
        return self.failures >= BROKEN_AFTER

    @property
    def wait(self) -> float:
        """Seconds until what is promised now will have been computed."""
        return self.promised / self.speed

    @property
    def is_full(self) -> bool:
        """Whether more would have to wait too long."""
        return self.wait > self.max_wait

    @property
    def num_waiting(self) -> int:
        """Sequences in the queue."""
        return len(self._waiting)

    def admit(self, tokens: int) -> None:
        """Promise to compute about so many tokens; `submit` or `release` is to follow.

        Raises `Overloaded` where they would have to wait longer than ``max_wait``, `Unready` after the end.
        """
        with self._change:
            if self._closed:
                raise Unready("this model is being replaced; ask again")
            if self.is_full:
                wait = self.wait
                raise Overloaded(
                    f"overloaded: a request would wait {wait:.1f} seconds, and {self.max_wait:g} is the limit; "
                    "try again later",
                    retry_after=max(1, math.ceil(wait - self.max_wait / 2)),
                )
            self.promised += tokens

    def release(self, tokens: int) -> None:
        """Take a promise back."""
        with self._change:
            self._keep(tokens)

    def submit(self, job: Job, promised: int) -> None:
        """Queue a job, which was admitted as ``promised`` tokens."""
        lengths = job.sequences.lengths.tolist()
        with self._change:
            self.promised += len(job.sequences.ids)
            self._keep(promised)
            for row, length in enumerate(lengths):
                self._waiting[self._number] = (job, row, length)
                self._behind.append(self._number)
                self._number += 1
            self._change.notify(len(lengths))
        if not lengths:
            job.end(np.empty(self.engine.shape(job.sequences), np.float32))

    def drop(self, job: Job) -> None:
        """Forget a job that nobody waits for any more."""
        with self._change:
            self._forget(job)

    def _forget(self, job: Job) -> None:
        job.over = True
        for number in [number for number, item in self._waiting.items() if item[0] is job]:
            self._take(number)

    def close(self) -> None:
        """Compute what was admitted, and end."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        for lane in self._lanes:
            if lane.ident is not None:
                lane.join()

    def _work(self) -> None:
        while True:
            batch, began, more = self._next()
            if not batch:
                return
            if self._compute(batch):
                self._learn_speed(sum(tokens for _, _, tokens in batch), time.monotonic() - began, more)

    def _next(self) -> tuple[list[Item], float, bool]:
        """The next batch, once there is one, since when this lane has been busy with it, and whether another whole one
        waits behind it; none after the end."""
        began = time.monotonic()
        with self._change:
            self._free += 1
            while not self._waiting and not (self._closed and self.promised == 0):
                self._change.wait()
                began = time.monotonic()
            numbers = self._chosen() if self._waiting else []
            self._free -= 1
            now = time.monotonic()
            batch = [self._take(number) for number in numbers]
            for job, _, _ in batch:
                job.waited = job.waited or now - job.began
            return batch, began, self._window_tokens >= self.engine.lane_tokens

    def _take(self, number: int) -> Item:
        item = self._waiting.pop(number)
        place = bisect_left(self._window, (item[2], number))
        if self._window[place : place + 1] == [(item[2], number)]:
            self._window.pop(place)
            self._window_tokens -= item[2]
        self._keep(item[2])
        return item

    def _keep(self, tokens: int) -> None:
        """Promise so much less; who ends when nothing is promised any more is woken."""
        self.promised -= tokens
        if self._closed and self.promised == 0:
            self._change.notify_all()

    def _chosen(self) -> list[int]:
        """Numbers of the sequences of the next batch: the oldest, and its neighbours in length."""
        while self._behind and self._window_tokens < WINDOW * self.engine.lane_tokens:
            number = self._behind.popleft()
            if number in self._waiting:
                insort(self._window, (self._waiting[number][2], number))
                self._window_tokens += self._waiting[number][2]
        oldest, (_, _, length) = next(iter(self._waiting.items()))
        share = self._window_tokens // self._free
        budget = self.engine.lane_tokens if self._free == 1 else min(self.engine.lane_tokens, max(LEAST_SHARE, share))
        place = bisect_left(self._window, (length, oldest))
        low, high = rounded(*neighbours(self._window, place, budget), place)
        return [number for _, number in self._window[low:high]]

    def _compute(self, batch: Sequence[Item]) -> bool:
        """Compute a batch, and tell whoever waits. Whether all of it went well."""
        by_job: dict[Job, list[int]] = {}
        for job, row, _ in batch:
            by_job.setdefault(job, []).append(row)
        try:
            self._compute_together(by_job)
            return True
        except Exception as error:
            if len(by_job) == 1:
                self._fail(next(iter(by_job)), error)
                return False
            for job, rows in by_job.items():  # one of them may be to blame: the others are not to suffer
                try:
                    self._compute_together({job: rows})
                except Exception as own:
                    self._fail(job, own)
            return False

    def _compute_together(self, by_job: dict[Job, list[int]]) -> None:
        rows = {job: np.sort(np.array(rows, dtype=np.int64)) for job, rows in by_job.items()}
        parts = [
            job.sequences if len(taken) == len(job.sequences) else job.sequences.take(taken)
            for job, taken in rows.items()
        ]
        sequences = parts[0] if len(parts) == 1 else Ragged.concatenate(parts)
        began = time.monotonic()
        try:
            outputs = self.engine.outputs(sequences)
        except Exception:
            self.failures += 1
            raise
        seconds = time.monotonic() - began
        self.failures = 0
        self.watch(
            BatchFacts(len(sequences), len(sequences.ids), len(sequences) * int(sequences.lengths.max()), seconds)
        )
        by_token = len(outputs) != len(sequences)
        place = 0
        for (job, taken), part in zip(rows.items(), parts, strict=True):
            size = len(part.ids) if by_token else len(part)
            self._hand_over(job, taken, outputs[place : place + size])
            place += size

    def _hand_over(self, job: Job, rows: NDArray[np.int64], found: Outputs) -> None:
        with self._change:
            if job.over:
                return
            job.receive(rows, found, self.engine.shape(job.sequences))
            done = job.over = job.left == 0
        if done and job.outputs is not None:
            finite = bool(np.isfinite(job.outputs).all())
            job.end(job.outputs if finite else Failed("the model's output is not finite for this input"))

    def _fail(self, job: Job, error: Exception) -> None:
        with self._change:
            if job.over:
                return
            self._forget(job)
        refusal = error if isinstance(error, Refusal) else Failed("the model could not compute this input")
        refusal.__cause__ = error
        job.end(refusal)

    def _learn_speed(self, tokens: int, seconds: float, busy: bool) -> None:
        """The running mean over batches, each as heavy as it is long.

        A small batch that nothing waited behind is slower by token than a crowd would be: it can show that the engine
        is faster than was thought, not that it is slower.
        """
        measured = tokens / max(1e-6, seconds) * self.engine.lanes
        if busy or 2 * tokens >= self.engine.lane_tokens or measured > self.speed:
            self.speed += min(0.3, seconds) * (measured - self.speed)
