"""The queue, with an engine of plain sums: every output finds its row, whatever was computed together with what."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertsmith.serving import batcher as module
from bertsmith.serving.batcher import (
    BROKEN_AFTER,
    LEAST_SHARE,
    WINDOW,
    Batcher,
    BatchFacts,
    Job,
    Outputs,
)
from bertsmith.serving.company import ROW_TOKENS, neighbours
from bertsmith.serving.refusals import Failed, Overloaded, TooLarge, Unready
from bertsmith.text.ragged import Ragged, bounds_of

SAFETY = 30  # seconds after which a test that hangs fails
Rows = list[list[int]]


class Sums:
    """An engine: of a sequence its sum and its length, of a token its id and the sum of its sequence.

    It fails on ids that are ``bad``, and answers what is not finite for sequences with those of ``odd``.
    While it is held, every call waits for a step of its own.
    """

    name = "sums"

    def __init__(self, *, by_token: bool = False, lanes: int = 1, lane_tokens: int = 256) -> None:
        self.by_token = by_token
        self.lanes = lanes
        self.lane_tokens = lane_tokens
        self.bad: dict[int, Exception] = {}
        self.odd: dict[int, float] = {}
        self.calls: list[Rows] = []
        self.held = False
        self.entered: queue.Queue[Rows] = queue.Queue()
        self.steps = threading.Semaphore(0)
        self.busy: Callable[[int], None] = lambda tokens: None

    def shape(self, sequences: Ragged) -> tuple[int, int]:
        return (len(sequences.ids) if self.by_token else len(sequences), 2)

    def prepare(self, sequences: Ragged) -> None:
        raise AssertionError("the queue prepares nothing")

    def outputs(self, sequences: Ragged) -> NDArray[np.float32]:
        rows = rows_of(sequences)
        self.calls.append(rows)
        if self.held:
            self.entered.put(rows)
            assert self.steps.acquire(timeout=SAFETY)
        self.busy(len(sequences.ids))
        for number in sequences.ids.tolist():
            if number in self.bad:
                raise self.bad[number]
        found = sums_of(rows, self.by_token)
        place = 0
        for row in rows:
            size = len(row) if self.by_token else 1
            for number in set(row) & set(self.odd):
                found[place : place + size] = self.odd[number]
            place += size
        return found

    def hold(self) -> None:
        """Have the calls from now on wait."""
        self.held = True

    def taken(self) -> Rows:
        """The sequences of the next call that waits."""
        return self.entered.get(timeout=SAFETY)

    def go(self, steps: int = 1) -> None:
        """Let calls that wait, or will, go on."""
        self.steps.release(steps)

    def run(self) -> None:
        """Never wait again."""
        self.held = False
        self.steps.release(10_000)


def rows_of(sequences: Ragged) -> Rows:
    bounds = sequences.bounds.tolist()
    return [sequences.ids[low:high].tolist() for low, high in pairwise(bounds)]


def sums_of(rows: Rows, by_token: bool) -> NDArray[np.float32]:
    """What `Sums` answers."""
    if by_token:
        told = [(number, sum(row)) for row in rows for number in row]
    else:
        told = [(sum(row), len(row)) for row in rows]
    return np.array(told, np.float32).reshape(-1, 2)


def ragged(rows: Rows) -> Ragged:
    ids = np.array([number for row in rows for number in row], np.int32)
    return Ragged(
        ids, np.zeros(len(ids), np.uint8), bounds_of([len(row) for row in rows]), np.zeros(len(rows), np.int32)
    )


class Numbers:
    """Sequences of ids that no two tokens share."""

    def __init__(self) -> None:
        self.next = 1

    def __call__(self, *lengths: int) -> Rows:
        rows = []
        for length in lengths:
            rows.append(list(range(self.next, self.next + length)))
            self.next += length
        return rows


class Asked:
    """A job of these rows, and what it is told."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.told: list[Outputs | Exception] = []
        self._over = threading.Event()
        self.job = Job(ragged(rows), self._deliver)

    def _deliver(self, result: Outputs | Exception) -> None:
        self.told.append(result)
        self._over.set()

    @property
    def tokens(self) -> int:
        return sum(map(len, self.rows))

    def result(self) -> Outputs | Exception:
        """What was delivered, once it is, which must be once."""
        assert self._over.wait(SAFETY)
        (result,) = self.told
        return result

    def check(self, by_token: bool = False) -> None:
        """The right outputs were delivered."""
        result = self.result()
        assert isinstance(result, np.ndarray), result
        np.testing.assert_array_equal(result, sums_of(self.rows, by_token), strict=True)

    def failed(self) -> Exception:
        result = self.result()
        assert isinstance(result, Exception)
        return result


