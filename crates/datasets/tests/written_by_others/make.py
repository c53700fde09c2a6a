#!/usr/bin/env python3
"""Writes images, arrays, labels and datasets as Python programs leave them, and beside them what NumPy and Pillow read there.

    python3 make.py      (needs numpy and pillow; writes the folders `images`, `arrays`, `labels` and `datasets` beside itself)

All files of a folder hold the same: the images of `expected.npy`, the labels of `expected.txt`, or the dataset of `train.npy`,
`train.txt`, `test.npy` and `test.txt`. Only the folders are read by the test `written_by_others.rs`; this script says where
they come from. What NumPy and Pillow cannot write (2 and 4 bits, Adam7, 16 bits of color, tRNS before gray, safetensors) is put
together here by hand, and read by Pillow where it can.
"""
import csv, gzip, json, pathlib, shutil, struct, zlib
import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
RANDOM = np.random.default_rng(18)


def folder(*names):
    path = HERE.joinpath(*names)
    path.mkdir(parents=True, exist_ok=True)
    return path


# PNG by hand ---------------------------------------------------------------------------------------------------------------------

GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def png(path, samples, kind, bits, palette=None, trns=None, interlaced=False):
    """`samples (height, width, channels)` as a PNG of this color type and as many bits per sample."""
    def packed(rows):
        if bits == 16:
            return [row.astype(">u2").tobytes() for row in rows]
        row_bits = [np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits:].reshape(-1) for row in rows]
        return [np.packbits(row).tobytes() for row in row_bits]

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = samples.shape[:2]
    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in adam7] if interlaced else [samples]
    data = b"".join(b"\0" + row for part in passes if part.size for row in packed(part))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced))
                     + (chunk(b"PLTE", palette.astype(np.uint8).tobytes()) if palette is not None else b"")
                     + (chunk(b"tRNS", trns) if trns is not None else b"")
                     + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


# Images --------------------------------------------------------------------------------------------------------------------------

def pillow(path, mode):
    """What Pillow makes of a file."""
    return np.asarray(Image.open(path).convert(mode))


def expect(path, values, *files):
    """Writes what all `files` hold, having asked Pillow for those that it reads exactly."""
    np.save(path / "expected.npy", values)
    for file in files:
        mode = "L" if values.ndim == 2 else "RGB"
        assert np.array_equal(pillow(path / file, mode), values), file


