"""Which engine computes a model.

Enters: a model, and what the user asked for. Leaves: an engine. On a GPU that is torch; on a CPU OpenVINO (extra
`fast`) where it is installed and the work is worth compiling the model for, and torch elsewhere.
"""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.engine.engine import Engine
from bertsmith.engine.torch_engine import TorchEngine
from bertsmith.errors import SettingsError, nearest
from bertsmith.model.heads import EncoderModel
from bertsmith.model.sentence import SentenceModel
from bertsmith.text.ragged import Ragged
from bertsmith.training.options import FitOptions, PrecisionName
from bertsmith.training.precision import Precision

EngineName = Literal["auto", "torch", "openvino"]
InferencePrecision = Literal[PrecisionName, "int8"]

# Compiling takes about two seconds whatever the model. OpenVINO makes up for them in so many products of a weight and a
# token: measured 4e11 to 7e11 for 6 layers of 384, 7e11 to 9e11 for 4 of 256 (docs/lab-notes.md).
WORTH_COMPILING = 6e11
CALIBRATION = 1_200  # sequences that int8 is calibrated on where no export is there


def choose_engine(
    name: EngineName,
    model: EncoderModel,
    precision: Precision,
    *,
    int8: bool = False,
    folder: Path | None = None,
    threads: int | None = None,
    pass_tokens: int = FitOptions.pass_tokens,
) -> Engine:
    """The named engine for a model, or for "auto" the fastest here.

    int8:   compute products of weights in 8 bits, as ``folder`` holds them, which `export` wrote; see `InInt8`

    Raises `SettingsError` for an engine that is not there or cannot compute with this precision on this device.
    """
    if name not in get_args(EngineName):
        raise SettingsError(f"--engine {name!r} is no engine; {nearest(name, get_args(EngineName))}")
    possible = precision.device.type == "cpu" and precision.name in ("fp32", "bf16")
    installed = importlib.util.find_spec("openvino") is not None
    if int8 or name == "openvino":
        what = "--precision int8" if int8 else "--engine openvino"
        if not possible or (int8 and name == "torch"):
            raise SettingsError(f"{what} is computed by OpenVINO on a CPU, not by torch or on {precision.device}")
        if not installed:
            raise SettingsError(f"{what} needs OpenVINO, which is not installed; pip install 'bertsmith[fast]'")
    plain = TorchEngine(model, precision, pass_tokens)
    if name == "torch" or not possible or not installed:
        return plain
    if int8:
        return InInt8(plain, folder, threads)
    return WhereWorth(plain, 0 if name == "openvino" else tokens_worth_compiling(model), threads)


def lasting_engine(device: torch.device, name: EngineName = "auto") -> EngineName:
    """The engine for a model that answers for long, so that compiling it is always worth the time."""
    installed = importlib.util.find_spec("openvino") is not None
    return "openvino" if name == "auto" and installed and device.type == "cpu" else name


def tokens_worth_compiling(model: EncoderModel) -> int:
    """Tokens from which on compiling a model pays: the more, the smaller it is."""
    weights = sum(weight.numel() for weight in model.encoder.layers.parameters())
    return round(WORTH_COMPILING / max(1, weights))


class WhereWorth:
    """OpenVINO once enough tokens have been asked for, torch before.

    plain: computes what is not worth compiling the model for
    least: tokens, of all calls together, that are worth it
    """

    def __init__(self, plain: TorchEngine, least: int, threads: int | None) -> None:
        self.plain = plain
        self.least = least
        self.threads = threads
        self.name = "torch"
        self.asked = 0  # tokens so far

    @property
    def lanes(self) -> int:
        """Of the engine that computed last."""
        return self._last.lanes

    @property
    def lane_tokens(self) -> int:
        """Of the engine that computed last."""
        return self._last.lane_tokens

    @property
    def _last(self) -> Engine:
        return self.compiled if self.name != self.plain.name else self.plain

    @cached_property
    def compiled(self) -> Engine:
        """The model, compiled at the first use."""
        from bertsmith.engine.exchange import to_openvino

        return compiled(to_openvino(self.plain.model), self.plain, self.threads)

    def shape(self, sequences: Ragged) -> tuple[int, int]:
        """The shape of the head's outputs: (S, C) or (N, C)."""
        return self.plain.shape(sequences)

    def prepare(self, sequences: Ragged) -> None:
        """Compile the model where these sequences are worth it."""
        self._chosen(sequences)

    def outputs(self, sequences: Ragged) -> NDArray[np.float32]:
        """The head's outputs: (S, C) or (N, C) float32, in the order of ``sequences``."""
        engine = self._chosen(sequences)
        self.asked += len(sequences.ids)
        return engine.outputs(sequences)

    def _chosen(self, sequences: Ragged) -> Engine:
        worth = "compiled" in self.__dict__ or self.asked + len(sequences.ids) >= self.least
        engine = self.compiled if worth else self.plain
        self.name = engine.name
        return engine


class InInt8:
    """OpenVINO with products of weights in 8 bits.

    folder: that holds the graph, as `export` wrote it; for vectors of sentences it is made of the first sequences else

    Raises `SettingsError` where a model of another task has no export: its scores in int8 are not known.
    """

    name = "openvino"

    def __init__(self, plain: TorchEngine, folder: Path | None, threads: int | None) -> None:
        self.plain = plain
        self.folder = folder
        self.threads = threads
        self._engine: Engine | None = None

    @property
    def lanes(self) -> int:
        """Of the prepared engine."""
        return (self._engine or self.plain).lanes

    @property
    def lane_tokens(self) -> int:
        """Of the prepared engine."""
        return (self._engine or self.plain).lane_tokens

    def shape(self, sequences: Ragged) -> tuple[int, int]:
        """The shape of the head's outputs: (S, C) or (N, C)."""
        return self.plain.shape(sequences)

    def prepare(self, sequences: Ragged) -> None:
        """Load the graph, or calibrate one on some of these sequences."""
        if self._engine is None:
            self._engine = compiled(self._graph(sequences), self.plain, self.threads)

    def outputs(self, sequences: Ragged) -> NDArray[np.float32]:
        """The head's outputs: (S, C) or (N, C) float32, in the order of ``sequences``."""
        self.prepare(sequences)
        assert self._engine is not None
        return self._engine.outputs(sequences)

    def _graph(self, sequences: Ragged) -> Any:
        from bertsmith.engine.exchange import to_openvino
        from bertsmith.engine.exported import load_int8
        from bertsmith.engine.quantizing import quantize

        exported = None if self.folder is None else load_int8(self.folder, self.plain.model)
        if exported is not None:
            return exported
        if not isinstance(self.plain.model, SentenceModel):
            raise SettingsError(
                f"{self.folder}: has no export in int8; make one, which is scored: bertsmith export --model "
                f"{self.folder} --to openvino --precision int8 --data FILE"
            )
        every = max(1, len(sequences) // CALIBRATION)
        some = sequences.take(np.arange(0, len(sequences), every)[:CALIBRATION])
        return quantize(to_openvino(self.plain.model), some).graph


def compiled(graph: Any, plain: TorchEngine, threads: int | None) -> Engine:
    """An engine of OpenVINO for a graph of the model that ``plain`` computes, in the same precision beside its int8."""
    from bertsmith.engine.openvino_engine import OpenVINOEngine

    return OpenVINOEngine(
        graph,
        by_token=plain.by_token,
        num_outputs=plain.model.num_outputs,
        precision="bf16" if plain.precision.name == "bf16" else "fp32",
        threads=threads,
    )