@contextmanager
def started(engine: Sums, **how: Any) -> Iterator[Batcher]:
    """A queue that takes jobs; at the end it must hold nothing, and owe nothing."""
    held = Batcher(engine, **{"max_wait": 1e9, **how})
    held.start(ragged([[0, 0]]))
    engine.calls.clear()
    try:
        yield held
    finally:
        engine.run()
        close(held)
    assert (held.promised, held.num_waiting) == (0, 0)


def close(batcher: Batcher) -> None:
    """Close it, which must end, with all its threads."""
    closing = threading.Thread(target=batcher.close, daemon=True)
    closing.start()
    closing.join(SAFETY)
    assert not closing.is_alive()
    assert not [lane for lane in batcher._lanes if lane.is_alive()]


def ask(batcher: Batcher, rows: Rows, promised: int | None = None) -> Asked:
    asked = Asked(rows)
    promised = asked.tokens if promised is None else promised
    batcher.admit(promised)
    batcher.submit(asked.job, promised)
    return asked


def plug(batcher: Batcher, engine: Sums, numbers: Numbers) -> list[Asked]:
    """Hold the engine in a call on every lane: what is asked from now on waits."""
    engine.hold()
    plugs = []
    for _ in range(engine.lanes):
        plugs.append(ask(batcher, numbers(2)))
        assert engine.taken() == plugs[-1].rows
    return plugs


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + SAFETY
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.001)


def idle(batcher: Batcher) -> None:
    """Wait until every lane has nothing to do."""
    until(lambda: batcher._free == len(batcher._lanes))


def computed(engine: Sums) -> list[int]:
    """The ids that the engine was given, in order."""
    return [number for rows in engine.calls for row in rows for number in row]


# Outputs


@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(st.lists(st.integers(1, 60), max_size=8), min_size=1, max_size=12),
    by_token=st.booleans(),
    lanes=st.integers(1, 3),
    lane_tokens=st.sampled_from([1, 70, 200, 5000]),
    callers=st.integers(1, 4),
    held=st.booleans(),
)
def test_outputs_come_back_to_their_rows(
    jobs: list[list[int]], by_token: bool, lanes: int, lane_tokens: int, callers: int, held: bool
) -> None:
    """From several threads at once, whether a queue has built up or not."""
    engine = Sums(by_token=by_token, lanes=lanes, lane_tokens=lane_tokens)
    numbers = Numbers()
    rows = [numbers(*lengths) for lengths in jobs]
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers) if held else []
        asked: list[Asked] = []

        def call(caller: int) -> None:
            asked.extend(ask(batcher, one) for one in rows[caller::callers])

        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.run()
        for one in [*plugs, *asked]:
            one.check(by_token)
    assert len(asked) == len(jobs)
    assert sorted(computed(engine)) == list(range(1, numbers.next))  # each once


def test_a_job_of_nothing_is_answered_with_nothing() -> None:
    for by_token in (False, True):
        engine = Sums(by_token=by_token)
        with started(engine) as batcher:
            plugs = plug(batcher, engine, Numbers())
            empty = ask(batcher, [], promised=17)
            empty.check(by_token)  # though the engine is busy
            assert batcher.promised == 0
            engine.run()
            plugs[0].check(by_token)


