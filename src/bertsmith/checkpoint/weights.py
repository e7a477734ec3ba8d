"""Tensors in files.

Enters: a folder or a file of weights as published. Leaves: tensors by their published names, and their checksums. No
code in a file is ever run. Knows nothing of what the tensors are for.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.checkpoint.names import canonical
from bertsmith.errors import CheckpointError
from bertsmith.files import read_json

SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"

_COPY_AGAIN = "copy or download it again"


def read_weights(place: Path) -> dict[str, Tensor]:
    """The weights of a folder or of one file, on the CPU, by published name (see `names.canonical`).

    A folder is searched for safetensors, whole then in shards, then for ``pytorch_model.bin``, likewise.
    Raises `CheckpointError` when there are none, or they are damaged, or hold more than tensors.
    """
    return canonical(read_raw(find_weights(place)), where=str(place))


def find_weights(place: Path) -> Path:
    """The file that `read_weights` starts from. Raises `CheckpointError` when there is none."""
    if not place.is_dir():
        return place
    for name in (SAFETENSORS, SAFETENSORS_INDEX, PICKLED, PICKLED_INDEX):
        if (place / name).is_file():
            return place / name
    refuse_tensorflow(place)
    raise CheckpointError(f"{place}: holds no weights; {SAFETENSORS} (or {PICKLED}) is expected there")


def refuse_tensorflow(folder: Path) -> None:
    """Raise `CheckpointError` for a folder of BERT as Google published it, and do nothing for any other."""
    if (folder / "bert_config.json").is_file() or any(folder.glob("bert_model.ckpt*")):
        raise CheckpointError(
            f"{folder}: is a TensorFlow checkpoint as Google published BERT, which is not read here; convert it once "
            f"with transformers, as docs/checkpoints.md shows"
        )


def on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they are written: on the CPU, in one piece. Those that already are so are not copied."""
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in weights.items()}


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors. The same tensors give the same bytes."""
    # The library makes a file that only its owner may read. One that we made first says what the others may.
    path.touch()
    mode = path.stat().st_mode
    # The format keeps its metadata in no fixed order: with a second entry, equal weights would give different files.
    save_file(on_cpu(weights), path, metadata={"format": "pt"})
    path.chmod(mode)


def read_tensors(path: Path, *, way_out: str = _COPY_AGAIN) -> dict[str, Tensor]:
    """All tensors of one safetensors file, by the names they have there.

    Raises `CheckpointError` if it is damaged; ``way_out`` is what it tells the user to do.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error, way_out) from None


def checksums(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """CRC-32 of each tensor's type, shape and bytes, in hexadecimal."""
    return {name: _checksum(tensor) for name, tensor in on_cpu(weights).items()}


def verify(weights: Mapping[str, Tensor], expected: Mapping[str, str], *, file: Path, way_out: str) -> None:
    """Raise `CheckpointError` naming the first tensor that is missing or is not what its checksum says.

    weights: on the CPU
    file, way_out: the file that holds them, and what to do about a damaged one, for the message
    """
    for name, checksum in expected.items():
        if name not in weights:
            raise CheckpointError(f"{file}: tensor {name!r} is missing; {way_out}")
        if _checksum(weights[name]) != checksum:
            raise CheckpointError(f"{file}: tensor {name!r} is damaged (its checksum differs); {way_out}")


def _checksum(tensor: Tensor) -> str:
    start = zlib.crc32(f"{tensor.dtype} {list(tensor.shape)}".encode())
    return f"{zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, start):08x}"


def read_raw(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, or of the files that an index names, by the names they have there."""
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    return _reader(path)(path)


def _reader(path: Path) -> Callable[[Path], dict[str, Tensor]]:
    return read_tensors if path.suffix == ".safetensors" else _read_pickled


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of the files that an index names."""
    places = read_json(index, CheckpointError).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise CheckpointError(f"{index}: has no 'weight_map' of tensor names to files; download the file again")
    weights: dict[str, Tensor] = {}
    for shard in sorted(set(places.values())):
        if Path(shard).name != shard:
            raise CheckpointError(f"{index}: names {shard!r}, outside its own folder; that is not opened")
        if not (index.parent / shard).is_file():
            raise CheckpointError(f"{index}: names {shard!r}, which is not beside it; download that file too")
        weights |= _reader(index.parent / shard)(index.parent / shard)
    for name, shard in places.items():
        if name not in weights:
            raise CheckpointError(f"{index}: tensor {name!r} is not in {shard}; download both files again")
    return weights


def _read_pickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by ``torch.save``, read by a reader that builds nothing but tensors."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise _refused(path, "objects that could run code") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    if not isinstance(found, dict):
        raise _refused(path, f"a {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise _refused(path, f"{name!r}, a {type(value).__name__},")
    return found


def _refused(path: Path, what: str) -> CheckpointError:
    keep = "{k: v.clone() for k, v in d.items() if torch.is_tensor(v)}"
    command = (
        "import sys, torch, safetensors.torch as s; d = torch.load(sys.argv[1], weights_only=False); "
        f"s.save_file({keep}, sys.argv[2], dict(format='pt'))"
    )
    return CheckpointError(
        f"{path}: holds {what} besides named tensors and is not opened; if you trust it, convert it in an "
        f'environment you can throw away: python -c "{command}" {path} {path.with_name(SAFETENSORS)}'
    )


def _damaged(path: Path, error: Exception, way_out: str = _COPY_AGAIN) -> CheckpointError:
    if not path.exists():
        return CheckpointError(f"{path}: there is no such file")
    with path.open("rb") as file:
        if file.read(24).startswith(b"version https://git-lfs"):
            return CheckpointError(f"{path}: is a Git LFS pointer, not the weights; run 'git lfs pull' there")
    reason = str(error).strip().partition("\n")[0]
    return CheckpointError(f"{path}: is damaged or cut short ({reason}); {way_out}")
