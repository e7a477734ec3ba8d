"""A model as a graph that other runtimes compute: OpenVINO's, and ONNX.

Enters: a model. Leaves: a graph over padded batches, whose inputs are ``input_ids``, ``token_type_ids`` and
``attention_mask``, (B, T) int64 each, as published exports name them, and whose one output is (B, C) for heads by
sequence and (B, T, C) for heads by token. Knows nothing of texts.
"""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, nn

from bertsmith.model.heads import EncoderModel
from bertsmith.model.layout import PaddedLayout

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
OUTPUT = "output"


class PaddedModel(nn.Module):
    """A model on padded tensors, as exports are traced from it."""

    def __init__(self, model: EncoderModel) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T) int64 three times, the mask 1 at tokens and 0 at padding -> (B, C) or (B, T, C)."""
        outputs: Tensor = self.model.logits(input_ids, token_type_ids, PaddedLayout(attention_mask))
        return outputs


def example_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """A batch of two sequences, one of them padded: what a trace runs on."""
    ids = torch.ones(2, 8, dtype=torch.int64)
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    return ids, torch.zeros_like(ids), mask


@torch.no_grad()
def to_openvino(model: EncoderModel) -> Any:
    """The graph as an ``openvino.Model`` in fp32."""
    import openvino

    was_training = model.training
    traced = torch.jit.trace(PaddedModel(model).eval(), example_inputs(), check_trace=False)  # type: ignore[no-untyped-call]
    model.train(was_training)
    graph = openvino.convert_model(traced, example_input=example_inputs())
    for port, name in zip(graph.inputs, INPUTS, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_friendly_name(name)
    graph.outputs[0].get_tensor().set_names({OUTPUT})
    return graph


@torch.no_grad()
def to_onnx(model: EncoderModel) -> bytes:
    """The graph as an ONNX file in fp32."""
    was_training = model.training
    file = io.BytesIO()
    axes = {name: {0: "batch", 1: "sequence"} for name in INPUTS}
    torch.onnx.export(
        PaddedModel(model).eval(),
        example_inputs(),
        file,  # type: ignore[arg-type]  # the exporter without dynamo writes to any file
        input_names=list(INPUTS),
        output_names=[OUTPUT],
        dynamic_axes={**axes, OUTPUT: {0: "batch"}},
        opset_version=18,
        dynamo=False,
    )
    model.train(was_training)
    return file.getvalue()