# Batches


def run_of(lengths: Sequence[int], place: int, budget: int) -> tuple[int, int]:
    """`neighbours`, slowly: whichever neighbour adds the least padding joins, a shorter one where both add the same."""
    low, high = place, place + 1

    def padding(low: int, high: int) -> int:
        return sum(max(lengths[low:high]) - length for length in lengths[low:high])

    while True:
        wider = [(low - 1, high)] * (low > 0) + [(low, high + 1)] * (high < len(lengths))
        wider.sort(key=lambda run: padding(*run))
        if not wider:
            return low, high
        next_low, next_high = wider[0]
        places = (next_high - next_low) * max(lengths[next_low:next_high])
        if padding(next_low, next_high) > ROW_TOKENS or places > budget:
            return low, high
        low, high = next_low, next_high


sorted_lengths = st.lists(st.integers(1, 12) | st.integers(1, 300), min_size=1, max_size=40).map(sorted)


@settings(max_examples=300, deadline=None)
@given(sorted_lengths, st.data(), st.integers(1, 3000))
@example([5], None, 1)
@example([3, 3, 3, 3], None, 9)
def test_neighbours_are_a_run_that_pads_little_and_fits(lengths: list[int], data: Any, budget: int) -> None:
    place = data.draw(st.integers(0, len(lengths) - 1)) if data is not None else len(lengths) - 1
    low, high = neighbours([(length, number) for number, length in enumerate(lengths)], place, budget)
    assert 0 <= low <= place < high <= len(lengths)
    width, rows = lengths[high - 1], high - low
    assert rows == 1 or rows * width <= budget
    assert sum(width - length for length in lengths[low:high]) <= ROW_TOKENS
    assert (low, high) == run_of(lengths, place, budget)


def oldest(waiting: list[tuple[int, int]], tokens: int) -> list[tuple[int, int]]:
    """The first of them, as many as have so many tokens together."""
    found: list[tuple[int, int]] = []
    for one in waiting:
        if sum(length for length, _ in found) >= tokens:
            break
        found.append(one)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 20) | st.integers(1, 90), min_size=1, max_size=40), st.sampled_from([1, 30, LEAST_SHARE])
)
def test_batches_are_the_oldest_and_its_neighbours(lengths: list[int], lane_tokens: int) -> None:
    """Of one lane, against a queue that looks and sorts anew for every batch."""
    engine = Sums(lane_tokens=lane_tokens)
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        asked = ask(batcher, numbers(*lengths))
        engine.run()
        plugs[0].check()
        asked.check()
    waiting = [(len(row), row[0]) for row in asked.rows]  # the oldest first
    for batch in engine.calls[1:]:
        by_length = sorted(oldest(waiting, WINDOW * lane_tokens))
        place = by_length.index(waiting[0])
        low, high = run_of([length for length, _ in by_length], place, lane_tokens)
        while high - low > 8 and (high - low) % 8:  # kernels are kept for every number of rows
            low, high = (low + 1, high) if low < place else (low, high - 1)
        assert sorted((len(row), row[0]) for row in batch) == by_length[low:high]
        waiting = [one for one in waiting if one not in by_length[low:high]]
    assert waiting == []


def test_a_lane_alone_takes_all_that_it_gains_by() -> None:
    """Two calls would cost more than the padding of one."""
    engine = Sums(lane_tokens=1024)
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        asked = ask(batcher, numbers(*range(24, 30)))
        engine.go()
        first = engine.taken()
        engine.run()
        for one in [*plugs, asked]:
            one.check()
    assert len(first) == 6


