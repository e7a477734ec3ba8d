"""What Prometheus reads: numbers of requests, errors, tokens, batches and waits."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from bertsmith.serving.batcher import BatchFacts

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0)


class Meters:
    """The metrics of one server. Every name begins with ``bertsmith_``."""

    def __init__(self) -> None:
        self.registry = held = CollectorRegistry()
        ProcessCollector(registry=held)
        for collector in (PLATFORM_COLLECTOR, GC_COLLECTOR):
            held.register(collector)
        self.requests = Counter(
            "bertsmith_requests", "Requests answered, by route and HTTP status.", ["route", "status"], registry=held
        )
        self.errors = Counter("bertsmith_errors", "Requests refused, by kind of error.", ["kind"], registry=held)
        self.texts = Counter("bertsmith_texts", "Sequences that models were asked for.", ["model"], registry=held)
        self.tokens = Counter("bertsmith_tokens", "Tokens that models were asked for.", ["model"], registry=held)
        self.waiting = Gauge("bertsmith_queue_sequences", "Sequences that wait now.", ["model"], registry=held)
        self.promised = Gauge("bertsmith_queue_tokens", "Tokens admitted, not computed yet.", ["model"], registry=held)
        self.speed = Gauge("bertsmith_tokens_per_second", "Measured speed of a model.", ["model"], registry=held)
        self.ready = Gauge("bertsmith_ready", "1 when a model answers, 0 when it is broken.", ["model"], registry=held)
        self.batch_sequences = self._histogram("bertsmith_batch_sequences", "Sequences computed at once.", _SIZES)
        self.batch_tokens = self._histogram("bertsmith_batch_tokens", "Tokens computed at once.", _TOKENS)
        self.batch_fill = self._histogram("bertsmith_batch_fill_ratio", "Tokens of a batch by its places.", _SHARES)
        self.batch_seconds = self._histogram("bertsmith_batch_seconds", "Time to compute a batch.", _SECONDS)
        self.tokenize_seconds = self._histogram("bertsmith_tokenize_seconds", "From text to tokens.", _SECONDS)
        self.queue_seconds = self._histogram("bertsmith_queue_seconds", "Wait of a request in its queue.", _SECONDS)
        self.compute_seconds = self._histogram("bertsmith_inference_seconds", "Inference of a request.", _SECONDS)
        self.request_seconds = Histogram(
            "bertsmith_request_seconds", "Whole requests, by route.", ["route"], buckets=_SECONDS, registry=held
        )

    def _histogram(self, name: str, told: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, told, ["model"], buckets=buckets, registry=self.registry)

    def watch(self, model: str) -> Callable[[BatchFacts], None]:
        """What a model's batches are told to."""
        sequences, tokens = self.batch_sequences.labels(model), self.batch_tokens.labels(model)
        fill, seconds = self.batch_fill.labels(model), self.batch_seconds.labels(model)

        def observe(facts: BatchFacts) -> None:
            sequences.observe(facts.sequences)
            tokens.observe(facts.tokens)
            fill.observe(facts.tokens / facts.places)
            seconds.observe(facts.seconds)

        return observe

    def page(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
