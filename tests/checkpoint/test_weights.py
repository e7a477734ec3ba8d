"""Reading and refusing files of weights: every damage here is made to a real file."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bertsmith.checkpoint.weights import checksums, read_tensors, read_weights, verify, write_weights
from bertsmith.errors import CheckpointError

WEIGHTS = {
    "bert.a.weight": torch.arange(6.0).view(2, 3),
    "bert.b.bias": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "bert.count": torch.tensor(7),
    "bert.empty": torch.empty(0, 4),
}


class Harmful:
    """An object that would write a file on being unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) and a[n].dtype == b[n].dtype for n in a)


def test_what_is_written_is_read_and_equal_tensors_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        write_weights(WEIGHTS, tmp_path / name)
    assert same(read_weights(tmp_path / "a.safetensors"), WEIGHTS)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_views_of_one_storage_are_written(tmp_path: Path) -> None:
    fused = torch.arange(12.0).view(6, 2)
    weights = {"q": fused[:2], "k": fused[2:4], "v": fused[4:], "t": torch.arange(4.0).view(2, 2).T}
    write_weights(weights, tmp_path / "model.safetensors")
    assert same(read_weights(tmp_path), weights)


def test_pickled_tensors_with_old_names_are_read(tmp_path: Path) -> None:
    old = {"embeddings.LayerNorm.gamma": torch.ones(3), "embeddings.position_ids": torch.arange(4)}
    torch.save(old, tmp_path / "pytorch_model.bin")
    assert same(read_weights(tmp_path), {"bert.embeddings.LayerNorm.weight": torch.ones(3)})


def test_safetensors_are_preferred_to_pickles(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    write_weights({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    assert read_weights(tmp_path)["a"].item() == 1


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_joined(tmp_path: Path, kind: str) -> None:
    stem = "model" if kind == "safetensors" else "pytorch_model"
    parts = [{"bert.x": torch.ones(2)}, {"bert.y": torch.zeros(3)}]
    index: dict[str, str] = {}
    for number, part in enumerate(parts, 1):
        shard = f"{stem}-{number:05}-of-00002.{kind}"
        index |= dict.fromkeys(part, shard)
        save = save_file if kind == "safetensors" else torch.save
        save(part, tmp_path / shard)
    (tmp_path / f"{stem}.{kind}.index.json").write_text(json.dumps({"weight_map": index}))
    assert same(read_weights(tmp_path), parts[0] | parts[1])
    (tmp_path / f"{stem}-00002-of-00002.{kind}").unlink()
    with pytest.raises(CheckpointError, match=f"names '{stem}-00002-of-00002.{kind}', which is not beside it"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": "../elsewhere.safetensors"}}, "outside its own folder"),
        ({"weight_map": {"b": "one.safetensors"}}, "tensor 'b' is not in one.safetensors"),
        ({"weight_map": ["a"]}, "has no 'weight_map'"),
    ],
)
def test_a_wrong_index_is_named(tmp_path: Path, index: dict[str, object], message: str) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "one.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    torch.save({"bert.x": torch.ones(2), "extra": Harmful(trace)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="objects that could run code") as refusal:
        read_weights(tmp_path)
    assert not trace.exists()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [{"model": {"bert.x": torch.ones(2)}, "epoch": 3}, [torch.ones(1)]])
def test_a_pickle_of_other_things_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="besides named tensors and is not opened"):
        read_weights(tmp_path)


def test_the_way_out_of_a_refusal_works(tmp_path: Path) -> None:
    torch.save({"bert.x": torch.ones(2), "epoch": 3}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as refusal:
        read_weights(tmp_path)
    command = shlex.split(str(refusal.value).partition("throw away: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert same(read_weights(tmp_path), {"bert.x": torch.ones(2)})


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("size", [0, 5, 60, -1])
def test_a_file_cut_short_is_named(tmp_path: Path, name: str, size: int) -> None:
    path = tmp_path / name
    save = save_file if name.endswith("safetensors") else torch.save
    save({"bert.x": torch.ones(64, 8)}, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"is damaged or cut short .*; copy or download it again") as error:
        read_weights(tmp_path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_no_bit_of_a_file_can_flip_unseen(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(WEIGHTS, path)
    whole = path.read_bytes()
    expected = checksums(WEIGHTS)
    unseen = []
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                found = read_tensors(path)
                verify(found, expected, file=path, way_out="copy it again")
            except CheckpointError:
                continue
            if not same({name: found[name] for name in WEIGHTS}, WEIGHTS):
                unseen.append((place, bit))
    assert not unseen


def test_a_flipped_bit_is_named_by_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_weights({"bert.x": torch.ones(4), "bert.y": torch.ones(4)}, path)
    expected = checksums(read_tensors(path))
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tensor 'bert.y' is damaged \(its checksum differs\); do this$"):
        verify(read_tensors(path), expected, file=path, way_out="do this")


def test_a_pointer_of_git_lfs_is_recognised(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(CheckpointError, match="git lfs pull"):
        read_weights(tmp_path)


def test_absent_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no weights; model\.safetensors"):
        read_weights(tmp_path)
    with pytest.raises(CheckpointError, match="there is no such file"):
        read_weights(tmp_path / "x.safetensors")