def test_nobody_waits_for_ever_behind_shorter_ones() -> None:
    """More come than are computed, all of them better company for each other than for the long one."""
    engine = Sums(lane_tokens=64)
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        asked = [ask(batcher, numbers(8)) for _ in range(24)]
        long = ask(batcher, numbers(200))
        waiting = [one.rows[0] for one in [*asked, long]]
        batches = 0
        while long.rows[0] in waiting:
            for _ in range(10):
                asked.append(ask(batcher, numbers(8)))
                waiting.append(asked[-1].rows[0])
            engine.go()
            batch = engine.taken()
            assert waiting[0] in batch
            waiting = [row for row in waiting if row not in batch]
            batches += 1
        assert batches == 4  # three of eight each, which came before it, and its own
        assert batch == long.rows
        engine.run()
        for one in [*plugs, *asked, long]:
            one.check()


def test_lanes_share_what_waits() -> None:
    engine = Sums(lanes=2, lane_tokens=1024)
    numbers = Numbers()
    with started(engine) as batcher:
        engine.hold()
        idle(batcher)
        many = ask(batcher, numbers(*[8] * 32))
        both = [engine.taken(), engine.taken()]  # at the same time: no step was given yet
        assert [len(batch) for batch in both] == [16, 16]
        assert sorted(row for batch in both for row in batch) == many.rows
        engine.go(2)
        many.check()

        idle(batcher)
        few = ask(batcher, numbers(*[8] * (LEAST_SHARE // 8)))  # not worth a call for each lane
        assert sorted(engine.taken()) == few.rows
        engine.go()
        few.check()

        plugs = plug(batcher, engine, numbers)
        more = ask(batcher, numbers(*[8] * 40))
        engine.go()
        assert sorted(engine.taken()) == more.rows  # the other lane is busy for who knows how long
        engine.run()
        for one in [*plugs, more]:
            one.check()


def test_every_batch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine = Sums(lane_tokens=100)
    engine.busy = clock.busy(second_a_call=1, second_a_token=0.5)
    told: list[BatchFacts] = []
    numbers = Numbers()
    with started(engine, watch=told.append) as batcher:
        plugs = plug(batcher, engine, numbers)
        asked = ask(batcher, numbers(10, 80, 12, 9))
        engine.run()
        plugs[0].check()
        asked.check()
    assert told == [BatchFacts(1, 2, 2, 2.0), BatchFacts(3, 31, 36, 16.5), BatchFacts(1, 80, 80, 41.0)]


# Failures


@pytest.mark.parametrize("by_token", [False, True])
def test_only_the_job_that_the_engine_fails_on_fails(by_token: bool) -> None:
    engine = Sums(by_token=by_token)
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        asked = [ask(batcher, numbers(5, 6)) for _ in range(6)]
        cause = engine.bad[asked[2].rows[1][3]] = ValueError("no such position")
        engine.bad[asked[4].rows[0][0]] = TooLarge("too many for me")
        engine.run()
        for place, one in enumerate(asked):
            if place not in (2, 4):
                one.check(by_token)
        failed = asked[2].failed()
        assert isinstance(failed, Failed)
        assert str(failed) == "the model could not compute this input"  # what went wrong inside is for the log
        assert failed.__cause__ is cause
        refused = asked[4].failed()
        assert isinstance(refused, TooLarge)
        assert str(refused) == "too many for me"
        plugs[0].check(by_token)
        assert len(engine.calls[1]) > 2  # they were computed together at first
        ask(batcher, numbers(3)).check(by_token)  # the lane lives


def test_what_is_left_of_a_failed_job_is_not_computed() -> None:
    engine = Sums(lane_tokens=64)
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        failing, other = ask(batcher, numbers(*[30] * 20)), ask(batcher, numbers(*[30] * 3))
        engine.bad[failing.rows[0][0]] = ValueError()
        engine.go()
        first = engine.taken()
        assert first == failing.rows[:2]
        assert batcher.num_waiting == 21
        engine.go()
        assert isinstance(failing.failed(), Failed)
        assert engine.taken() == other.rows[:2]
        assert (batcher.num_waiting, batcher.promised) == (1, 30)
        engine.run()
        for one in [*plugs, other]:
            one.check()
    assert not set(computed(engine)) & {number for row in failing.rows[2:] for number in row}


def test_a_job_that_fails_on_two_lanes_at_once_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Sums(lanes=2, lane_tokens=64)
    numbers = Numbers()
    with started(engine) as batcher:
        engine.hold()
        idle(batcher)
        asked = ask(batcher, numbers(60, 60))
        both = [engine.taken(), engine.taken()]
        assert sorted(row for batch in both for row in batch) == asked.rows
        for row in asked.rows:
            engine.bad[row[0]] = ValueError()
        meeting = threading.Barrier(2)
        drop = batcher.drop

        def dropping(job: Job) -> None:
            """Let the other lane come as far, if it does."""
            with suppress(threading.BrokenBarrierError):
                meeting.wait(timeout=1)
            drop(job)

        monkeypatch.setattr(batcher, "drop", dropping)
        engine.run()
        idle(batcher)
        assert isinstance(asked.failed(), Failed)


@pytest.mark.parametrize("by_token", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_its_own_jobs_failure(by_token: bool, value: float) -> None:
    engine = Sums(by_token=by_token)
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        asked = [ask(batcher, numbers(5, 6)) for _ in range(BROKEN_AFTER + 2)]
        for one in asked[1:-1]:
            engine.odd[one.rows[1][0]] = value
        engine.run()
        for one in [*plugs, asked[0], asked[-1]]:
            one.check(by_token)
        for one in asked[1:-1]:
            failed = one.failed()
            assert isinstance(failed, Failed)
            assert str(failed) == "the model's output is not finite for this input"
        assert not batcher.broken  # the engine does compute


def test_an_engine_that_fails_again_and_again_is_broken_until_it_computes() -> None:
    engine = Sums()
    numbers = Numbers()
    with started(engine) as batcher:

        def fails() -> None:
            rows = numbers(4)
            engine.bad[rows[0][0]] = RuntimeError("out of memory")
            assert isinstance(ask(batcher, rows).failed(), Failed)

        for _ in range(BROKEN_AFTER - 1):
            fails()
        assert not batcher.broken
        ask(batcher, numbers(4)).check()
        for _ in range(BROKEN_AFTER - 1):  # in a row, it is said
            fails()
        assert not batcher.broken
        fails()
        assert batcher.broken
        fails()
        assert batcher.broken
        ask(batcher, numbers(4)).check()  # it is still asked
        assert not batcher.broken


@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lane_outlives_who_takes_no_answer(bad: bool) -> None:
    """The event loop that waited for it may be gone."""
    engine = Sums()
    numbers = Numbers()
    told = threading.Event()

    def deliver(result: Outputs | Exception) -> None:
        told.set()
        raise RuntimeError("Event loop is closed")

    with started(engine) as batcher:
        rows = numbers(4)
        if bad:
            engine.bad[rows[0][0]] = ValueError()
        batcher.admit(4)
        batcher.submit(Job(ragged(rows), deliver), 4)
        assert told.wait(SAFETY)
        later = ask(batcher, numbers(3))
        until(lambda: bool(later.told) or not batcher._lanes[0].is_alive())
        alive = bool(later.told)
        batcher.drop(later.job)
        assert alive
        later.check()


# Dropping


def test_a_dropped_job_is_not_computed_and_nothing_is_owed_for_it() -> None:
    engine = Sums()
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        first, dropped, last = (ask(batcher, numbers(5, 9, 7)) for _ in range(3))
        assert (batcher.num_waiting, batcher.promised) == (9, 63)
        batcher.drop(dropped.job)
        assert (batcher.num_waiting, batcher.promised) == (6, 42)
        batcher.drop(dropped.job)
        assert (batcher.num_waiting, batcher.promised) == (6, 42)
        engine.run()
        for one in [*plugs, first, last]:
            one.check()
        batcher.drop(first.job)
        assert (batcher.num_waiting, batcher.promised) == (0, 0)
    assert dropped.told == []
    assert not set(computed(engine)) & {number for row in dropped.rows for number in row}


@pytest.mark.parametrize("end", ["well", "bad"])
@pytest.mark.parametrize("behind", [0, 2])
def test_a_job_dropped_while_it_is_computed_is_told_nothing(end: str, behind: int) -> None:
    engine = Sums(lane_tokens=64)
    numbers = Numbers()
    with started(engine) as batcher:
        engine.hold()
        dropped = ask(batcher, numbers(60, *[60] * behind))
        if end == "bad":
            engine.bad[dropped.rows[0][0]] = ValueError()
        assert engine.taken() == dropped.rows[:1]
        assert (batcher.num_waiting, batcher.promised) == (behind, behind * 60)
        batcher.drop(dropped.job)
        assert (batcher.num_waiting, batcher.promised) == (0, 0)
        other = ask(batcher, numbers(5))
        engine.run()
        other.check()
    assert dropped.told == []
    assert engine.calls == [dropped.rows[:1], other.rows]


# Promises


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 100_000), st.floats(1, 1e6), st.floats(0.01, 100))
def test_who_would_wait_too_long_is_refused_and_told_when_to_come_back(
    promised: int, speed: float, max_wait: float
) -> None:
    batcher = Batcher(Sums(), max_wait=max_wait)
    batcher.speed = speed
    batcher.admit(promised)
    wait = promised / speed
    assert batcher.wait == wait
    if wait <= max_wait:
        batcher.admit(10)
        assert batcher.promised == promised + 10
        batcher.release(10)
        assert batcher.promised == promised
        return
    with pytest.raises(Overloaded) as caught:
        batcher.admit(10)
    assert batcher.promised == promised
    assert str(caught.value) == (
        f"overloaded: a request would wait {wait:.1f} seconds, and {max_wait:g} is the limit; try again later"
    )
    again = caught.value.retry_after
    assert isinstance(again, int)
    assert again >= 1
    assert wait - again <= max_wait  # by then there is room, if nobody else comes
    assert again <= wait + 1
    assert caught.value.headers == {"retry-after": str(again)}


def test_a_promise_is_made_good_by_what_the_texts_had() -> None:
    engine = Sums()
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        for promised in (0, 7, 1000):
            batcher.admit(promised)
            asked = Asked(numbers(3, 4))
            batcher.submit(asked.job, promised)
            assert batcher.promised == 7
            batcher.drop(asked.job)
            assert batcher.promised == 0
        engine.run()
        plugs[0].check()


FATES = ("well", "bad", "odd", "dropped", "dropped late", "released")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(FATES), st.lists(st.integers(1, 40), max_size=5), st.integers(0, 300)), max_size=12
    ),
    st.integers(1, 2),
)
def test_nothing_is_owed_after_everything(jobs: list[tuple[str, list[int], int]], lanes: int) -> None:
    """`started` checks that nothing is promised at its end, and that nothing waits."""
    engine = Sums(lanes=lanes, lane_tokens=64)
    numbers = Numbers()
    told = []
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        for fate, lengths, promised in jobs:
            rows = numbers(*lengths)
            if fate == "bad" and rows:
                engine.bad[rows[-1][0]] = ValueError()
            if fate == "odd" and rows:
                engine.odd[rows[0][0]] = np.nan
            if fate == "released":
                batcher.admit(promised)
                batcher.release(promised)
                continue
            asked = ask(batcher, rows, promised)
            told.append((fate, asked))
            if fate == "dropped":
                batcher.drop(asked.job)
        assert batcher.promised == sum(one.tokens for fate, one in told if fate != "dropped")
        engine.run()
        for fate, asked in told:
            if fate == "dropped late":
                batcher.drop(asked.job)
        for one in plugs:
            one.check()
    for fate, asked in told:
        if fate == "well" or (not asked.rows and fate != "dropped late"):
            asked.check()
        elif fate in ("bad", "odd"):
            assert isinstance(asked.failed(), Failed)
        else:
            assert len(asked.told) <= (fate == "dropped late" or not asked.rows)


