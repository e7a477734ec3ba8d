"""Reading vocab.txt, and what is refused."""

from __future__ import annotations

import re

import pytest

from bertsmith.errors import TokenizerError
from bertsmith.text.vocabulary import SPECIAL_TOKENS, check_vocabulary, read_vocabulary

TOKENS = [*SPECIAL_TOKENS, "a", "##b", "\u2028", "\u0085", "\u3000x"]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "end", "end end"])
def test_marks_line_ends_and_blank_lines_at_the_end(tmp_path, start, end, tail) -> None:
    file = tmp_path / "vocab.txt"
    file.write_bytes(start + (end.join(TOKENS) + tail.replace("end", end)).encode())
    assert read_vocabulary(file) == TOKENS


@pytest.mark.parametrize(("name", "size"), [("uncased", 30522), ("cased", 28996), ("chinese", 21128)])
def test_published_vocabularies(name, size, published) -> None:
    tokens = read_vocabulary(published(name))
    assert len(tokens) == size
    assert [tokens.index(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")] == [0, 100, 101, 102, 103]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[PAD]\n[UNK]\na\nb\na\n", "line 5: the token 'a' is already on line 3"),
        (b"[PAD]\n\na\n", "line 2: blank"),
        (b"[PAD]\n[UNK]\n[SEP]\na\n", r"no \[CLS\], \[MASK\];"),
        (b"[PAD]\nok\n\xff\xfe\n", "line 3: not UTF-8"),
        (b"", "no tokens"),
        (b"\n\r\n", "no tokens"),
    ],
)
def test_what_is_refused(tmp_path, content, message) -> None:
    file = tmp_path / "vocab.txt"
    file.write_bytes(content)
    with pytest.raises(TokenizerError, match=message) as caught:
        read_vocabulary(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(TokenizerError, match=re.escape(str(tmp_path / "none.txt"))):
        read_vocabulary(tmp_path / "none.txt")


def test_a_list_is_named_by_id() -> None:
    with pytest.raises(TokenizerError, match="id 5: the token 'x' is already on id 0"):
        check_vocabulary(["x", *SPECIAL_TOKENS[1:], "x"])
    assert check_vocabulary(TOKENS) == TOKENS
