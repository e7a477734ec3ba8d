"""Graphs that `export` left beside a model.

Enters: a model's folder. Leaves: its graph in int8, as long as it is of these weights. The files are OpenVINO's own,
``openvino-int8.xml`` and ``.bin``, and ``openvino-int8.json``, which says what they are of and what they cost.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bertsmith.checkpoint import writing_folder
from bertsmith.engine.quantizing import Quantized
from bertsmith.errors import CheckpointError
from bertsmith.files import output_error, plain, read_json, write_json
from bertsmith.model.sentence import SentenceModel

INT8 = "openvino-int8"


def checksum_of(model: torch.nn.Module) -> str:
    """CRC-32 of all weights of a model, in hexadecimal."""
    summed = 0
    for name, tensor in sorted(model.state_dict().items()):
        held = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
        summed = zlib.crc32(held.numpy().data, zlib.crc32(name.encode(), summed))
    return f"{summed:08x}"


def save_int8(folder: Path, quantized: Quantized, model: torch.nn.Module, facts: Mapping[str, Any]) -> None:
    """Write a graph into ``folder``, and what it cost, all of it or nothing. ``facts``: more for the record.

    Raises `OutputError` when the place is full or not writable.
    """
    import openvino

    record = {
        "weights": checksum_of(model),
        "pooling": _pooling_of(model),
        "before": quantized.before,
        "after": quantized.after,
        "kept_in_higher_precision": list(quantized.kept),
        "products": quantized.total,
        **facts,
    }
    with writing_folder(folder) as staging:
        try:
            openvino.save_model(quantized.graph, staging / f"{INT8}.xml", compress_to_fp16=False)
        except RuntimeError as error:  # which does not say why
            raise output_error(folder, None) from error
        write_json(staging / f"{INT8}.json", record)


def holds_int8(folder: Path) -> bool:
    """Whether a folder has a graph in int8."""
    return (folder / f"{INT8}.xml").is_file()


def load_int8(folder: Path, model: torch.nn.Module) -> Any | None:
    """The graph of a folder, or ``None`` where it has none, or one of another pooling than the model's.

    Raises `CheckpointError` for one of other weights, and one that is damaged.
    """
    import openvino

    if not holds_int8(folder):
        return None
    path = folder / f"{INT8}.xml"
    record = read_json(folder / f"{INT8}.json", CheckpointError, way_out="export the model again")
    if record.get("weights") != checksum_of(model):
        raise CheckpointError(f"{path}: was made of other weights than the model's; export it again")
    if record.get("pooling") != _pooling_of(model):
        return None
    try:
        return openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{path}: is damaged ({reason}); export the model again") from None


def _pooling_of(model: torch.nn.Module) -> Any:
    """What a sentence's vector depends on beside weights, as JSON has it; ``None`` for models of other tasks."""
    return plain(model.head.pooling) if isinstance(model, SentenceModel) else None
