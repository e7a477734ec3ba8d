from __future__ import annotations

import json
from enum import Enum
from pathlib import Path

import numpy as np
import torch

from bertsmith.report.plain import dump_json, plain


class Kind(Enum):
    FIRST = "first"


def test_every_kind_of_value() -> None:
    assert plain(
        {
            1: Kind.FIRST,
            "array": np.array([[1.5, np.inf], [2.0, 3.0]], np.float32),
            "flag": np.bool_(True),
            "tensor": torch.tensor(3),
            "set": {"b", "a"},
            "path": Path("x"),
            "none": None,
        }
    ) == {
        "1": "first",
        "array": [[1.5, None], [2.0, 3.0]],
        "flag": True,
        "tensor": 3,
        "set": ["a", "b"],
        "path": "x",
        "none": None,
    }


def test_any_text_comes_back() -> None:
    text = 'größer "x" \\ud800 \ud800 \x00 日本語'
    encoded = dump_json({"text": text}).encode("utf-8")
    assert "日本語".encode() in encoded
    assert json.loads(encoded)["text"] == text
