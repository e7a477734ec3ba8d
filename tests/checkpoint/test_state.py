"""Resume state: what is saved comes back, and damage is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertsmith.checkpoint.state import has_state, load_state, save_state
from bertsmith.errors import CheckpointError, OutputError

TENSORS = {
    "model.embeddings.weight": torch.arange(6.0).view(2, 3),
    "optimizer.3.step": torch.tensor(12.0),
    "generator": torch.arange(9, dtype=torch.uint8),
    "half": torch.tensor([1.25], dtype=torch.bfloat16),
}
VALUES = {"step": 12, "rate": 0.1 + 0.2, "best": None, "history": [{"loss": float("inf")}], "name": "Ж\ud83d"}


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    assert not has_state(tmp_path / "state")
    save_state(tmp_path / "state", TENSORS, VALUES)
    assert has_state(tmp_path / "state")
    state = load_state(tmp_path / "state")
    assert state.values == VALUES
    assert state.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert state.tensors[name].dtype == tensor.dtype
        assert torch.equal(state.tensors[name], tensor)


def test_tensors_of_a_state_can_be_written_to_without_changing_the_file(tmp_path: Path) -> None:
    save_state(tmp_path, TENSORS, VALUES)
    load_state(tmp_path).tensors["optimizer.3.step"].add_(1)
    assert load_state(tmp_path).tensors["optimizer.3.step"].item() == 12


def test_a_save_that_fails_leaves_the_last_good_state(tmp_path: Path) -> None:
    save_state(tmp_path, TENSORS, VALUES)
    with pytest.raises(TypeError):
        save_state(tmp_path, {"new": torch.ones(1)}, {"not JSON": object()})
    assert load_state(tmp_path).values == VALUES
    assert load_state(tmp_path).tensors.keys() == TENSORS.keys()


def test_a_state_that_was_cut_short_among_its_moves_is_the_new_one(tmp_path: Path) -> None:
    save_state(tmp_path / "new", {"a": torch.ones(1)}, {"step": 2})
    save_state(tmp_path / "state", {"a": torch.zeros(1)}, {"step": 1})
    # What a kill leaves after the first of two moves.
    (tmp_path / "new" / "state.safetensors").replace(tmp_path / "state" / "state.safetensors")
    (tmp_path / "new").replace(tmp_path / "state" / ".new")
    assert load_state(tmp_path / "state").values == {"step": 2}
    assert load_state(tmp_path / "state").tensors["a"].item() == 1


def test_absence_and_damage_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no state to resume from; start anew with --overwrite"):
        load_state(tmp_path)
    save_state(tmp_path, TENSORS, VALUES)
    values, tensors = tmp_path / "state.json", tmp_path / "state.safetensors"
    whole = values.read_text(), tensors.read_bytes()
    values.write_text(whole[0].replace("12", "13", 1))
    with pytest.raises(CheckpointError, match=r"state\.json: is damaged .*; start anew with --overwrite$"):
        load_state(tmp_path)
    values.write_text(whole[0][:-9])
    with pytest.raises(CheckpointError, match=r"state\.json, .* not valid JSON .*; start anew with --overwrite$"):
        load_state(tmp_path)
    values.write_text(whole[0])
    tensors.write_bytes(whole[1][:-1] + bytes([whole[1][-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"tensor '\S+' is damaged .*; start anew with --overwrite$"):
        load_state(tmp_path)
    tensors.write_bytes(whole[1][:-9])
    with pytest.raises(CheckpointError, match=r"state\.safetensors: is damaged .*; start anew with --overwrite$"):
        load_state(tmp_path)


def test_a_place_that_is_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(OutputError, match="state: cannot be written"):
        save_state(tmp_path / "state", TENSORS, VALUES)