# The end


def test_closing_answers_what_is_queued() -> None:
    engine = Sums(lanes=2, lane_tokens=64)
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        asked = [ask(batcher, numbers(30, 40)) for _ in range(10)]
        engine.bad[asked[3].rows[0][0]] = ValueError()
        closing = threading.Thread(target=batcher.close)
        closing.start()
        until(lambda: batcher._closed)
        assert not any(one.told for one in asked)
        engine.run()
        closing.join(SAFETY)
        assert not closing.is_alive()
        for place, one in enumerate([*plugs, *asked]):
            assert one.told  # by the time that it is closed
            if place == 3 + len(plugs):
                assert isinstance(one.failed(), Failed)
            else:
                one.check()


@pytest.mark.parametrize("end", ["submitted", "of nothing", "released", "dropped"])
@pytest.mark.parametrize("lanes", [1, 2])
def test_closing_waits_for_what_was_admitted(end: str, lanes: int) -> None:
    """A text may still be on its way to its tokens. Nothing more is admitted."""
    with started(Sums(lanes=lanes)) as batcher:
        batcher.admit(17)
        closing = threading.Thread(target=batcher.close)
        closing.start()
        until(lambda: batcher._closed)
        with pytest.raises(Unready, match="this model is being replaced; ask again"):
            batcher.admit(1)
        if end == "released":
            batcher.release(17)
        else:
            asked = Asked([] if end == "of nothing" else Numbers()(5, 6))
            if end == "dropped":
                batcher.drop(asked.job)
            batcher.submit(asked.job, 17)
            if end == "dropped":
                batcher.drop(asked.job)
            else:
                asked.check()
        closing.join(SAFETY)
        assert not closing.is_alive()


