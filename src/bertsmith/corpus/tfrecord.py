"""Instances as TFRecord files, as google-research/bert's run_pretraining.py reads them.

Enters: batches of instances. Leaves: files of ``tf.train.Example`` with the features that create_pretraining_data.py
writes, padded with zeros. Knows nothing of TensorFlow.

A record is its length, the checksum of that, its bytes, and the checksum of those. The bytes are protocol buffers,
encoded here field by field; that needs two kinds of field, varints packed into a run of bytes, and runs of bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from bertsmith.corpus.instances import MaskedBatch
from bertsmith.errors import SettingsError
from bertsmith.files import write_bytes

PER_FILE = 20_000  # instances in a file: about 25 MB at 128 tokens


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
        for example in examples(batch, max_length=max_length, max_predictions=max_predictions):
            waiting.append(record(example))
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


def record(content: bytes) -> bytes:
    """A TFRecord record: content with its length and checksums (CRC-32C, masked)."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(content))
    return b"".join(
        [length, struct.pack("<I", masked_crc32c(length)), content, struct.pack("<I", masked_crc32c(content))]
    )


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
