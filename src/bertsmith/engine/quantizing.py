"""int8 with a gate: a graph in 8 bits, as far as the scores allow.

Enters: a graph in fp32, texts as tokens to calibrate it on, and maybe how its outputs are scored. Leaves: a graph whose
products of weights are int8 but for those that cost too much. Ranges are nncf's, from the calibration texts, with
SmoothQuant (Xiao et al. 2022). Where the score falls beyond the limit, products are put back into higher precision, the
most harmful first: that without which the outputs are nearest to those in fp32.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.engine.buckets import bucket_of
from bertsmith.engine.exchange import INPUTS
from bertsmith.errors import SettingsError
from bertsmith.text.ragged import Ragged

CALIBRATION = 300  # batches that ranges are taken from
_ROWS = 4  # sequences of such a batch
_COMPARED = 16  # batches on which outputs are compared to find what harms

Inputs = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Quantized:
    """A graph in int8.

    graph:  an ``openvino.Model``
    before: the score in fp32, and ``after`` in int8; ``None`` where nothing was scored
    kept:   names of the products of weights that stay in higher precision
    total:  number of all of them
    """

    graph: Any
    before: float | None
    after: float | None
    kept: Sequence[str]
    total: int


def quantize(
    graph: Any, calibration: Ragged, *, score: Callable[[Any], float] | None = None, limit: float = 0.005
) -> Quantized:
    """A copy of a graph in int8.

    calibration: sequences like those that are to be computed, some hundreds or more
    score:       of a graph, greater is better
    limit:       by so much the score may fall

    Raises `SettingsError` where nncf is not installed.
    """
    batches = list(_batches(calibration))
    products = products_of(graph)
    quantized = _quantized(graph, batches, [])
    if score is None:
        return Quantized(quantized, None, None, [], len(products))
    before, after = score(graph), score(quantized)
    kept: list[str] = []
    if before - after > limit:
        harmful = most_harmful(graph, batches, products)
        while before - after > limit and len(kept) < len(harmful):
            kept = harmful[: max(1, 2 * len(kept))]
            quantized = graph if len(kept) == len(products) else _quantized(graph, batches, kept)
            after = score(quantized)
    return Quantized(quantized, before, after, [_short(name) for name in kept], len(products))


def products_of(graph: Any) -> list[str]:
    """Names of a graph's matrix products with weights, from the input to the output."""

    def has_weights(node: Any) -> bool:
        return node.input_value(1).get_node().get_type_name() in ("Constant", "Convert")

    products = [node for node in graph.get_ordered_ops() if node.get_type_name() == "MatMul"]
    return [node.get_friendly_name() for node in products if has_weights(node)]


def most_harmful(graph: Any, batches: Sequence[Inputs], products: Sequence[str]) -> list[str]:
    """The products, that first without which the outputs in int8 are nearest to those in fp32."""
    some = batches[:: max(1, len(batches) // _COMPARED)][:_COMPARED]
    expected = _outputs(graph, some)

    def distance(name: str) -> float:
        found = _outputs(_quantized(graph, batches, [name]), some)
        return float(sum(np.square(one - other).sum() for one, other in zip(found, expected, strict=True)))

    return sorted(products, key=distance)


def _quantized(graph: Any, batches: Sequence[Inputs], kept: Sequence[str]) -> Any:
    nncf = _nncf()
    with _quietly():
        return nncf.quantize(
            graph,
            nncf.Dataset(batches),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=min(CALIBRATION, len(batches)),
            ignored_scope=nncf.IgnoredScope(names=list(kept)) if kept else None,
        )


def _outputs(graph: Any, batches: Sequence[Inputs]) -> list[NDArray[np.float32]]:
    import openvino

    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [compiled(batch)[0] for batch in batches]


def _batches(sequences: Ragged) -> Iterator[Inputs]:
    """Batches of a few sequences of nearly equal lengths, from all lengths alike, `CALIBRATION` at most."""
    order = np.argsort(sequences.lengths, kind="stable")
    groups = [order[low : low + _ROWS] for low in range(0, len(order), _ROWS)]
    chosen = np.unique(np.linspace(0, len(groups) - 1, min(CALIBRATION, len(groups))).astype(int))
    for number in chosen.tolist():
        bucket = bucket_of(sequences, groups[number])
        yield dict(zip(INPUTS, (bucket.ids, bucket.segments, bucket.mask), strict=True))


def _short(name: str) -> str:
    """A product as a person knows it: the path of its layer in our model."""
    return name.removeprefix("__module.model.").partition("/")[0]


def _nncf() -> Any:
    try:
        with _quietly():
            import nncf
    except ImportError:
        raise SettingsError("int8 is made with nncf, which is not installed; pip install 'bertsmith[fast]'") from None
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What the library prints of its own progress is not for the user."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