def test_closing_what_has_not_begun() -> None:
    batcher = Batcher(Sums(), max_wait=1)
    batcher.close()
    assert batcher.promised == 0


# Speed


class Clock:
    """The time as the queue sees it, which goes on only while the engine computes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return self.now

    def busy(self, second_a_call: float, second_a_token: float) -> Callable[[int], None]:
        def busy(tokens: int) -> None:
            self.now += second_a_call + tokens * second_a_token

        return busy


@pytest.mark.parametrize("lanes", [1, 2])
def test_the_speed_is_learnt(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    clock = Clock(monkeypatch)
    engine = Sums(lanes=lanes, lane_tokens=1000)
    engine.busy = clock.busy(0, 1 / 1000)
    numbers = Numbers()
    with started(engine) as batcher:
        assert batcher.speed == pytest.approx(1000)  # at the start nothing is known of the other lanes
        for _ in range(40):
            ask(batcher, numbers(500)).check()
            idle(batcher)
        assert batcher.speed == pytest.approx(1000 * lanes, rel=0.01)
        engine.busy = clock.busy(0, 1 / 250)
        speeds = [batcher.speed]
        for _ in range(40):
            ask(batcher, numbers(500)).check()
            idle(batcher)
            speeds.append(batcher.speed)
        assert speeds == sorted(speeds, reverse=True)
        assert batcher.speed == pytest.approx(250 * lanes, rel=0.01)
        engine.busy = clock.busy(0.01, 0)
        ask(batcher, numbers(500)).check()
        idle(batcher)
        assert batcher.speed == pytest.approx(0.99 * speeds[-1] + 0.01 * 50_000 * lanes)  # a moment says little


def test_a_slow_hour_is_forgotten_by_a_few_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are never as many as the engine gains by, for the others are refused."""
    clock = Clock(monkeypatch)
    engine = Sums(lane_tokens=16_384)
    engine.busy = clock.busy(0.002, 1 / 500_000)
    numbers = Numbers()
    with started(engine, max_wait=5) as batcher:
        batcher.speed = 20.0  # of an engine that stood for a while
        for _ in range(2000):
            ask(batcher, numbers(100)).check()
        idle(batcher)
        assert batcher.speed > 10_000  # of the 45,000 that it computes


