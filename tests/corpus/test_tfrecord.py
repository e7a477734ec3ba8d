"""TFRecord files, read back by others' readers: TensorBoard's and, where it is installed, TensorFlow's."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorboardX.crc32c import crc32c

from bertsmith.corpus import tfrecord
from bertsmith.corpus.instances import MaskedBatch
from bertsmith.corpus.tfrecord import checksums, records, write_tfrecords
from bertsmith.errors import SettingsError

LENGTH, PREDICTIONS = 16, 4
# The features that run_pretraining.py of google-research/bert parses (`name_to_features` of input_fn_builder).
FEATURES: dict[str, tuple[int, type]] = {
    "input_ids": (LENGTH, int),
    "input_mask": (LENGTH, int),
    "segment_ids": (LENGTH, int),
    "masked_lm_positions": (PREDICTIONS, int),
    "masked_lm_ids": (PREDICTIONS, int),
    "masked_lm_weights": (PREDICTIONS, float),
    "next_sentence_labels": (1, int),
}


@pytest.fixture
def batch() -> MaskedBatch:
    """A pair of 12 tokens with 3 masked, and one of 16 with 4; ids of one, two and three bytes."""
    return MaskedBatch(
        ids=np.array(
            [101, 5, 103, 127, 102, 300, 103, 30_521, 128, 16_384, 103, 102, 101, *range(9, 15), 102, *range(8)]
        ),
        segments=np.array([0] * 5 + [1] * 7 + [0] * 8 + [1] * 8),
        lengths=np.array([12, 16]),
        masked_places=np.array([2, 6, 10, 13, 14, 21, 22]),
        masked_ids=np.array([70_000, 7, 129, 1, 2, 3, 4]),
        masked_counts=np.array([3, 4]),
        random_next=np.array([True, False]),
    )


EXPECTED: list[dict[str, list[Any]]] = [
    {
        "input_ids": [101, 5, 103, 127, 102, 300, 103, 30_521, 128, 16_384, 103, 102, 0, 0, 0, 0],
        "input_mask": [1] * 12 + [0] * 4,
        "segment_ids": [0] * 5 + [1] * 7 + [0] * 4,
        "masked_lm_positions": [2, 6, 10, 0],
        "masked_lm_ids": [70_000, 7, 129, 0],
        "masked_lm_weights": [1.0, 1.0, 1.0, 0.0],
        "next_sentence_labels": [1],
    },
    {
        "input_ids": [101, *range(9, 15), 102, *range(8)],
        "input_mask": [1] * 16,
        "segment_ids": [0] * 8 + [1] * 8,
        "masked_lm_positions": [1, 2, 9, 10],
        "masked_lm_ids": [1, 2, 3, 4],
        "masked_lm_weights": [1.0] * 4,
        "next_sentence_labels": [0],
    },
]


def example_class() -> Any:
    """tf.train.Example, from the protobuf library and the definition in tensorflow/core/example/feature.proto."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> None:
        one = file.message_type.add(name=name)
        for field, number, label, kind, of in fields:
            one.field.add(name=field, number=number, label=label, type=kind, type_name=of or None)

    one, many, sub = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED, kinds.TYPE_MESSAGE
    message("BytesList", ("value", 1, many, kinds.TYPE_BYTES, ""))
    message("FloatList", ("value", 1, many, kinds.TYPE_FLOAT, ""))
    message("Int64List", ("value", 1, many, kinds.TYPE_INT64, ""))
    message(
        "Feature",
        ("bytes_list", 1, one, sub, ".tensorflow.BytesList"),
        ("float_list", 2, one, sub, ".tensorflow.FloatList"),
        ("int64_list", 3, one, sub, ".tensorflow.Int64List"),
    )
    message("Features", ("feature", 1, many, sub, ".tensorflow.Features.FeatureEntry"))
    entry = file.message_type[-1].nested_type.add(name="FeatureEntry")
    entry.field.add(name="key", number=1, label=one, type=kinds.TYPE_STRING)
    entry.field.add(name="value", number=2, label=one, type=sub, type_name=".tensorflow.Feature")
    entry.options.map_entry = True
    message("Example", ("features", 1, one, sub, ".tensorflow.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def read_records(path: Path) -> list[bytes]:
    """The records of a file by TensorBoard's reader, which checks the checksums."""
    stub = pytest.importorskip("tensorboard.compat.tensorflow_stub.pywrap_tensorflow")
    reader = stub.PyRecordReader_New(str(path))
    found = []
    try:
        while True:
            reader.GetNext()
            found.append(reader.record())
    except stub.errors.OutOfRangeError:
        return found


def test_the_protobuf_library_reads_what_was_written(tmp_path: Path, batch: MaskedBatch) -> None:
    (path,) = write_tfrecords(tmp_path / "out", [batch], max_length=LENGTH, max_predictions=PREDICTIONS)
    kind = example_class()
    read = [kind.FromString(one).features.feature for one in read_records(path)]
    found = [
        {name: list(one[name].float_list.value or one[name].int64_list.value) for name in FEATURES} for one in read
    ]
    assert found == EXPECTED
    assert [sorted(one) for one in read] == [sorted(FEATURES)] * 2


def test_tensorflow_reads_it_by_the_feature_spec_of_run_pretraining(tmp_path: Path, batch: MaskedBatch) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    paths = write_tfrecords(tmp_path, [batch, batch], max_length=LENGTH, max_predictions=PREDICTIONS)
    kinds = {int: tensorflow.int64, float: tensorflow.float32}
    spec = {name: tensorflow.io.FixedLenFeature([size], kinds[kind]) for name, (size, kind) in FEATURES.items()}
    data = tensorflow.data.TFRecordDataset([str(path) for path in paths])
    parsed = [tensorflow.io.parse_single_example(one, spec) for one in data]
    assert [{name: one[name].numpy().tolist() for name in FEATURES} for one in parsed] == EXPECTED * 2


def test_the_checksum_is_the_published_one() -> None:
    (framed,) = records([b"123456789"])  # whose CRC-32C is E3069283, as the catalogue of checksums says
    checksum = (0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8 & 0xFFFFFFFF
    assert struct.unpack("<I", framed[-4:])[0] == checksum
    assert framed[:8] == struct.pack("<Q", 9)


def test_checksums_of_many_are_those_of_each() -> None:
    """Against the loop over bytes of tensorboardX."""
    contents = [np.random.default_rng(length).bytes(length) for length in (9, 4, 700, 5, 8, 699)]
    assert checksums(contents) == [crc32c(content) for content in contents]
    assert checksums([]) == []


def test_files_are_of_bounded_size(tmp_path: Path, batch: MaskedBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "PER_FILE", 3)
    paths = write_tfrecords(tmp_path, [batch] * 4, max_length=LENGTH, max_predictions=PREDICTIONS)
    assert [path.name for path in paths] == [f"instances-0000{i}.tfrecord" for i in range(3)]
    assert [len(read_records(path)) for path in paths] == [3, 3, 2]


@pytest.mark.parametrize(("length", "predictions"), [(15, 4), (16, 3)])
def test_an_instance_that_does_not_fit_is_refused(
    tmp_path: Path, batch: MaskedBatch, length: int, predictions: int
) -> None:
    with pytest.raises(SettingsError, match="an instance of 16 tokens with 4 masked does not fit"):
        write_tfrecords(tmp_path, [batch], max_length=length, max_predictions=predictions)
