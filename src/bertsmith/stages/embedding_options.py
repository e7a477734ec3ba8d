"""Options of all verbs that turn texts into vectors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from bertsmith.engine.choosing import EngineName, InferencePrecision
from bertsmith.engine.embedder import Embedder
from bertsmith.model.sentence import PoolingMode


@dataclass(frozen=True)
class EmbedderOptions:
    """Which vectors, and how they are computed."""

    pooling: PoolingMode | None = None
    """From tokens to a vector in another way than the model's own: mean, cls, max, mean-sqrt or first-last."""
    dimensions: Annotated[int, Parameter(show_default=False)] = 0
    """Numbers of a vector to keep, the first ones; all unless given."""
    prompt: str | None = None
    """Name of a prompt of the model, to stand before every text."""
    max_length: int | None = None
    """Most tokens of a text; as many as the model says unless given."""
    precision: InferencePrecision = "auto"
    """fp32, bf16, fp16, int8, or auto: bf16 where the processor has it (cosine 0.9999 with fp32), fp32 elsewhere."""
    engine: EngineName = "auto"
    """torch, openvino, or auto: OpenVINO on a CPU that has enough to do, torch elsewhere."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU where there is one."""
    threads: int | None = None
    """Threads of the CPU; as many as there are for the process unless given."""

    def open(self, model: str, console: Console, *, normalize: bool | None = None) -> Embedder:
        """The model; what a person should know of it is told. ``normalize``: see `Embedder.open`."""
        embedder = Embedder.open(model, normalize=normalize, **asdict(self))
        tell_news(embedder, console)
        return embedder


def tell_news(embedder: Embedder, console: Console) -> None:
    """What a person should know of a model of vectors."""
    for line in embedder.news:
        console.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)
