"""export: a trained model -> files for other runtimes.

The recipe for ONNX: trace the model, compute some texts in ONNX Runtime as well, compare. For OpenVINO in int8: score
the model on labelled data, quantize it, put back what costs too much, say what it gained.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from cyclopts import Parameter
from rich.console import Console

from bertsmith.checkpoint import resolve
from bertsmith.engine.choosing import compiled
from bertsmith.engine.exchange import INPUTS, PaddedModel, to_onnx, to_openvino
from bertsmith.engine.exported import INT8, save_int8
from bertsmith.engine.quantizing import Quantized, quantize
from bertsmith.engine.task_model import TaskModel
from bertsmith.engine.torch_engine import TorchEngine
from bertsmith.errors import CheckpointError, OutputError, SettingsError, count, nearest
from bertsmith.files import write_bytes
from bertsmith.report.words import format_score, name_score
from bertsmith.stages.options import ColumnOptions
from bertsmith.stages.splits import open_table
from bertsmith.tasks import Encoded, Examples
from bertsmith.tasks.metrics import LESS_IS_BETTER

ONNX = "model.onnx"
_CLOSE = 1e-3  # outputs of two runtimes in fp32 differ by less, as a share of the largest
_TIMED = 512  # sequences that speeds are compared on


@dataclass(frozen=True)
class ExportSettings:
    """Options of `export`."""

    model: str
    """Folder of the trained model, or its name on the hub."""
    to: Literal["onnx", "openvino"]
    """onnx: model.onnx, which ONNX Runtime computes. openvino: with --precision int8, for our own verbs to use."""
    out: str | None = None
    """Folder for the export, with all of the model in it; the model's own folder unless given."""
    precision: Literal["fp32", "int8"] = "fp32"
    """int8 is for openvino: a third of the time or less, for a little of the score."""
    data: str | None = None
    """int8: labelled file to calibrate on and to score the model on before and after; of it not the test set."""
    limit: float = 0.5
    """int8: hundredths that the score may fall by; what costs more stays in higher precision."""
    metric: str | None = None
    """int8: the score, if not the task's own."""
    overwrite: Annotated[bool, Parameter(negative=())] = False
    """Replace the model that is in --out."""
    columns: Annotated[ColumnOptions, Parameter(name="*", group="Columns")] = field(default_factory=ColumnOptions)

    def __post_init__(self) -> None:
        if self.precision == "int8" and self.to == "onnx":
            raise SettingsError("--precision int8 is exported --to openvino; for onnx give fp32")
        if self.precision == "fp32" and self.to == "openvino":
            raise SettingsError(
                "fp32 and bf16 need no export: every verb compiles them for OpenVINO by itself; give --precision int8"
            )
        if self.precision == "int8" and self.data is None:
            raise SettingsError("--precision int8 needs texts to calibrate on and to score; give --data FILE")
        if not self.limit >= 0:
            raise SettingsError(f"--limit is {self.limit:g}; it must be 0 or more")


def export(settings: ExportSettings, *, console: Console | None = None) -> Path:
    """Write a model for another runtime. Returns the file."""
    console = console or Console(stderr=True)
    folder = folder_of(settings)
    model = TaskModel.open(settings.model, device="cpu", precision="fp32", engine="torch")
    if settings.to == "onnx":
        return export_onnx(model, folder, settings, console)
    return export_int8(model, folder, settings, console)


def folder_of(settings: ExportSettings) -> Path:
    """Where the export goes. Raises `SettingsError` where that is no folder of the user's, `OutputError` where another
    model is in it."""
    own = resolve(settings.model)
    if settings.out is None or Path(settings.out).resolve() == own.resolve():
        if not Path(settings.model).is_dir():
            raise SettingsError(f"{settings.model} is not a folder of yours; name one for the export with --out")
        return own
    out = Path(settings.out)
    if (out / "config.json").exists() and not settings.overwrite:
        raise OutputError(f"{out}: holds a model; give --overwrite to replace it")
    return out


def check_installed(option: str, extra: str, libraries: tuple[str, ...]) -> None:
    """Raise `SettingsError` where libraries that an option needs are not installed."""
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise SettingsError(f"{option} needs {' and '.join(missing)}; pip install 'bertsmith[{extra}]'")


def save_beside(model: TaskModel, folder: Path, settings: ExportSettings) -> None:
    """Write the model itself where the export goes to a folder of its own."""
    if folder != resolve(settings.model):
        model.save(folder, record={"exported_from": settings.model})


