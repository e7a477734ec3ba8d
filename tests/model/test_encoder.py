"""The encoder against transformers' BertModel, and against a slow twin where transformers has no such option."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.checkpoint import Differences, load_weights, read_checkpoint, to_published
from bertsmith.model import Batch, BertConfig, BertModel, PackedLayout, PaddedLayout, PooledEncoder
from bertsmith.model.encoder import activate, initialise

Maker = Callable[..., Any]

LENGTHS = {
    "one token": [1],
    "equal": [5, 5, 5],
    "mixed": [7, 1, 32, 2, 19, 7],
    "every length": list(range(1, 33)),
}
CONFIGS: dict[str, dict[str, Any]] = {
    "small": {},
    "one layer, one head": {"num_hidden_layers": 1, "num_attention_heads": 1, "hidden_size": 16},
    "four layers, wide heads": {"num_hidden_layers": 4, "num_attention_heads": 2, "hidden_size": 32},
    "no inner width": {"intermediate_size": 1, "type_vocab_size": 3, "layer_norm_eps": 1e-6},
    "gelu_new": {"hidden_act": "gelu_new"},
    "gelu_pytorch_tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "relu": {"hidden_act": "relu"},
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS)
def test_vectors_are_those_of_transformers(
    fields: dict[str, Any], lengths: list[int], make_config: Maker, make_pair: Maker
) -> None:
    pair = make_pair(make_config(**fields), lengths)
    batch, mask = pair.batch, pair.mask.bool()
    with torch.no_grad():
        expected = pair.peer.bert(pair.ids, pair.mask, pair.segments).last_hidden_state
        packed = pair.model.encoder(batch.ids, batch.segments, PackedLayout(batch.lengths)).last
        padded = pair.model.encoder(pair.ids, pair.segments, PaddedLayout(mask)).last
    assert expected.abs().max() > 0.5  # the comparison below is of numbers of this size
    torch.testing.assert_close(packed, expected[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(padded[mask], expected[mask], atol=1e-5, rtol=0)


def test_vectors_of_the_starter_are_those_of_transformers(starter_folder: Path, pad: Maker, mask_of: Maker) -> None:
    transformers = pytest.importorskip("transformers")
    checkpoint = read_checkpoint(starter_folder)
    config = BertConfig.from_dict(checkpoint.config)
    model = PooledEncoder(config).eval()
    assert load_weights(model, checkpoint.weights, None) == Differences()
    peer = transformers.BertModel.from_pretrained(starter_folder, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([3, 40, 11, 1, 24, 40, 2])
    ids = torch.randint(1000, config.vocab_size, (int(lengths.sum()),), generator=generator)
    segments = torch.cat([(torch.arange(length) > length // 2).long() for length in lengths])
    mask = mask_of(lengths)
    for given in (segments, None):
        padded_segments = None if given is None else pad(given, lengths)
        with torch.no_grad():
            expected = peer(pad(ids, lengths), mask, padded_segments)
            packed = model.encoder(ids, given, PackedLayout(lengths)).last
            padded = model.encoder(pad(ids, lengths), padded_segments, PaddedLayout(mask)).last
            pooled = model.pooler(PaddedLayout(mask).first(padded))
            if given is not None:
                assert torch.equal(model(Batch(ids, given, lengths)), model.pooler(PackedLayout(lengths).first(packed)))
        torch.testing.assert_close(packed, expected.last_hidden_state[mask.bool()], atol=1e-5, rtol=0)
        torch.testing.assert_close(padded[mask.bool()], packed, atol=1e-5, rtol=0)
        torch.testing.assert_close(pooled, expected.pooler_output, atol=1e-5, rtol=0)


def test_no_segments_are_all_zeros(make_config: Maker, make_model: Maker, make_batch: Maker) -> None:
    config = make_config()
    model, batch = make_model(config), make_batch([4, 9], config)
    layout = PackedLayout(batch.lengths)
    with torch.no_grad():
        without = model.encoder(batch.ids, None, layout).last
        zeros = model.encoder(batch.ids, torch.zeros_like(batch.ids), layout).last
        ones = model.encoder(batch.ids, torch.ones_like(batch.ids), layout).last
    torch.testing.assert_close(without, zeros, atol=1e-6, rtol=0)
    assert not torch.allclose(zeros, ones, atol=1e-2)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_states_and_attentions_are_those_of_transformers(
    packed: bool, grouped_lengths: list[int], make_config: Maker, make_pair: Maker
) -> None:
    pair = make_pair(make_config(num_hidden_layers=3, max_position_embeddings=200), grouped_lengths)
    batch, mask = pair.batch, pair.mask.bool()
    with torch.no_grad():
        expected = pair.peer.bert(
            pair.ids, pair.mask, pair.segments, output_hidden_states=True, output_attentions=True
        )  # fmt: skip
        if packed:
            layout: Any = PackedLayout(batch.lengths)
            output = pair.model.encoder(batch.ids, batch.segments, layout, states=True, attentions=True)
        else:
            layout = PaddedLayout(mask)
            output = pair.model.encoder(pair.ids, pair.segments, layout, states=True, attentions=True)
    assert len(output.states) == len(expected.hidden_states) == 4
    for ours, theirs in zip(output.states, expected.hidden_states, strict=True):
        torch.testing.assert_close(ours if packed else ours[mask], theirs[mask], atol=1e-5, rtol=0)
    assert torch.equal(output.last, output.states[-1])
    assert len(output.attentions) == len(expected.attentions) == 3
    for groups, theirs in zip(output.attentions, expected.attentions, strict=True):
        seen = []
        for ours_of_group, group in zip(groups, layout.groups, strict=True):
            for ours, row in zip(ours_of_group, group.rows.tolist(), strict=True):
                length = int(batch.lengths[row])
                torch.testing.assert_close(
                    ours[:, :length, :length], theirs[row, :, :length, :length], atol=1e-5, rtol=0
                )
                assert not ours[:, :length, length:].any()
                seen.append(row)
        assert sorted(seen) == list(range(len(batch.lengths)))


def test_attentions_are_kept_once_with_gradient_checkpointing(
    make_config: Maker, make_model: Maker, make_batch: Maker
) -> None:
    config = make_config()
    model, batch = make_model(config).train(), make_batch([4, 2], config)
    model.encoder.recompute = True
    output = model.encoder(batch.ids, batch.segments, PackedLayout(batch.lengths), attentions=True)
    output.last.sum().backward()
    assert [len(groups) for groups in output.attentions] == [1, 1]


def test_nothing_is_kept_unasked(make_config: Maker, make_model: Maker, make_batch: Maker) -> None:
    config = make_config()
    batch = make_batch([4, 2], config)
    output = make_model(config).encoder(batch.ids, batch.segments, PackedLayout(batch.lengths))
    assert output.states == ()
    assert output.attentions == ()


@pytest.mark.parametrize("fields", [{}, {"use_relative_positions": True}], ids=["absolute", "relative"])
def test_a_sequence_does_not_feel_its_company(
    fields: dict[str, Any], grouped_lengths: list[int], make_config: Maker, make_model: Maker, make_batch: Maker
) -> None:
    config = make_config(max_position_embeddings=200, **fields)
    model, batch, lengths = make_model(config), make_batch(grouped_lengths, config), grouped_lengths
    with torch.no_grad():
        together = model.encoder(batch.ids, batch.segments, PackedLayout(batch.lengths)).last
        alone = [
            model.encoder(ids, segments, PackedLayout(torch.tensor([len(ids)]))).last
            for ids, segments in zip(batch.ids.split(lengths), batch.segments.split(lengths), strict=True)
        ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def encode_slowly(model: BertModel, ids: Tensor, segments: Tensor) -> Tensor:
    """One sequence through the encoder as the papers write it: ids, segments (T,) -> (T, D)."""
    config, weights = model.config, model.state_dict()

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + config.layer_norm_eps).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def attention(name: str, x: Tensor) -> Tensor:
        width = config.head_size
        query, key, value = linear(f"{name}.qkv", x).chunk(3, dim=-1)
        mixed = torch.zeros_like(x)
        for head in range(config.num_attention_heads):
            part = slice(head * width, (head + 1) * width)
            for i in range(len(x)):
                scores = torch.zeros(len(x))
                for j in range(len(x)):
                    key_j = key[j, part]
                    if config.use_relative_positions:
                        key_j = key_j + weights[f"{name}.distance.weight"][i - j + config.max_position_embeddings - 1]
                    scores[j] = query[i, part] @ key_j / math.sqrt(width)
                mixed[i, part] = scores.softmax(0) @ value[:, part]
        return linear(f"{name}.out", mixed)

    def feed_forward(name: str, x: Tensor) -> Tensor:
        inner = linear(f"{name}.up", x)
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        return linear(f"{name}.down", inner)

    x = weights["encoder.embeddings.word.weight"][ids] + weights["encoder.embeddings.segment.weight"][segments]
    if not config.use_relative_positions:
        x = x + weights["encoder.embeddings.position.weight"][: len(ids)]
    x = norm("encoder.embeddings.norm", x)
    for layer in range(config.num_hidden_layers):
        name = f"encoder.layers.{layer}"
        if config.norm_placement == "pre":
            x = x + attention(f"{name}.attention", norm(f"{name}.attention_norm", x))
            x = x + feed_forward(f"{name}.feed_forward", norm(f"{name}.feed_forward_norm", x))
        else:
            x = norm(f"{name}.attention_norm", x + attention(f"{name}.attention", x))
            x = norm(f"{name}.feed_forward_norm", x + feed_forward(f"{name}.feed_forward", x))
    return norm("encoder.norm", x) if config.norm_placement == "pre" else x


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
@pytest.mark.parametrize("placement", ["post", "pre"])
def test_vectors_are_those_of_the_slow_twin(
    placement: str, relative: bool, make_config: Maker, make_model: Maker, make_batch: Maker, pad: Maker, mask_of: Maker
) -> None:
    config = make_config(norm_placement=placement, use_relative_positions=relative, max_position_embeddings=12)
    model, batch = make_model(config), make_batch([5, 12, 1, 3, 12], config)
    lengths, mask = batch.lengths.tolist(), mask_of(batch.lengths)
    with torch.no_grad():
        slow = [
            encode_slowly(model, ids, segments)
            for ids, segments in zip(batch.ids.split(lengths), batch.segments.split(lengths), strict=True)
        ]
        packed = model.encoder(batch.ids, batch.segments, PackedLayout(batch.lengths), states=True)
        kept = model.encoder(batch.ids, batch.segments, PackedLayout(batch.lengths), attentions=True)
        padded = model.encoder(
            pad(batch.ids, batch.lengths), pad(batch.segments, batch.lengths), PaddedLayout(mask)
        ).last
    torch.testing.assert_close(packed.last, torch.cat(slow), atol=1e-5, rtol=0)
    torch.testing.assert_close(padded[mask.bool()], torch.cat(slow), atol=1e-5, rtol=0)
    torch.testing.assert_close(kept.last, torch.cat(slow), atol=1e-5, rtol=0)  # attention written out, not fused
    assert torch.equal(packed.states[-1], packed.last)


def test_relative_positions_take_the_place_of_absolute_ones(make_config: Maker) -> None:
    names = BertModel(make_config(use_relative_positions=True), "token", 2).state_dict()
    assert "encoder.embeddings.position.weight" not in names
    assert names["encoder.layers.0.attention.distance.weight"].shape == (2 * 32 - 1, 8)


@pytest.mark.parametrize("fields", [{}, {"norm_placement": "pre", "use_relative_positions": True}], ids=["post", "pre"])
def test_gradient_checkpointing_changes_no_number(
    fields: dict[str, Any], grouped_lengths: list[int], make_config: Maker, make_model: Maker, make_batch: Maker
) -> None:
    config = make_config(
        hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2, num_hidden_layers=3, max_position_embeddings=200,
        **fields,
    )  # fmt: skip
    batch = make_batch(grouped_lengths, config)
    found = []
    for recompute in (False, True):
        model = make_model(config).train()
        model.encoder.recompute = recompute
        model.encoder.noise.seed(7, 3)
        loss = F.cross_entropy(model(batch), torch.arange(len(grouped_lengths)) % 3)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append((loss.detach(), {name: one.grad for name, one in model.named_parameters()}))
    (loss, gradients), (loss_again, gradients_again) = found
    assert torch.equal(loss, loss_again)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradients_again[name], gradient, atol=1e-7, rtol=1e-6, msg=name)


def test_dropout_follows_the_key_of_the_noise(make_config: Maker, make_model: Maker, make_batch: Maker) -> None:
    config = make_config(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    model, batch = make_model(config).train(), make_batch([9, 30, 4], config)

    def logits(*key: int) -> Tensor:
        model.encoder.noise.seed(*key)
        with torch.no_grad():
            found: Tensor = model(batch)
        return found

    assert torch.equal(logits(1, 2), logits(1, 2))
    assert not torch.allclose(logits(1, 2), logits(1, 3))
    assert not torch.allclose(logits(1, 2), logits(2, 2))
    model.eval()
    assert torch.equal(logits(1, 2), logits(1, 3))


def test_another_dropout_is_taken_everywhere_and_kept_out_of_the_configuration(
    make_config: Maker, make_model: Maker, make_batch: Maker
) -> None:
    config = make_config(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    model, batch = make_model(config), make_batch([9, 30, 4], config)
    without = model(batch)
    model.train()
    model.encoder.set_dropout(0.0)
    layout = PackedLayout(batch.lengths)
    trained = model.encoder(batch.ids, batch.segments, layout).last
    model.eval()
    torch.testing.assert_close(trained, model.encoder(batch.ids, batch.segments, layout).last)
    torch.testing.assert_close(model(batch), without)
    assert model.config.hidden_dropout_prob == 0.5


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_the_gradient_is_the_slope_of_the_loss(
    relative: bool, dropout: float, make_config: Maker, make_model: Maker, make_batch: Maker
) -> None:
    """Central differences, with padding in attention and with dropout, whose masks the key fixes.

    In float64 but for what the model itself computes in float32, as probabilities may be."""
    config = make_config(
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, use_relative_positions=relative,
    )  # fmt: skip
    model, batch = make_model(config).double().train(), make_batch([9, 1, 32, 17, 9], config)
    generator = torch.Generator().manual_seed(5)

    def loss() -> Tensor:
        model.encoder.noise.seed(11)
        return F.cross_entropy(model(batch), torch.arange(5) % 3)

    loss().backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        direction /= direction.norm()
        assert parameter.grad is not None
        slope = float((parameter.grad * direction).sum())
        with torch.no_grad():
            parameter.add_(direction, alpha=1e-3)
            above = float(loss())
            parameter.add_(direction, alpha=-2e-3)
            below = float(loss())
            parameter.add_(direction, alpha=1e-3)
        assert (above - below) / 2e-3 == pytest.approx(slope, rel=2e-3, abs=2e-5), name


def test_gradients_by_published_name_are_those_of_transformers(
    grouped_lengths: list[int], make_config: Maker, make_pair: Maker
) -> None:
    pair = make_pair(make_config(max_position_embeddings=200, num_hidden_layers=3), grouped_lengths)
    labels = torch.arange(len(grouped_lengths)) % 3
    F.cross_entropy(pair.model.train()(pair.batch), labels).backward()  # type: ignore[no-untyped-call]
    pair.peer.train()(pair.ids, pair.mask, pair.segments, labels=labels).loss.backward()
    ours = to_published({name: one.grad for name, one in pair.model.named_parameters()}, "sequence")
    theirs = {name: one.grad for name, one in pair.peer.named_parameters()}
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, atol=2e-6, rtol=1e-3, msg=f"{name}: {{}}".format)
    assert sum(float(one.abs().sum()) > 0 for one in theirs.values()) == len(theirs)


def test_activations_are_those_of_transformers() -> None:
    activations = pytest.importorskip("transformers.activations")
    x = torch.linspace(-6, 6, 1001)
    for name in ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu"):
        torch.testing.assert_close(activate(x, name), activations.ACT2FN[name](x), atol=1e-6, rtol=0)
    assert (activate(x, "gelu") - activate(x, "gelu_new")).abs().max() > 1e-4


def test_new_weights_are_a_truncated_normal(make_config: Maker) -> None:
    config = make_config(vocab_size=2000, hidden_size=96, intermediate_size=400, use_relative_positions=True)
    model = BertModel(config, "sequence", 3, torch.Generator().manual_seed(0))
    # A normal cut at two deviations keeps sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)) = 0.8796 of its deviation.
    for name, weights in model.state_dict().items():
        if name.endswith("bias"):
            assert not weights.any(), name
        elif "norm" in name:
            assert (weights == 1).all(), name
        else:
            assert weights.abs().max() <= 0.04, name
            error = 4 / math.sqrt(weights.numel())  # four standard errors, in deviations
            assert abs(float(weights.mean())) < 0.02 * error, name
            assert float(weights.std()) == pytest.approx(0.02 * 0.8796, rel=error), name
    assert model.state_dict()["encoder.embeddings.word.weight"].abs().max() > 0.039


def test_the_generator_decides_new_weights(make_config: Maker) -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        return BertModel(make_config(), "token", 3, torch.Generator().manual_seed(seed)).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.classifier.weight"], other["head.classifier.weight"])


def test_initialise_sets_every_part_anew(make_config: Maker, make_model: Maker) -> None:
    model = make_model(make_config())
    initialise(model, 0.5, torch.Generator().manual_seed(0))
    expected = BertModel(make_config(initializer_range=0.5), "sequence", 3, torch.Generator().manual_seed(0))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name]), name


def test_ids_and_positions_out_of_range_are_refused(make_config: Maker, make_model: Maker) -> None:
    config = make_config()
    model = make_model(config)
    with pytest.raises(IndexError):
        model.encoder(torch.tensor([61]), None, PackedLayout(torch.tensor([1])))
    with pytest.raises(IndexError):
        model.encoder(torch.zeros(33, dtype=torch.int64), None, PackedLayout(torch.tensor([33])))
