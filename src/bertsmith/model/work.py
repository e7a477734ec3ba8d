"""The arithmetic of training: how much of it a token takes, whatever computes it.

Enters: a configuration. Leaves: floating-point operations. They are those of matrix products, which are nearly all
(Kaplan et al. 2020, "Scaling laws for neural language models", table 1; here with attention, and with a head that
guesses at some tokens alone). Recomputing and padding are not counted: a better program would not do that work.
"""

from __future__ import annotations

from bertsmith.model.config import BertConfig


def training_flops(config: BertConfig, *, span: float, guessed: float) -> float:
    """Operations that a token takes in a training step, forward and backward: three times those forward.

    span:    tokens that a token attends to, on average over tokens
    guessed: share of the tokens at which the vocabulary is guessed at

    >>> f"{training_flops(BertConfig(), span=128, guessed=0.15):.3g}"
    '5.45e+08'
    """
    width, inner = config.hidden_size, config.intermediate_size
    projections = 4 * width * width + 2 * width * inner
    attention = 2 * width * span
    head = guessed * (width * width + width * config.vocab_size)
    multiplications = config.num_hidden_layers * (projections + attention) + head
    return 3 * 2 * multiplications
