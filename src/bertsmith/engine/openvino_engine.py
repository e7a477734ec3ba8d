"""The engine for CPUs: OpenVINO.

Enters: ragged sequences. Leaves: outputs in their order. Sequences are sorted by length and cut into rectangles of
nearly equal lengths, so that almost nothing is padded. While the processor computes some, the next are laid out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bertsmith.engine.buckets import Bucket, buckets_by_length
from bertsmith.engine.exchange import INPUTS
from bertsmith.text.ragged import Ragged, gather_places

OpenVINOPrecision = Literal["fp32", "bf16"]  # of the arithmetic; a quantized graph computes int8 where it says so

PASS_TOKENS = 2048  # of a rectangle: more gain nothing here, and fall out of the processor's cache
LANE_TOKENS = 384  # of a rectangle: 128 reach nine tenths of the speed, 512 all of it, but later (docs/lab-notes.md)
_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVINOEngine:
    """A graph of `exchange`, compiled for this processor.

    graph:       an ``openvino.Model``
    by_token:    whether it has outputs by token, not by sequence
    num_outputs: width of its output
    threads:     that compute; as many as the process may use unless given
    pass_tokens: most tokens computed at once (one sequence at least)
    """

    name = "openvino"
    lane_tokens = LANE_TOKENS

    def __init__(
        self,
        graph: Any,
        *,
        by_token: bool,
        num_outputs: int,
        precision: OpenVINOPrecision = "fp32",
        threads: int | None = None,
        pass_tokens: int = PASS_TOKENS,
    ) -> None:
        import openvino

        self.by_token = by_token
        self.num_outputs = num_outputs
        self.pass_tokens = pass_tokens
        self.lanes = threads = threads or len(os.sched_getaffinity(0))
        self._compiled = openvino.Core().compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _HINTS[precision],
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": threads,
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def shape(self, sequences: Ragged) -> tuple[int, int]:
        """The shape of the head's outputs: (S, C) or (N, C)."""
        return len(sequences.ids) if self.by_token else len(sequences), self.num_outputs

    def prepare(self, sequences: Ragged) -> None:
        """Nothing is to be done: the graph was compiled when the engine was made."""

    def outputs(self, sequences: Ragged) -> NDArray[np.float32]:
        """The head's outputs: (S, C) or (N, C) float32, in the order of ``sequences``."""
        outputs = np.empty(self.shape(sequences), dtype=np.float32)
        failures: list[BaseException] = []

        def receive(request: Any, bucket: Bucket) -> None:
            try:
                found = request.get_output_tensor(0).data
                if self.by_token:
                    places, _ = gather_places(sequences.bounds, bucket.rows)
                    outputs[places] = found[bucket.mask.astype(bool)]
                else:
                    outputs[bucket.rows] = found
            except BaseException as error:  # one raised here would be lost in the runtime's own thread
                failures.append(error)

        with self._requests() as requests:
            requests.set_callback(receive)
            for bucket in buckets_by_length(sequences, self.pass_tokens):
                requests.start_async(dict(zip(INPUTS, (bucket.ids, bucket.segments, bucket.mask), strict=True)), bucket)
            requests.wait_all()
        if failures:
            raise failures[0]
        return outputs

    @contextmanager
    def _requests(self) -> Iterator[Any]:
        """Inference requests for one call, lent: calls of several threads have each their own."""
        import openvino

        try:
            requests = self._idle.get_nowait()
        except Empty:
            requests = openvino.AsyncInferQueue(self._compiled, self.lanes)
        yield requests
        self._idle.put(requests)  # after an error they are left to be collected: some may still be under way
