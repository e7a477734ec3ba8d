"""Vocabularies: the list of tokens by id, and the file ``vocab.txt`` that holds one token a line.

Enters: a path or a list. Leaves: a checked list of tokens. Knows nothing of how text is split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bertsmith.errors import TokenizerError

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL_TOKENS = (PAD, UNK, CLS, SEP, MASK)  # every BERT vocabulary has these five


def read_vocabulary(path: str | Path) -> list[str]:
    """The tokens of a ``vocab.txt``, one a line, by id (the first line is id 0).

    A byte-order mark, CRLF line ends and blank lines at the end are passed over. Only line feeds end a line: tokens may
    be such characters as U+2028 or U+0085.

    Raises `TokenizerError`, naming the line, for a file that cannot be read, is not UTF-8, or fails
    `check_vocabulary`.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"cannot read the vocabulary {path}: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TokenizerError(f"{path}, line {line}: not UTF-8; save the vocabulary as UTF-8") from error
    tokens = [line.removesuffix("\r") for line in text.split("\n")]
    while tokens and not tokens[-1].strip():
        tokens.pop()
    return check_vocabulary(tokens, where=str(path), unit="line", first=1)


def check_vocabulary(
    tokens: Sequence[str], *, where: str = "the vocabulary", unit: str = "id", first: int = 0
) -> list[str]:
    """``tokens`` as a list, if they are all different, not blank, and hold the five special tokens.

    ``unit`` and ``first`` say how an error names a token's place: by id from 0, or by line from 1.
    """
    tokens = list(tokens)
    if not tokens:
        raise TokenizerError(f"{where}: no tokens; a vocabulary has one token a line")
    places: dict[str, int] = {}
    for place, token in enumerate(tokens, start=first):
        if not token:
            raise TokenizerError(
                f"{where}, {unit} {place}: blank; put a token such as [unused{place}] there, or the ids after it shift"
            )
        if token in places:
            raise TokenizerError(
                f"{where}, {unit} {place}: the token {token!r} is already on {unit} {places[token]}; keep one"
            )
        places[token] = place
    missing = [token for token in SPECIAL_TOKENS if token not in places]
    if missing:
        raise TokenizerError(f"{where}: no {', '.join(missing)}; a BERT vocabulary holds {' '.join(SPECIAL_TOKENS)}")
    return tokens
