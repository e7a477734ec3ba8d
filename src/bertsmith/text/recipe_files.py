"""The files of a tokenizer, as transformers names them.

Enters: a folder with ``tokenizer.json``, or with ``vocab.txt`` and ``tokenizer_config.json``. Leaves: a `Recipe`, and
those files written again. Knows nothing of texts.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from bertsmith.errors import TokenizerError
from bertsmith.files import write_text
from bertsmith.text.recipe import AddedToken, Recipe
from bertsmith.text.vocabulary import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, UNK, check_vocabulary, read_vocabulary
from bertsmith.text.wordpiece import CONTINUED, LONGEST_WORD


def read_folder(folder: str | Path) -> Recipe:
    """The recipe of a checkpoint folder: its ``tokenizer.json``, else ``vocab.txt`` with ``tokenizer_config.json``."""
    folder = Path(folder)
    if (folder / "tokenizer.json").is_file():
        return read_json(folder / "tokenizer.json")
    if not (folder / "vocab.txt").is_file():
        raise TokenizerError(f"{folder}: neither tokenizer.json nor vocab.txt; copy the tokenizer's files there")
    settings: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").is_file():
        settings = load_object(folder / "tokenizer_config.json")
    return Recipe.of_vocabulary(
        read_vocabulary(folder / "vocab.txt"),
        lowercase=bool(settings.get("do_lower_case", True)),
        strip_accents=settings.get("strip_accents"),
        tokenize_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
    )


def read_json(path: str | Path) -> Recipe:
    """The recipe of a ``tokenizer.json``.

    Raises `TokenizerError` for anything but BERT's own WordPiece: the tokens would not be those that the model was
    trained on.
    """
    path = Path(path)
    document = load_object(path)
    try:
        return recipe_of(document, where=str(path))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TokenizerError(f"{path}: not laid out as a tokenizer.json ({error!r}); fetch the file again") from error


def recipe_of(document: dict[str, Any], *, where: str) -> Recipe:
    """The recipe of the JSON object in a ``tokenizer.json``; ``where`` names it in errors."""
    model = document.get("model") or {}
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
    if kind != "WordPiece" or not isinstance(model.get("vocab"), dict):
        raise TokenizerError(f"{where}: a {kind} tokenizer; only BERT's WordPiece is read here")
    normalizer = document.get("normalizer") or {}
    expected = {
        "normalizer": (normalizer.get("type"), "BertNormalizer"),
        "normalizer.clean_text": (normalizer.get("clean_text", True), True),
        "pre_tokenizer": ((document.get("pre_tokenizer") or {}).get("type"), "BertPreTokenizer"),
        "model.unk_token": (model.get("unk_token", UNK), UNK),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix", CONTINUED), CONTINUED),
        "model.max_input_chars_per_word": (model.get("max_input_chars_per_word", LONGEST_WORD), LONGEST_WORD),
    }
    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise TokenizerError(f"{where}: {name} is {found!r}, not {wanted!r}; only BERT's WordPiece is read here")
    pieces = tokens_by_id(model["vocab"], where=where)
    vocabulary = list(pieces)
    added = {}
    for entry in sorted(document.get("added_tokens") or [], key=lambda entry: int(entry["id"])):
        known = {field.name: entry[field.name] for field in fields(AddedToken) if field.name in entry}
        token = AddedToken(**{"content": entry["content"], **known})
        added[token.content] = token
        if token.id == len(vocabulary):
            vocabulary.append(token.content)
        elif token.id > len(vocabulary) or vocabulary[token.id] != token.content:
            raise TokenizerError(
                f"{where}: the added token {token.content!r} has id {token.id}, not its place in the vocabulary"
            )
    check_vocabulary(vocabulary, where=where)
    for content in SPECIAL_TOKENS:
        added.setdefault(content, AddedToken(vocabulary.index(content), content))
    return Recipe(
        vocabulary=tuple(vocabulary),
        num_pieces=len(pieces),
        lowercase=bool(normalizer.get("lowercase", True)),
        strip_accents=normalizer.get("strip_accents"),
        tokenize_chinese_chars=bool(normalizer.get("handle_chinese_chars", True)),
        added=tuple(sorted(added.values(), key=lambda token: token.id)),
    )


def tokens_by_id(ids: dict[str, int], *, where: str) -> list[str]:
    """The tokens of a ``{token: id}`` mapping in the order of their ids, which must be 0, 1, 2, …"""
    ordered = sorted(ids, key=ids.__getitem__)
    for place, token in enumerate(ordered):
        if ids[token] != place:
            raise TokenizerError(
                f"{where}: id {place} has no token (the next, {token!r}, is {ids[token]}); ids must be 0, 1, 2, …"
            )
    return ordered


def load_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TokenizerError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: not UTF-8 (byte {error.start}); the file is damaged, fetch it again") from error
    except json.JSONDecodeError as error:
        raise TokenizerError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}); fetch the file again"
        ) from error
    if not isinstance(value, dict):
        raise TokenizerError(f"{path}: a JSON {type(value).__name__}, not an object; fetch the file again")
    return value


def write_folder(recipe: Recipe, folder: str | Path, *, max_length: int) -> None:
    """Write ``tokenizer.json``, ``vocab.txt``, ``tokenizer_config.json`` and ``special_tokens_map.json``.

    ``max_length`` is the length at which transformers warns and cuts by default: the model's positions. Raises
    `OutputError` when the place is full or not writable.
    """
    names = {"pad_token": PAD, "unk_token": UNK, "cls_token": CLS, "sep_token": SEP, "mask_token": MASK}
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": recipe.lowercase,
        "strip_accents": recipe.strip_accents,
        "tokenize_chinese_chars": recipe.tokenize_chinese_chars,
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": True,
        **names,
    }
    folder = Path(folder)
    write_text(folder / "tokenizer.json", recipe.json())
    write_text(folder / "vocab.txt", "".join(f"{token}\n" for token in recipe.vocabulary))
    write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")
    write_text(folder / "special_tokens_map.json", json.dumps(names, indent=2) + "\n")