def test_failures_tell_nothing_of_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine = Sums(lane_tokens=256)
    engine.busy = clock.busy(0, 1 / 1000)
    numbers = Numbers()
    with started(engine) as batcher:
        speed = batcher.speed
        engine.busy = clock.busy(0.001, 0)  # failing is soon done
        for _ in range(50):
            rows = numbers(200, 200)
            engine.bad[rows[0][0]] = RuntimeError("the device is gone")
            assert isinstance(ask(batcher, rows).failed(), Failed)
        idle(batcher)
        assert batcher.speed == speed


def test_quiet_hours_do_not_make_a_fast_engine_refuse_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short requests one at a time cost what a call costs; together they would cost next to nothing."""
    clock = Clock(monkeypatch)
    engine = Sums(lane_tokens=16_384)
    engine.busy = clock.busy(0.002, 1 / 500_000)
    numbers = Numbers()
    batcher = Batcher(engine, max_wait=5)
    batcher.start(ragged(numbers(*[16] * 64)))
    for _ in range(2000):
        ask(batcher, numbers(8)).check()
    admitted = 0
    with suppress(Overloaded):
        while admitted < 5_000_000:
            batcher.admit(10_000)
            admitted += 10_000
    batcher.release(admitted)
    close(batcher)
    wait = admitted / engine.lane_tokens * 0.002 + admitted / 500_000
    assert wait > 2.5, f"refused with {wait:.2f} seconds of work waiting, of the 5 that a request may wait"
    assert wait < 10  # and refused they are, once there is too much


def test_a_job_knows_how_long_it_waited_and_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    engine = Sums(lane_tokens=64)
    numbers = Numbers()
    with started(engine) as batcher:
        plugs = plug(batcher, engine, numbers)
        asked = ask(batcher, numbers(60, 60))
        clock.now += 5
        engine.go()
        for seconds in (2, 3):
            engine.taken()
            clock.now += seconds
            engine.go()
        asked.check()
        plugs[0].check()
    assert (asked.job.waited, asked.job.computed) == (5, 5)
    assert (plugs[0].job.waited, plugs[0].job.computed) == (0, 5)


# Everything at once


def test_a_crowd_of_all_kinds() -> None:
    """Many threads that ask, give up and are refused, on an engine that fails now and then."""
    engine = Sums(by_token=True, lanes=3, lane_tokens=300)
    numbers = Numbers()
    chance = random.Random(5)
    plans = [
        [numbers(*(chance.randint(2, 64) for _ in range(chance.randint(0, 9)))) for _ in range(40)] for _ in range(8)
    ]
    wrong: list[str] = []
    for rows in [rows for plan in plans for rows in plan if rows][::17]:
        engine.bad[rows[0][0]] = ValueError()
    bad = set(engine.bad)
    with started(engine) as batcher:

        def call(place: int) -> None:
            mine = random.Random(place)
            for rows in plans[place]:
                asked = ask(batcher, rows, mine.randint(0, 500))
                if mine.random() < 0.2:
                    batcher.drop(asked.job)
                    continue
                try:
                    if rows and rows[0][0] in bad:
                        assert isinstance(asked.failed(), Failed)
                    else:
                        asked.check(by_token=True)
                except AssertionError as error:
                    wrong.append(str(error))

        threads = [threading.Thread(target=call, args=(place,)) for place in range(len(plans))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SAFETY)
    assert wrong == []