def export_onnx(model: TaskModel, folder: Path, settings: ExportSettings, console: Console) -> Path:
    """Write ``model.onnx``, once ONNX Runtime computes from it what torch does.

    Raises `SettingsError` where the libraries for it are not installed.
    """
    check_installed("--to onnx", "onnx", ("onnx", "onnxruntime"))
    graph = to_onnx(model.model)
    difference = compare_with_onnx(model, graph)
    if difference > _CLOSE:
        raise CheckpointError(
            f"{folder}: ONNX Runtime's outputs differ by {difference:.1e} of the largest; nothing was written; report "
            "this with the model's config.json"
        )
    save_beside(model, folder, settings)
    write_bytes(folder / ONNX, graph)
    console.print(
        f"{folder / ONNX}: outputs within {difference:.1e} of torch's in ONNX Runtime; inputs input_ids, "
        "token_type_ids and attention_mask",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return folder / ONNX


def compare_with_onnx(model: TaskModel, graph: bytes) -> float:
    """The greatest difference of outputs on a padded batch, as a share of the largest output."""
    import onnxruntime

    generator = np.random.default_rng(0)
    ids = generator.integers(0, model.tokenizer.vocab_size, (3, 11))
    mask = (np.arange(11) < np.array([[11], [4], [7]])).astype(np.int64)
    given = dict(zip(INPUTS, (ids, np.zeros_like(ids), mask), strict=True))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(None, given)[0]
    with torch.inference_mode():
        expected = PaddedModel(model.model)(*map(torch.from_numpy, given.values())).numpy()
    if found.ndim == 3:  # what stands at padding means nothing
        found, expected = found[mask > 0], expected[mask > 0]
    return float(np.abs(found - expected).max() / max(1e-9, np.abs(expected).max()))


def export_int8(model: TaskModel, folder: Path, settings: ExportSettings, console: Console) -> Path:
    """Write the graph in int8 beside the model, as near to the limit as it goes, and tell what it gained.

    Raises `SettingsError` where the libraries for it are not installed, and for a metric that the task does not have.
    """
    assert settings.data is not None
    check_installed("--to openvino", "fast", ("openvino", "nncf"))
    table = open_table(settings.data, settings.columns, lines=model.task.takes_lines)
    examples, encoded = model.read(table, settings.columns.parts)
    plain = TorchEngine(model.model, model.precision)
    scores = _scores(model, plain, encoded, examples)
    metric = settings.metric or model.task.metric_among(scores)
    if metric not in scores:
        hint = nearest(metric, set(scores))
        raise SettingsError(f"--metric {metric!r} is no score of the task {model.task.name!r}; {hint}")
    sign = -1 if metric in LESS_IS_BETTER else 1

    def score(graph: Any) -> float:
        return sign * _scores(model, compiled(graph, plain, None), encoded, examples)[metric]

    graph = to_openvino(model.model)
    whole = 100 if model.task.percent and metric != "loss" else 1
    quantized = quantize(graph, encoded.sequences, score=score, limit=settings.limit / 100 * whole)
    faster = _seconds(compiled(graph, plain, None), encoded) / _seconds(compiled(quantized.graph, plain, None), encoded)
    assert quantized.before is not None
    assert quantized.after is not None
    quantized = replace(quantized, before=sign * quantized.before, after=sign * quantized.after)
    save_beside(model, folder, settings)
    save_int8(
        folder, quantized, model.model, {"metric": metric, "data": Path(settings.data).name, "faster_than_fp32": faster}
    )
    tell(quantized, metric, faster, folder, console)
    return folder / f"{INT8}.xml"


def tell(quantized: Quantized, metric: str, faster: float, folder: Path, console: Console) -> None:
    """What int8 cost and gained."""
    kept = f"{count(len(quantized.kept), 'product')} of {quantized.total} kept in higher precision"
    lines = [
        f"{name_score(metric)}: {format_score(quantized.before)} in fp32, {format_score(quantized.after)} in int8",
        f"{kept}: {', '.join(quantized.kept)}" if quantized.kept else "no product needed higher precision",
        f"{faster:.1f} times as fast as fp32 on this machine",
        f"{folder / INT8}.xml; use it with --precision int8",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _scores(model: TaskModel, engine: Any, encoded: Encoded, examples: Examples) -> dict[str, float]:
    return model.scores(engine.outputs(encoded.sequences), encoded, examples)


def _seconds(engine: Any, encoded: Encoded) -> float:
    """Time of some sequences, the better of three."""
    some = encoded.sequences.take(np.arange(min(_TIMED, len(encoded.sequences))))
    times = []
    for _ in range(3):
        began = time.perf_counter()
        engine.outputs(some)
        times.append(time.perf_counter() - began)
    return min(times)
