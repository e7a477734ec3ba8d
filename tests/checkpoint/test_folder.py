"""Whole checkpoints: ours opened by transformers, theirs opened here, and every wrong one named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from bertsmith.checkpoint import folder
from bertsmith.checkpoint.folder import CONFIG, RECORD, read_checkpoint, read_config, save_checkpoint
from bertsmith.checkpoint.loading import Differences, load_weights
from bertsmith.checkpoint.names import to_published
from bertsmith.errors import CheckpointError
from bertsmith.model import Batch, BertConfig, BertModel, Encoder
from bertsmith.model.heads import HeadKind

CONFIGURATION = BertConfig(
    vocab_size=37, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=12, initializer_range=0.5, layer_norm_eps=1e-7,
)  # fmt: skip
AUTO: dict[HeadKind, Any] = {
    "sequence": transformers.AutoModelForSequenceClassification,
    "choice": transformers.AutoModelForMultipleChoice,
    "token": transformers.AutoModelForTokenClassification,
    "span": transformers.AutoModelForQuestionAnswering,
}
IDS = torch.tensor([2, 8, 30, 11, 3])


def random_model(head: HeadKind, num_outputs: int) -> BertModel:
    model = BertModel(CONFIGURATION, head, num_outputs, torch.Generator().manual_seed(3)).eval()
    for parameter in model.parameters():  # biases and norms start out as constants, which would hide a swap
        parameter.data += 0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    return model


def save_vocabulary(folder: Path) -> None:
    (folder / "vocab.txt").write_text("[PAD]\n")


def no_tokenizer(folder: Path) -> None:
    pass


def save(folder: Path, model: BertModel, **more: Any) -> None:
    save_checkpoint(
        folder,
        config=model.config.to_dict() | {"id2label": {str(i): f"L{i}" for i in range(model.num_outputs)}},
        weights=to_published(model.state_dict(), model.head_kind),
        tokenizer_save=save_vocabulary,
        **more,
    )


def logits(model: BertModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(Batch(IDS, torch.zeros_like(IDS), torch.tensor([len(IDS)])))
    return found


def their_logits(model: Any, head: HeadKind) -> Tensor:
    ids = IDS.view(1, 1, -1) if head == "choice" else IDS.view(1, -1)
    with torch.no_grad():
        output = model.eval()(ids)
    if head == "span":
        return torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1)
    found: Tensor = output.logits[0] if head == "token" else output.logits
    return found


@pytest.mark.parametrize(("head", "num_outputs"), [("sequence", 3), ("choice", 1), ("token", 5), ("span", 2)])
def test_transformers_opens_what_we_write(tmp_path: Path, head: HeadKind, num_outputs: int) -> None:
    model = random_model(head, num_outputs)
    save(tmp_path, model)
    opened, report = AUTO[head].from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    expected = to_published(model.state_dict(), head)
    assert opened.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in opened.state_dict().items())
    torch.testing.assert_close(logits(model), their_logits(opened, head), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("head", "num_outputs"), [("sequence", 3), ("choice", 1), ("token", 5), ("span", 2)])
def test_we_open_what_transformers_writes(tmp_path: Path, head: HeadKind, num_outputs: int) -> None:
    torch.manual_seed(5)
    config = transformers.BertConfig(**CONFIGURATION.to_dict() | {"num_labels": num_outputs})
    written = AUTO[head].from_config(config)
    for parameter in written.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    written.save_pretrained(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.task is None
    model = BertModel(BertConfig.from_dict(checkpoint.config), head, num_outputs).eval()
    assert load_weights(model, checkpoint.weights, head) == Differences()
    torch.testing.assert_close(logits(model), their_logits(written, head), atol=1e-5, rtol=1e-5)


def test_an_encoder_by_transformers_loads_with_or_without_its_pooler(tmp_path: Path) -> None:
    written = transformers.BertModel(transformers.BertConfig(**CONFIGURATION.to_dict()))
    written.save_pretrained(tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    tagger = load_weights(BertModel(CONFIGURATION, "token", 5), checkpoint.weights, "token")
    assert tagger.unexpected == ("bert.pooler.dense.bias", "bert.pooler.dense.weight")
    assert tagger.missing == ("classifier.weight", "classifier.bias")
    assert tagger.of_encoder() == Differences()
    model = BertModel(CONFIGURATION, "sequence", 2)
    assert load_weights(model, checkpoint.weights, "sequence").missing == ("classifier.weight", "classifier.bias")
    assert torch.equal(model.state_dict()["head.pooler.weight"], written.state_dict()["pooler.dense.weight"])


def test_an_encoder_alone_opens_in_transformers(tmp_path: Path) -> None:
    encoder = Encoder(CONFIGURATION)
    weights = to_published({f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}, None)
    save_checkpoint(tmp_path, config=CONFIGURATION.to_dict(), weights=weights, tokenizer_save=no_tokenizer)
    opened, report = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert set(report["missing_keys"]) <= {"pooler.dense.weight", "pooler.dense.bias"}
    assert not report["unexpected_keys"]
    fused = encoder.state_dict()["layers.2.attention.qkv.weight"]
    assert torch.equal(opened.encoder.layer[2].attention.self.key.weight, fused[16:32])


def test_the_starter_loads_as_published(starter_folder: Path) -> None:
    checkpoint = read_checkpoint(starter_folder)
    assert checkpoint.task is None
    model = BertModel(BertConfig.from_dict(checkpoint.config), "sequence", 2)
    differences = load_weights(model, checkpoint.weights, "sequence")
    assert differences.missing == ("classifier.weight", "classifier.bias")
    assert not differences.unexpected
    assert not differences.mismatched
    stored = load_file(starter_folder / "model.safetensors")
    stored.pop("embeddings.position_ids", None)
    back = to_published(model.state_dict(), "sequence")
    assert all(torch.equal(tensor, back[f"bert.{name}"]) for name, tensor in stored.items())


def test_all_that_was_saved_is_read(tmp_path: Path) -> None:
    model = random_model("token", 5)
    save(tmp_path, model, task={"task": "tag", "labels": ["O", "B-Ж"]}, files={"README.md": "# A tagger\n"})
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.task == {"task": "tag", "labels": ["O", "B-Ж"]}
    assert checkpoint.config["hidden_size"] == 16
    assert (tmp_path / "README.md").read_text() == "# A tagger\n"
    assert (tmp_path / "vocab.txt").is_file()
    again = BertModel(CONFIGURATION, "token", 5)
    assert load_weights(again, checkpoint.weights, "token") == Differences()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_a_save_cut_short_among_its_moves_is_finished_by_the_reader(tmp_path: Path) -> None:
    save(tmp_path / "out", random_model("sequence", 2), task={"step": 1})
    save(tmp_path / "new", random_model("sequence", 3), task={"step": 2})
    (tmp_path / "new" / "bertsmith.json").replace(tmp_path / "out" / "bertsmith.json")
    (tmp_path / "new").replace(tmp_path / "out" / ".new")
    checkpoint = read_checkpoint(tmp_path / "out")
    assert checkpoint.task == {"step": 2}
    assert checkpoint.weights["classifier.bias"].shape == (3,)


@pytest.mark.parametrize("moment", ["read_config", "read_task", "read_weights", "verify"])
def test_a_save_that_ends_while_it_is_read_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    save(tmp_path / "out", random_model("sequence", 2), task={"step": 1})
    save(tmp_path / "new", random_model("sequence", 3), task={"step": 2})
    call = getattr(folder, moment)

    def overtaken(*arguments: Any, **options: Any) -> Any:
        found = call(*arguments, **options)
        if (tmp_path / "new").exists():
            (tmp_path / "new").replace(tmp_path / "out" / ".new")
            (tmp_path / "out" / ".new" / "bertsmith.json").replace(tmp_path / "out" / "bertsmith.json")
        return found

    monkeypatch.setattr(folder, moment, overtaken)
    checkpoint = read_checkpoint(tmp_path / "out")
    assert checkpoint.task == {"step": 2}
    assert checkpoint.weights["classifier.bias"].shape == (3,)
    assert len(checkpoint.config["id2label"]) == 3


def test_whatever_a_run_recorded_is_saved(tmp_path: Path) -> None:
    """A run ends with saving: nothing it has to tell may fail there."""
    task = {"labels": ["\ud83d"], "model": Path("runs/x"), "lr": np.float32(0.5), "eval": {"mcc": float("nan")}}
    save(tmp_path, random_model("sequence", 2), task=task, files={"README.md": "\ud83d"})
    assert read_checkpoint(tmp_path).task == {"labels": ["\ud83d"], "model": "runs/x", "lr": 0.5, "eval": {"mcc": None}}
    assert b"NaN" not in (tmp_path / RECORD).read_bytes()


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name, random_model("sequence", 2), task={"task": "classify"})
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["bertsmith.json", "config.json", "model.safetensors", "vocab.txt"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_a_flipped_bit_in_a_checkpoint_is_named(tmp_path: Path) -> None:
    save(tmp_path, random_model("sequence", 2))
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: tensor '\S+\.weight' is damaged"):
        read_checkpoint(tmp_path)
    record = json.loads((tmp_path / RECORD).read_text())
    del record["checksums"]
    (tmp_path / RECORD).write_text(json.dumps(record))
    assert read_checkpoint(tmp_path).task is None


def test_half_precision_weights_load_into_a_full_precision_model() -> None:
    model = random_model("span", 2)
    half = {name: tensor.half() for name, tensor in to_published(model.state_dict(), "span").items()}
    again = BertModel(CONFIGURATION, "span", 2)
    assert load_weights(again, half, "span") == Differences()
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, model.state_dict()[name].half().float())


def test_both_vocabulary_sizes_are_named(tmp_path: Path) -> None:
    save(tmp_path, random_model("sequence", 2))
    read_checkpoint(tmp_path).check_vocabulary(37)
    with pytest.raises(CheckpointError, match="the tokenizer has 38 tokens, the word embedding 37 rows"):
        read_checkpoint(tmp_path).check_vocabulary(38)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"vocab_size": 41}))
    with pytest.raises(CheckpointError, match=r"vocab_size is 41 in config\.json, the word embedding has 37 rows"):
        read_checkpoint(tmp_path)


def test_other_shapes_are_named_and_leave_the_model_as_it_was() -> None:
    weights = to_published(random_model("sequence", 3).state_dict(), "sequence")
    weights["bert.encoder.layer.1.attention.self.key.bias"] = torch.zeros(17)
    model = random_model("sequence", 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    differences = load_weights(model, weights, "sequence")
    assert [str(one) for one in differences.mismatched] == [
        "tensor 'bert.encoder.layer.1.attention.self.key.bias' is [17], the model expects [16]",
        "tensor 'classifier.weight' is [3, 16], the model expects [2, 16]",
        "tensor 'classifier.bias' is [3], the model expects [2]",
    ]
    after = model.state_dict()
    assert torch.equal(after["head.classifier.weight"], before["head.classifier.weight"])
    fused = "encoder.layers.1.attention.qkv.bias"
    assert torch.equal(after[fused][16:32], before[fused][16:32])
    assert torch.equal(after[fused][:16], weights["bert.encoder.layer.1.attention.self.query.bias"])
    assert [one.name for one in differences.of_encoder().mismatched] == ["bert.encoder.layer.1.attention.self.key.bias"]
    with pytest.raises(CheckpointError, match=r"^here: tensor 'bert\.encoder\S+' is \[17\], .* \(and 2 more\); config"):
        differences.refuse(Path("here"))


def test_missing_and_unexpected_tensors_are_told_apart() -> None:
    weights = to_published(random_model("sequence", 2).state_dict(), "sequence")
    del weights["bert.encoder.layer.0.attention.self.query.weight"]
    weights["cls.predictions.bias"] = torch.zeros(37)
    differences = load_weights(random_model("sequence", 2), weights, "sequence")
    assert differences.missing == ("bert.encoder.layer.0.attention.self.query.weight",)
    assert differences.unexpected == ("cls.predictions.bias",)
    with pytest.raises(CheckpointError, match=r"^here: tensor 'bert\.encoder\S+query\.weight' is missing; the weights"):
        differences.refuse(Path("here"))


def test_a_span_head_is_not_filled_from_a_classifier() -> None:
    weights = to_published(random_model("token", 2).state_dict(), "token")
    differences = load_weights(random_model("span", 2), weights, "span")
    assert differences.missing == ("qa_outputs.weight", "qa_outputs.bias")
    assert differences.unexpected == ("classifier.weight", "classifier.bias")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is no checkpoint, it has no config\.json"),
        (b'{"vocab_size": 37,\n  oops}', r"config\.json, line 2, column 3: not valid JSON"),
    ],
)
def test_a_wrong_configuration_file_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize("names", [["bert_config.json", "vocab.txt"], ["config.json", "bert_model.ckpt.index"]])
def test_a_tensorflow_checkpoint_says_what_it_is(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=r"^\S+: is a TensorFlow checkpoint .*; convert it once[^\n]+$"):
        read_checkpoint(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="x: there is no such folder"):
        read_checkpoint(tmp_path / "x")


def test_weights_of_another_kind_of_model_are_named(tmp_path: Path) -> None:
    weights = {"distilbert.embeddings.word_embeddings.weight": torch.zeros(37, 16)}
    save_checkpoint(tmp_path, config=CONFIGURATION.to_dict(), weights=weights, tokenizer_save=no_tokenizer)
    with pytest.raises(CheckpointError, match="these are not BERT's weights"):
        read_checkpoint(tmp_path)
