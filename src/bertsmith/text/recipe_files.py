"""The files of a tokenizer, as transformers names them.

Enters: a folder with ``tokenizer.json``, or with ``vocab.txt``, ``tokenizer_config.json`` and ``added_tokens.json``.
Leaves: a `Recipe`, and files that say it again. Knows nothing of texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from bertsmith.errors import TokenizerError
from bertsmith.files import read_json, write_json, write_text
from bertsmith.text.recipe import AddedToken, Recipe
from bertsmith.text.vocabulary import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, UNK, check_vocabulary, read_vocabulary
from bertsmith.text.wordpiece import CONTINUED, LONGEST_WORD


def read_folder(folder: str | Path) -> Recipe:
    """The recipe of a checkpoint folder: its ``tokenizer.json``, else its ``vocab.txt`` and what stands beside it."""
    folder = Path(folder)
    if (folder / "tokenizer.json").is_file():
        return read_tokenizer_json(folder / "tokenizer.json")
    if not (folder / "vocab.txt").is_file():
        raise TokenizerError(f"{folder}: neither tokenizer.json nor vocab.txt; copy the tokenizer's files there")
    settings: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").is_file():
        settings = read_json(folder / "tokenizer_config.json", TokenizerError)
    recipe = Recipe.of_vocabulary(
        read_vocabulary(folder / "vocab.txt"),
        lowercase=bool(settings.get("do_lower_case", True)),
        strip_accents=settings.get("strip_accents"),
        tokenize_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
    )
    return read_added(recipe, folder, settings)


def read_max_length(folder: str | Path) -> float | None:
    """The length at which a folder's tokenizer cuts in transformers, ``model_max_length``; ``None`` if it names none.

    It may be huge, such as 1e30, for no limit.
    """
    path = Path(folder) / "tokenizer_config.json"
    named = read_json(path, TokenizerError).get("model_max_length") if path.is_file() else None
    return named if isinstance(named, int | float) and named >= 1 else None


def read_added(recipe: Recipe, folder: Path, settings: Mapping[str, Any]) -> Recipe:
    """``recipe`` with the tokens added to a ``vocab.txt``: of ``tokenizer_config.json`` where it lists them, else of
    the older ``added_tokens.json``, which gives their ids alone."""
    if "added_tokens_decoder" in settings:
        path = folder / "tokenizer_config.json"
        listed = settings["added_tokens_decoder"]
    elif (folder / "added_tokens.json").is_file():
        path = folder / "added_tokens.json"
        listed = {
            number: {"content": token, "special": token in SPECIAL_TOKENS, "normalized": token not in SPECIAL_TOKENS}
            for token, number in read_json(path, TokenizerError).items()
        }
    else:
        return recipe
    try:
        return with_added(recipe, [{"id": int(number), **token} for number, token in listed.items()], where=str(path))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TokenizerError(f"{path}: not laid out as added tokens ({error!r}); fetch the file again") from error


def read_tokenizer_json(path: str | Path) -> Recipe:
    """The recipe of a ``tokenizer.json``.

    Raises `TokenizerError` for anything but BERT's own WordPiece: the tokens would not be those that the model was
    trained on.
    """
    path = Path(path)
    document = read_json(path, TokenizerError)
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
    recipe = Recipe(
        vocabulary=tuple(pieces),
        num_pieces=len(pieces),
        lowercase=bool(normalizer.get("lowercase", True)),
        strip_accents=normalizer.get("strip_accents"),
        tokenize_chinese_chars=bool(normalizer.get("handle_chinese_chars", True)),
        added=(),
    )
    return with_added(recipe, document.get("added_tokens") or [], where=where)


def with_added(recipe: Recipe, entries: Iterable[Mapping[str, Any]], *, where: str) -> Recipe:
    """``recipe`` with the tokens that ``entries`` describe, as `AddedToken` does, and with the five special tokens.

    Raises `TokenizerError` for an id that is neither the token's own nor the next one after the vocabulary.
    """
    vocabulary = list(recipe.vocabulary)
    added = {token.content: token for token in recipe.added}
    for entry in sorted(entries, key=lambda entry: int(entry["id"])):
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
    return replace(
        recipe, vocabulary=tuple(vocabulary), added=tuple(sorted(added.values(), key=lambda token: token.id))
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
    write_json(folder / "tokenizer_config.json", config)
    write_json(folder / "special_tokens_map.json", names)
