"""The card of a pretrained encoder, read as the hub reads it."""

from __future__ import annotations

import re
import shlex

import pytest
from huggingface_hub import ModelCard

from bertsmith.cli.app import build
from bertsmith.report.pretraining_card import PretrainingCard, render_pretraining_card


@pytest.mark.parametrize(
    ("architecture", "pipeline"), [("BertForPreTraining", "fill-mask"), ("BertForNextSentencePrediction", None)]
)
def test_the_card_says_what_the_model_is_and_how_to_use_it(architecture: str, pipeline: str | None) -> None:
    text = render_pretraining_card(
        PretrainingCard(
            name="my | model",
            learnt="to guess",
            architecture=architecture,
            scores={"mlm_loss": 4.3684},
            unigram_loss=7.036,
            parameters=5_529_090,
            tokens=23_105_334,
            settings={"mask_rate": 0.3, "phases": "a|b"},
        )
    )
    card = ModelCard(text)
    assert card.data.pipeline_tag == pipeline
    assert card.data.model_name == "my | model"
    assert "| MLM loss | 4.368 |" in text
    assert "| guessing by frequency alone | 7.036 |" in text
    assert "5.5M parameters, trained on 23.1M tokens" in text
    assert "| phases | a\\|b |" in text
    commands = re.findall(r"^bertsmith (.+)$", text, re.MULTILINE)
    assert len(commands) == (1 if pipeline is None else 2)
    for command in commands:  # the command line takes what the card shows
        build().parse_args(shlex.split(command), print_error=False, exit_on_error=False)
