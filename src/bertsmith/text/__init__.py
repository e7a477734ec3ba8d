"""Raw text to tokens: sources of text, vocabularies, WordPiece, and the ragged rows that all data here is.

`Tokenizer` is the one to use; `wordpiece.py` is the one to read.
"""

from bertsmith.text.join import Truncation
from bertsmith.text.pieces import Pieces, TokenizedText
from bertsmith.text.ragged import Ragged
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import read_vocabulary
from bertsmith.text.wordpiece import WordPiece

__all__ = ["Pieces", "Ragged", "TokenizedText", "Tokenizer", "Truncation", "WordPiece", "read_vocabulary"]
