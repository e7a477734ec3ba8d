"""Instances as TFRecord files, as google-research/bert's run_pretraining.py reads them.

Enters: batches of instances. Leaves: files of ``tf.train.Example`` with the features that create_pretraining_data.py
writes, padded with zeros. Knows nothing of TensorFlow.

A record is its length, the checksum of that, its bytes, and the checksum of those. The bytes are protocol buffers,
encoded here field by field; that needs two kinds of field, varints packed into a run of bytes, and runs of bytes.
Checksums are computed for many records at a time, a byte of each in one operation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertsmith.corpus.instances import MaskedBatch
from bertsmith.errors import SettingsError
from bertsmith.files import write_bytes

PER_FILE = 20_000  # instances in a file: about 16 MB at 128 tokens
_POLYNOMIAL = 0x82F63B78  # of CRC-32C, its lowest power in the highest bit
_MASK = 0xA282EAD8  # what TFRecord adds to a checksum


def write_tfrecords(
    folder: str | Path, batches: Iterable[MaskedBatch], *, max_length: int, max_predictions: int
) -> list[Path]:
    """Write all instances of ``batches`` into files instances-00000.tfrecord and so on; the files, in order.

    max_length:      tokens that an instance is padded to
    max_predictions: masked places that they are padded to, run_pretraining's ``max_predictions_per_seq``

    Raises `SettingsError` for an instance that is longer or has more masked places, `OutputError` when the place is
    full or not writable.
    """
    paths: list[Path] = []
    waiting: list[bytes] = []

    def flush() -> None:
        path = Path(folder) / f"instances-{len(paths):05}.tfrecord"
        write_bytes(path, b"".join(waiting))
        paths.append(path)
        waiting.clear()

    for batch in batches:
        for record in records(list(examples(batch, max_length=max_length, max_predictions=max_predictions))):
            waiting.append(record)
            if len(waiting) == PER_FILE:
                flush()
    if waiting:
        flush()
    return paths


def examples(batch: MaskedBatch, *, max_length: int, max_predictions: int) -> Iterator[bytes]:
    """Each instance of a batch as an encoded ``tf.train.Example``."""
    for row in range(len(batch)):
        one = batch.part(row, row + 1)
        length, masked = len(one.ids), len(one.masked_ids)
        if length > max_length or masked > max_predictions:
            raise SettingsError(
                f"an instance of {length} tokens with {masked} masked does not fit --max-length {max_length} and "
                f"--max-predictions {max_predictions}; give more"
            )
        padding, places = [0] * (max_length - length), [0] * (max_predictions - masked)
        yield example(
            {
                "input_ids": integers(one.ids.tolist() + padding),
                "input_mask": integers([1] * length + padding),
                "segment_ids": integers(one.segments.tolist() + padding),
                "masked_lm_positions": integers(one.masked_places.tolist() + places),
                "masked_lm_ids": integers(one.masked_ids.tolist() + places),
                "masked_lm_weights": floats([1] * masked + places),
                "next_sentence_labels": integers([int(one.random_next[0])]),
            }
        )


def records(contents: Sequence[bytes]) -> list[bytes]:
    """The TFRecord record of each content, which is of four bytes or more."""
    framed = zip(contents, checksums(contents), strict=True)
    return [_length(len(content)) + content + _masked(checksum) for content, checksum in framed]


def checksums(contents: Sequence[bytes]) -> list[int]:
    """The CRC-32C of each content, which is of four bytes or more.

    >>> [f"{checksum:08x}" for checksum in checksums([b"123456789", bytes(32)])]
    ['e3069283', '8a9136aa']
    """
    longest = max(map(len, contents), default=0)
    # The last bytes of all stand in one row. Before the first ones are zeros, which leave a sum of zero as it is; the
    # ones that every sum begins with are laid over the first four bytes instead.
    rows = np.zeros((longest, len(contents)), np.uint8)
    for column, content in enumerate(contents):
        start = longest - len(content)
        rows[start:, column] = np.frombuffer(content, np.uint8)
        rows[start : start + 4, column] ^= 0xFF
    table, sums = _table(), np.zeros(len(contents), np.uint32)
    for row in rows:
        sums = table[(sums ^ row) & 0xFF] ^ (sums >> 8)
    found: list[int] = (~sums).tolist()
    return found


@cache
def _table() -> NDArray[np.uint32]:
    """(256,) what the byte that leaves a sum adds to the rest of it."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@cache
def _length(value: int) -> bytes:
    """A length as it begins a record, with its checksum."""
    length = struct.pack("<Q", value)
    return length + _masked(*checksums([length]))


def _masked(checksum: int) -> bytes:
    """A checksum as TFRecord writes it: a checksum of data that hold checksums would be weak, so it is disguised."""
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF)


def example(features: dict[str, bytes]) -> bytes:
    """An encoded ``tf.train.Example`` of encoded features by name."""
    entries = (run(1, name.encode()) + run(2, feature) for name, feature in features.items())
    return run(1, b"".join(run(1, entry) for entry in entries))


def integers(values: Sequence[int]) -> bytes:
    """An encoded ``tf.train.Feature`` of an ``int64_list``; values from 0 up."""
    return run(3, run(1, b"".join(map(varint, values))))


def floats(values: Sequence[float]) -> bytes:
    """An encoded ``tf.train.Feature`` of a ``float_list``."""
    return run(2, run(1, struct.pack(f"<{len(values)}f", *values)))


def run(field: int, content: bytes) -> bytes:
    """An encoded field of a run of bytes: a string, a message, or packed numbers."""
    return varint(field << 3 | 2) + varint(len(content)) + content


@cache
def varint(value: int) -> bytes:
    """A number from 0 up in groups of seven bits, the lowest first, the top bit set in all but the last.

    >>> varint(300).hex()
    'ac02'
    """
    groups = bytearray()
    while value >= 128:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)
