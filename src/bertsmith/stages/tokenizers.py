"""What a person passes as ``--tokenizer``, opened."""

from __future__ import annotations

from pathlib import Path

from bertsmith.checkpoint import resolve
from bertsmith.text import Tokenizer, read_vocabulary
from bertsmith.text.wordpiece import CONTINUED


def open_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``, a ``vocab.txt``, a folder of them, ``starter``, or a name on the hub.

    A bare ``vocab.txt`` does not say whether it is cased; it is when any of its words has a capital letter.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        return Tokenizer.from_folder(resolve(name))
    if path.suffix == ".json":
        return Tokenizer.from_file(path)
    vocabulary = read_vocabulary(path)
    cased = any(token != token.lower() for token in vocabulary if token.removeprefix(CONTINUED).isalpha())
    return Tokenizer.from_vocabulary(vocabulary, lowercase=not cased)
