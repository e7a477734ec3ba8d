"""Where a model looks: its attention, by layer and head.

Enters: one sequence. Leaves: the probability with which each token attends to each other (Clark et al. 2019, "What does
BERT look at?").
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bertsmith.model.heads import EncoderModel
from bertsmith.model.layout import PackedLayout
from bertsmith.text.ragged import Ragged
from bertsmith.training.precision import Precision


@torch.inference_mode()
def attention_maps(model: EncoderModel, sequence: Ragged, precision: Precision) -> NDArray[np.float32]:
    """The attention of a model on one sequence, (L, H, T, T): of layer, head, token, the tokens it attends to."""
    model.eval()
    ids = torch.from_numpy(sequence.ids.astype(np.int64)).to(precision.device)
    segments = torch.from_numpy(sequence.segments.astype(np.int64)).to(precision.device)
    layout = PackedLayout(torch.from_numpy(sequence.lengths), precision.device)
    with precision.compute():
        layers = model.encoder(ids, segments, layout, attentions=True).attentions
    length = len(sequence.ids)
    kept = [groups[0][0, :, :length, :length].float().cpu().numpy() for groups in layers]  # each (H, T, T)
    return np.stack(kept)