def gray_images():
    d, gray = folder("images", "gray"), RANDOM.integers(0, 256, (9, 11), np.uint8)
    gray[0, :3] = 0, 255, 128
    image = Image.fromarray(gray)
    image.save(d / "8-bit.png")
    image.convert("RGB").save(d / "rgb.png")
    image.convert("P").save(d / "palette.png")
    image.save(d / "8-bit.bmp")
    image.convert("RGB").save(d / "24-bit.bmp")
    image.convert("LA").save(d / "opaque-alpha.png")
    png(d / "interlaced.png", gray[..., None], GRAY, 8, interlaced=True)
    exact = [file.name for file in d.iterdir() if file.suffix in (".png", ".bmp")]
    # Pillow cuts 16 bits down to the upper 8; the rule here is v / 257, rounded.
    wide = gray.astype(np.int32) * 257 + np.where(gray < 255, RANDOM.integers(-128, 129, gray.shape), -128)
    wide = np.clip(wide, 0, 65535).astype(np.uint16)
    Image.fromarray(wide).save(d / "16-bit.png")
    assert np.array_equal((np.asarray(Image.open(d / "16-bit.png")).astype(int) + 128) // 257, gray)
    png(d / "16-bit-interlaced.png", wide[..., None], GRAY, 16, interlaced=True)
    # A stencil is its opacity, whatever its one gray.
    for name, ink in (("black", 0), ("gray", 99), ("white", 255)):
        Image.merge("LA", [Image.new("L", image.size, ink), image]).save(d / f"stencil-{name}-la.png")
        Image.merge("RGBA", [Image.new("L", image.size, ink)] * 3 + [image]).save(d / f"stencil-{name}-rgba.png")
    png(d / "stencil-16-bit-la.png", np.dstack([wide * 0 + 7, wide]), GRAY_ALPHA, 16)
    png(d / "stencil-16-bit-rgba.png", np.dstack([wide * 0] * 3 + [wide]), RGB_ALPHA, 16)
    png(d / "stencil-palette.png", gray[..., None], PALETTE, 8, np.zeros((256, 3)), bytes(range(256)))
    expect(d, gray, *exact)


def few_grays():
    for bits in (1, 2, 4):
        d, levels = folder("images", f"{2 ** bits}-grays"), RANDOM.integers(0, 2 ** bits, (7, 13), np.uint8)
        gray = levels * (255 // (2 ** bits - 1))
        palette = np.arange(2 ** bits).repeat(3).reshape(-1, 3) * (255 // (2 ** bits - 1))
        png(d / "gray.png", levels[..., None], GRAY, bits)
        png(d / "gray-interlaced.png", levels[..., None], GRAY, bits, interlaced=True)
        png(d / "palette.png", levels[..., None], PALETTE, bits, palette)
        if bits == 1:
            Image.fromarray(gray).convert("1").save(d / "pillow.png")
            Image.fromarray(gray).convert("1").save(d / "pillow.bmp")
        exact = [file.name for file in d.iterdir() if file.suffix in (".png", ".bmp")]
        # The darkest is transparent: a stencil if there is one other, else bright strokes that show black.
        png(d / "transparent.png", levels[..., None], GRAY, bits, trns=struct.pack(">H", 0))
        expect(d, gray, *exact)


def color_images():
    d, color = folder("images", "color"), RANDOM.integers(0, 256, (9, 11, 3), np.uint8)
    image = Image.fromarray(color)
    image.save(d / "rgb.png")
    image.save(d / "24-bit.bmp")
    image.convert("RGBA").save(d / "rgba.png")
    image.convert("RGBA").save(d / "32-bit.bmp")
    png(d / "interlaced.png", color, RGB, 8, interlaced=True)
    exact = [file.name for file in d.iterdir() if file.suffix in (".png", ".bmp")]
    wide = np.clip(color.astype(np.int32) * 257 + RANDOM.integers(-128, 129, color.shape), 0, 65535)
    png(d / "16-bit.png", wide, RGB, 16)
    expect(d, color, *exact)

    d, indices = folder("images", "palette"), RANDOM.integers(0, 16, (9, 11), np.uint8)
    palette = RANDOM.integers(0, 256, (16, 3), np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    image.save(d / "4-bit.png", bits=4)
    image.save(d / "8-bit.png", bits=8)
    image.save(d / "8-bit.bmp")
    png(d / "interlaced.png", indices[..., None], PALETTE, 4, palette, interlaced=True)
    expect(d, palette[indices], *[file.name for file in d.iterdir() if file.suffix in (".png", ".bmp")])


def transparent_images():
    for name, ink, background in (("dark", (0, 90), 255), ("bright", (170, 256), 0)):
        alpha = RANDOM.choice(np.array([0, 100, 255], np.uint8), (9, 11))
        color = RANDOM.integers(*ink, (9, 11, 3)).astype(np.uint8)

        def over(values, alpha):
            values, alpha = values.astype(int), alpha.astype(int)
            return ((values * alpha + background * (255 - alpha) + 127) // 255).astype(np.uint8)

        d = folder("images", f"{name}-color-on-transparent")
        shown = over(color, alpha[..., None])
        image = Image.fromarray(np.dstack([color, alpha]))
        image.save(d / "rgba.png")
        png(d / "16-bit.png", np.dstack([color, alpha]).astype(np.uint16) * 257, RGB_ALPHA, 16)
        by_pillow = Image.composite(image.convert("RGB"), Image.new("RGB", image.size, (background,) * 3), image.getchannel("A"))
        assert np.array_equal(np.asarray(by_pillow), shown)
        np.save(d / "expected.npy", shown)

        d, gray = folder("images", f"{name}-grays-on-transparent"), color[..., 0]
        image = Image.fromarray(np.dstack([gray, alpha]))
        image.save(d / "la.png")
        image.convert("RGBA").save(d / "rgba.png")
        np.save(d / "expected.npy", over(gray, alpha))

        d, indices = folder("images", f"{name}-palette-on-transparent"), RANDOM.integers(0, 8, (9, 11), np.uint8)
        palette = RANDOM.integers(*ink, (8, 3)).astype(np.uint8)
        opacity = np.array([0, 255, 100, 255, 255, 30, 255, 255], np.uint8)
        image = Image.fromarray(indices)
        image.putpalette(palette.tobytes())
        image.save(d / "pillow.png", transparency=opacity.tobytes())
        assert np.array_equal(np.asarray(Image.open(d / "pillow.png").convert("RGBA"))[..., 3], opacity[indices])
        np.save(d / "expected.npy", over(palette[indices], opacity[indices][..., None]))


def jpegs():
    """Decoders of JPEG differ in rounding: the test allows 2 levels, and 8 where color has half the resolution."""
    y, x = np.mgrid[0:24, 0:21]
    gray = (127 + 100 * np.sin(x / 5) * np.cos(y / 6)).astype(np.uint8)
    color = np.dstack([gray, 255 - gray, (x * 9).astype(np.uint8)])

    def each(name, image, **forms):
        d, paths = folder("images", name), []
        for form, options in forms.items():
            path = d / f"{form}.jpg"
            image.save(path, **options)
            paths.append(path)
        mode = "L" if image.mode == "L" else "RGB"
        values = pillow(paths[0], mode)
        assert all(np.abs(pillow(path, mode).astype(int) - values).max() == 0 for path in paths)
        np.save(d / "expected.npy", values)

    # An orientation in EXIF is not applied by Image.open, nor here.
    exif = Image.Exif()
    exif[0x0112] = 6
    all_forms = dict(plain={}, optimized={"optimize": True}, progressive={"progressive": True}, rotated={"exif": exif})
    whole = {form: {**options, "quality": 95, "subsampling": 0} for form, options in all_forms.items()}
    halves = {form: {**options, "quality": 95, "subsampling": 2} for form, options in all_forms.items()}
    each("jpeg-gray", Image.fromarray(gray), **{form: {**options, "quality": 95} for form, options in all_forms.items()})
    each("jpeg-color", Image.fromarray(color), **whole)
    each("jpeg-color-halved", Image.fromarray(color), **halves)
    each("jpeg-cmyk", Image.fromarray(color).convert("CMYK"), plain={"quality": 95}, progressive={"quality": 95, "progressive": True})


# Arrays --------------------------------------------------------------------------------------------------------------------------

STORED = {"?": "BOOL", "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64",
          "f2": "F16", "f4": "F32", "f8": "F64", "bf": "BF16"}


def safetensors(path, **arrays):
    """As `safetensors.numpy.save_file` writes it: a header of a multiple of 8 bytes, values without gaps."""
    header, data = {}, b""
    for name, (dtype, array) in arrays.items():
        if dtype == "bf":
            values = (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        else:
            values = array.astype(dtype if dtype == "?" else "<" + dtype).tobytes()
        header[name] = {"dtype": STORED[dtype], "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def arrays():
    shape = (2, 5, 6)
    whole = RANDOM.integers(0, 128, shape)
    signed = RANDOM.integers(-100, 100, shape)
    large = RANDOM.integers(0, 60000, shape)
    quarters = RANDOM.integers(-100, 100, shape) / 4
    bits = RANDOM.integers(0, 2, shape)
    whole[0, 0, 0], signed[0, 0, 0], large[0, 0, 0], quarters[0, 0, 0] = 127, -100, 60000, 0.25
    wholes = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]
    for name, values, dtypes, kept in (
        ("bytes", whole, wholes, np.uint8),
        ("negative", signed, wholes[4:] + ["f2", "f4", "f8"], np.float32),
        ("beyond-a-byte", large, ["u2", "u4", "u8", "i4", "i8", "f4", "f8"], np.float32),
        ("fractions", quarters, ["f2", "bf", "f4", "f8"], np.float32),
        ("bits", bits, ["?", "u1", "i8"], np.float32),
    ):
        d = folder("arrays", name)
        np.save(d / "expected.npy", values.astype(kept)[..., None])
        for dtype in dtypes:
            plain = "bool" if dtype == "?" else dtype
            safetensors(d / f"{plain}.safetensors", images=(dtype, values))
            if dtype != "bf":
                np.save(d / f"{plain}-little-endian.npy", values.astype("<" + dtype))
                np.save(d / f"{plain}-big-endian-fortran.npy", np.asfortranarray(values.astype(">" + dtype)))
        d_type = "f8" if kept == np.float32 else "i8"
        array = values.astype(d_type)
        for version in ((1, 0), (2, 0), (3, 0)):
            with open(d / f"version-{version[0]}.npy", "wb") as file:
                np.lib.format.write_array(file, array, version=version)
        np.savez(d / "stored.npz", images=array)
        np.savez_compressed(d / "compressed-fortran.npz", np.asfortranarray(array))
        np.save(d / "channels-first.npy", array[:, None])
        np.save(d / "channels-last.npy", array[..., None])


# Labels --------------------------------------------------------------------------------------------------------------------------

def idx(path, array):
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def rows(path, *rows, encoding="utf-8", **options):
    with open(path, "w", newline="", encoding=encoding) as file:
        csv.writer(file, **options).writerows(rows)


def lines(path, labels):
    path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


def labels():
    numbers = np.array([3, 0, 2, 0, 1, 3])
    d = folder("labels", "numbers")
    lines(d / "expected.txt", numbers)
    for dtype in ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]:
        np.save(d / f"{dtype}-big-endian.npy", numbers.astype(">" + dtype))
        safetensors(d / f"{dtype}.safetensors", labels=(dtype, numbers))
    np.save(d / "column.npy", numbers[:, None])
    for dtype in ["?", "u1", "f4", "f8"]:
        one_hot = np.eye(4, dtype=dtype)[numbers]
        np.save(d / f"one-hot-{'bool' if dtype == '?' else dtype}.npy", one_hot)
        np.save(d / f"one-hot-{'bool' if dtype == '?' else dtype}-fortran.npy", np.asfortranarray(one_hot))
    np.save(d / "text.npy", numbers.astype(str))
    np.save(d / "byte-text.npy", numbers.astype("S"))
    np.savez(d / "stored.npz", y=numbers)
    np.savez_compressed(d / "with-images.npz", x_test=np.zeros((6, 2, 2)), y_test=numbers)
    np.savez(d / "without-name.npz", numbers)
    idx(d / "labels-idx1-ubyte", numbers)
    idx(d / "labels-idx1-ubyte.gz", numbers)
    np.savetxt(d / "savetxt.csv", numbers)
    np.savetxt(d / "savetxt-whole.csv", numbers, fmt="%d")
    np.savetxt(d / "savetxt-header.csv", numbers, fmt="%d", header="label", comments="")
    np.savetxt(d / "savetxt-commented-header.csv", numbers, fmt="%d", header="label")
    rows(d / "kaggle-submission.csv", ["ImageId", "Label"], *enumerate(numbers.tolist(), 1))
    rows(d / "pandas-index.csv", ["", "label"], *enumerate(numbers.tolist()))
    rows(d / "pandas-series.csv", ["", "0"], *enumerate(numbers.tolist()))

    names = np.array(["cat", "ant", "caf\u00e9", "ant", "white shark", "cat"])
    d = folder("labels", "text")
    lines(d / "expected.txt", names)
    np.save(d / "unicode.npy", names)
    np.save(d / "unicode-big-endian-column.npy", names.astype(">U")[:, None])
    np.save(d / "bytes.npy", np.char.encode(names, "utf-8"))
    np.savez(d / "stored.npz", labels=names)
    rows(d / "with-header.csv", ["id", "species"], *enumerate(names.tolist()))
    rows(d / "without-header.csv", *names[:, None].tolist())
    rows(d / "quoted-with-bom.csv", ["label"], *names[:, None].tolist(), quoting=csv.QUOTE_ALL, encoding="utf-8-sig")


# Datasets ------------------------------------------------------------------------------------------------------------------------

class Made:
    """A dataset and the folder of its forms."""

    def __init__(self, name, images, labels, train):
        self.d = folder("datasets", name)
        self.sets = {"train": (images[:train], labels[:train]), "test": (images[train:], labels[train:])}
        for part, (x, y) in self.sets.items():
            np.save(self.d / f"{part}.npy", x if x.ndim == 4 else x[..., None])
            if y is not None:
                lines(self.d / f"{part}.txt", y)

    def form(self, name):
        d = self.d / name
        d.mkdir(exist_ok=True)
        return [(d, part, x, y) for part, (x, y) in self.sets.items()]

    def npy(self, name, images=lambda x: x, labels=lambda y: y, x_name="x_{}", y_name="y_{}"):
        for d, part, x, y in self.form(name):
            np.save(d / (x_name.format(part) + ".npy"), images(x))
            np.save(d / (y_name.format(part) + ".npy"), labels(y))

    def npz(self, name, images=lambda x: x, labels=lambda y: y):
        forms = self.form(name)
        np.savez(forms[0][0] / "all.npz", **{f"x_{part}": images(x) for _, part, x, _ in forms},
                 **{f"y_{part}": labels(y) for _, part, _, y in forms})

    def npz_each(self, name):
        for d, part, x, y in self.form(name):
            np.savez_compressed(d / f"{part}.npz", x, y)

    def safetensors(self, name, dtype, images=lambda x: x):
        forms = self.form(name)
        tensors = {f"{part}_images": (dtype, images(x)) for _, part, x, _ in forms}
        tensors |= {f"{part}_labels": ("i8", np.asarray(y)) for _, part, _, y in forms}
        safetensors(forms[0][0] / "all.safetensors", **tensors)

    def table(self, name, row, header, file="{}.csv", **options):
        for d, part, x, y in self.form(name):
            all_rows = [row(i, x.reshape(-1).tolist(), y) for i, (x, y) in enumerate(zip(x, np.asarray(y).tolist()))]
            rows(d / file.format(part), *([header] if header else []), *all_rows, **options)

    def savetxt(self, name, **options):
        for d, part, x, y in self.form(name):
            np.savetxt(d / f"mine_{part}.csv", np.column_stack([y, x.reshape(len(x), -1)]), delimiter=",", **options)

    def idx(self, name, ending):
        for d, part, x, y in self.form(name):
            part = "t10k" if part == "test" else part
            idx(d / f"{part}-images-idx3-ubyte{ending}", x)
            idx(d / f"{part}-labels-idx1-ubyte{ending}", np.asarray(y))

    def folders(self, name, ending):
        for d, part, x, y in self.form(name):
            for i, (image, label) in enumerate(zip(x, y)):
                path = d / part / str(label)
                path.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path / f"{i}{ending}")


def datasets():
    count, side = 7, 5
    # In the order in which a folder per class has them.
    numbers = np.array([12, 12, 3, 3, 12, 3, 3])
    pixels = [f"pixel{i}" for i in range(side * side)]

    gray = Made("gray", RANDOM.integers(0, 256, (count, side, side), np.uint8), numbers, 4)
    gray.npy("npy-column-of-big-endian-labels", labels=lambda y: y.astype(">i8")[:, None])
    gray.npy("npy-of-scikit-learn", lambda x: x.reshape(len(x), -1).astype(np.int64), x_name="X_{}")
    gray.npy("npy-of-flat-fortran", lambda x: np.asfortranarray(x.reshape(len(x), -1)), x_name="{}_images", y_name="{}_labels")
    gray.npy("npy-of-text-labels", labels=lambda y: y.astype(str))
    gray.npz("npz-of-keras")
    gray.npz_each("npz-without-names")
    gray.safetensors("safetensors-channels-first", "u1", lambda x: x[:, None])
    gray.table("csv-of-kaggle", lambda i, x, y: [y, *x], ["label", *pixels])
    gray.table("csv-with-label-last", lambda i, x, y: [*x, y], [*pixels, "Label"])
    gray.table("csv-with-pandas-index", lambda i, x, y: [i, y, *x], ["", "label", *map(str, range(side * side))])
    gray.table("csv-with-ids-semicolons-quotes-bom", lambda i, x, y: [i + 1, *x, y], ["Id", *pixels, "class"],
               delimiter=";", quoting=csv.QUOTE_ALL, encoding="utf-8-sig")
    gray.table("tsv", lambda i, x, y: [y, *x], ["y", *pixels], "{}.tsv", delimiter="\t")
    gray.savetxt("csv-of-savetxt")
    gray.savetxt("csv-of-savetxt-whole", fmt="%d")
    gray.savetxt("csv-of-savetxt-with-header", fmt="%d", header=",".join(["label", *pixels]), comments="")
    gray.savetxt("csv-of-savetxt-with-commented-header", fmt="%d", header=",".join(["label", *pixels]))
    gray.idx("idx", "")
    gray.idx("idx-gzipped", ".gz")
    gray.folders("png", ".png")
    gray.folders("bmp", ".BMP")

    floats = Made("floats", (RANDOM.integers(-64, 64, (count, side, side)) / 16).astype(np.float32), numbers, 4)
    floats.npy("npy-f8-fortran", lambda x: np.asfortranarray(x.astype(np.float64)))
    floats.npy("npy-f2-big-endian", lambda x: x.astype(">f2"), lambda y: y.astype(np.float64))
    floats.npz("npz", labels=lambda y: np.eye(13)[y])
    floats.safetensors("safetensors", "f4", lambda x: x.reshape(len(x), -1))
    floats.savetxt("csv-of-savetxt")

    color = Made("color", RANDOM.integers(0, 256, (count, side, side + 1, 3), np.uint8), numbers, 4)
    color.npy("npy-channels-last")
    color.npy("npy-channels-first", lambda x: x.transpose(0, 3, 1, 2))
    color.npy("npy-channels-first-fortran", lambda x: np.asfortranarray(x.transpose(0, 3, 1, 2)))
    color.safetensors("safetensors-channels-first", "i4", lambda x: np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    color.folders("png", ".png")

    names = np.array(["ant", "ant", "cat", "cat", "ant", "cat", "cat"])
    named = Made("named-classes", RANDOM.integers(0, 256, (count, side, side), np.uint8), names, 4)
    named.npy("npy-unicode")
    named.npy("npy-bytes", labels=lambda y: y.astype("S"))
    named.table("csv", lambda i, x, y: [*x, y], [*pixels, "species"])
    named.table("csv-without-header", lambda i, x, y: [*x, y], None)
    named.folders("png", ".PNG")

    cifar("cifar-10", ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"], "test_batch")
    cifar("cifar-100", ["train"], "test")


def cifar(name, train, test):
    """The binary version: the labels, then the red, the green and the blue plane; here one or two images per file."""
    images = RANDOM.integers(0, 256, (len(train) + 2, 32, 32, 3), np.uint8)
    fine = np.arange(len(train) + 2) * 3 % 10
    made = Made(name, images, fine, len(train) + 1)
    d = made.form("binary")[0][0]
    files = [train[0], *train, test]
    for file in files:
        (d / f"{file}.bin").write_bytes(b"")
    for file, image, label in zip(files, images, fine):
        coarse = [19] if name == "cifar-100" else []
        with open(d / f"{file}.bin", "ab") as out:
            out.write(bytes(coarse + [int(label)]) + image.transpose(2, 0, 1).tobytes())


def main():
    for name in ("images", "arrays", "labels", "datasets"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    for make in (gray_images, few_grays, color_images, transparent_images, jpegs, arrays, labels, datasets):
        make()
    files = [path for path in HERE.rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files)} bytes")


if __name__ == "__main__":
    main()
