"""What every test of the model needs: small batches in both layouts, and transformers' model with the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from bertsmith.checkpoint import to_published
from bertsmith.model import Batch, BertConfig, BertModel, PackedLayout
from bertsmith.model.heads import HeadKind

# Unlike enough that attention takes them in several groups, whatever exactly a group is taken to cost.
GROUPED = [2, 200, 1, 60, 3, 200, *[1, 2, 60, 3] * 9, 200]

PEERS: dict[HeadKind, str] = {
    "sequence": "BertForSequenceClassification",
    "choice": "BertForMultipleChoice",
    "token": "BertForTokenClassification",
    "span": "BertForQuestionAnswering",
}


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Threads cost more than they give at these sizes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def make_config() -> Callable[..., BertConfig]:
    """A tiny configuration without dropout, with any field set otherwise."""

    def make(**fields: Any) -> BertConfig:
        tiny: dict[str, Any] = {
            "vocab_size": 61,
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "intermediate_size": 40,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "max_position_embeddings": 32,
        }
        return BertConfig(**{**tiny, **fields})

    return make


@pytest.fixture(scope="session")
def make_model() -> Callable[..., BertModel]:
    """A model in evaluation mode whose weights are large enough, biases and norms included, for errors to show."""

    def make(config: BertConfig, head: HeadKind = "sequence", num_outputs: int = 3, seed: int = 0) -> BertModel:
        generator = torch.Generator().manual_seed(seed)
        model = BertModel(config, head, num_outputs, generator)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.15)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """A packed batch of random ids but 0, [PAD]; each sequence is segment 0 up to a random place, and 1 from there."""

    def make(lengths: Sequence[int], config: BertConfig, seed: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(1, config.vocab_size, (sum(lengths),), generator=generator)
        segments = [
            (torch.arange(length) >= torch.randint(1, length + 1, (1,), generator=generator)).long()
            for length in lengths
        ]
        return Batch(ids, torch.cat(segments), torch.tensor(lengths))

    return make


@pytest.fixture(scope="session")
def pad() -> Callable[[Tensor, Tensor], Tensor]:
    """Packed (N, ...) and lengths (B,) to padded (B, T, ...), zero at padding."""

    def pad(x: Tensor, lengths: Tensor) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(list(x.split(lengths.tolist())), batch_first=True)

    return pad


@pytest.fixture(scope="session")
def mask_of() -> Callable[[Tensor], Tensor]:
    """Lengths (B,) to the mask (B, T), 1 at tokens."""

    def mask_of(lengths: Tensor) -> Tensor:
        return (torch.arange(int(lengths.max())) < lengths[:, None]).long()

    return mask_of


@dataclass(frozen=True)
class Pair:
    """A model and transformers' of the same head and weights, and one batch in both layouts.

    peer:                transformers' model, with attention written out
    ids, segments, mask: (B, T), padded; the mask is 1 at tokens
    """

    model: BertModel
    peer: Any
    batch: Batch
    ids: Tensor
    segments: Tensor
    mask: Tensor


@pytest.fixture(scope="session")
def make_pair(
    make_model: Callable[..., BertModel],
    make_batch: Callable[..., Batch],
    pad: Callable[[Tensor, Tensor], Tensor],
    mask_of: Callable[[Tensor], Tensor],
) -> Callable[..., Pair]:
    """A pair of models in evaluation mode, with a batch of the given lengths."""
    transformers = pytest.importorskip("transformers")

    def make(config: BertConfig, lengths: Sequence[int], head: HeadKind = "sequence", num_outputs: int = 3) -> Pair:
        model, batch = make_model(config, head, num_outputs), make_batch(lengths, config)
        published = transformers.BertConfig(**config.to_dict(), num_labels=num_outputs)
        published._attn_implementation = "eager"
        peer = getattr(transformers, PEERS[head])(published).eval()
        peer.load_state_dict(to_published(model.state_dict(), head))
        ids, segments = pad(batch.ids, batch.lengths), pad(batch.segments, batch.lengths)
        return Pair(model, peer, batch, ids, segments, mask_of(batch.lengths))

    return make


@pytest.fixture(scope="session")
def grouped_lengths() -> list[int]:
    """Lengths up to 200 that a packed layout puts into several groups."""
    assert len(PackedLayout(torch.tensor(GROUPED)).groups) > 2
    return GROUPED
