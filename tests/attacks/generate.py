"""Writes the hostile files of this folder; what each must say stands in says.toml. Python's own library is enough."""

import gzip
import json
import struct
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent


def write(name, data):
    (FOLDER / name).write_bytes(data)


def npy(header, values=b""):
    header = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values


def idx(dims, values=b""):
    return bytes([0, 0, 8, len(dims)]) + b"".join(struct.pack(">I", dim) for dim in dims) + values


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def safetensors(metadata, tensors):
    header, values = {}, b""
    if metadata is not None:
        header["__metadata__"] = {"hebbian": metadata if isinstance(metadata, str) else json.dumps(metadata)}
    for name, (shape, numbers) in tensors.items():
        data = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(values), len(values) + len(data)]}
        values += data
    header = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(header)) + header + values


KROTOV = {"k": 2, "units": 2, "p": 2.0, "delta": 0.4, "learning_rate": 0.02, "init_mean": 0.0, "init_std": 1.0}


def checkpoint(**fields):
    metadata = {"format": 2, "rule": "krotov-hopfield", "config": KROTOV, "model": {"image": [2, 2, 1]}} | fields
    return {key: value for key, value in metadata.items() if value is not None}


WEIGHTS = {"rule.weights": ([2, 4], [0.1] * 8)}

ATTACKS = {
    # A header that a terminal would obey, and a long one.
    "escapes.npy": npy("\x1b[2J\x1b[31mhello\n\u202e" + "x" * 3000),
    "claims_terabytes.npy": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 1000, 1000), }"),
    "shape_overflows.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }"),
    "objects.npy": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n(S'true'\ntR."),
    "not_finite.npy": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 784), }", struct.pack("<784f", *[float("nan")] * 784)),
    "header_is_cut.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
    "huge.png": png(100_000, 100_000),
    "nothing.png": b"",
    "claims_more_than_memory.idx": idx([4_000_000_000, 4_000, 4_000]),
    "claims_more_than_memory.idx.gz": gzip.compress(idx([4_000_000_000, 4_000, 4_000], b"\0" * 10_000), mtime=0),
    "cut.npz": b"PK\x03\x04" + b"\0" * 40,
    "header_longer_than_the_file.safetensors": struct.pack("<Q", 2**63) + b"{}",
    "another_programs.safetensors": safetensors(None, WEIGHTS),
    "of_the_future.safetensors": safetensors(checkpoint(format=9), WEIGHTS),
    "without_a_checksum.safetensors": safetensors(checkpoint(format=3), WEIGHTS),
    "a_wrong_checksum.safetensors": safetensors(json.dumps({"checksum": "00000000"} | checkpoint(format=3), separators=(",", ":")), WEIGHTS),
    "a_rule_that_nobody_knows.safetensors": safetensors(checkpoint(rule="\x1b[31mbackprop"), WEIGHTS),
    "weights_that_are_not_finite.safetensors": safetensors(checkpoint(), {"rule.weights": ([2, 4], [float("inf")] * 8)}),
    "units_without_weights.safetensors": safetensors(checkpoint(config=KROTOV | {"units": 2**62}), WEIGHTS),
    "nested_without_end.safetensors": safetensors("[" * 10_000, WEIGHTS),
    "an_image_that_overflows.safetensors": safetensors(checkpoint(model={"image": [2**32, 2**32, 4]}), WEIGHTS),
    "unknown_key.toml": b'[rule]\n"unitz\\u001b[31m" = 3\n',
    "not_text.toml": b"\xff\xfe\x00[rule]",
    "nested_without_end.toml": b"a = " + b"[" * 5000,
    "units_beyond_memory.toml": b"[rule]\nunits = 1000000000\n",
}

for name, data in ATTACKS.items():
    write(name, data)
