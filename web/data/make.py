#!/usr/bin/env python3
"""Makes the page's data set of Fashion-MNIST's own files: some images of each class, in their order.

    web/data/make.py [FOLDER]

FOLDER holds the four files of https://github.com/zalandoresearch/fashion-mnist (MIT licence, copyright 2017 Zalando SE), by
default where Debian's dataset-fashion-mnist puts them. The result has their format, and the native program reads it by
`train --dataset idx --data-dir web/data`.
"""

import gzip
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent
# Images of each class.
PARTS = {"train": ("train", 300), "test": ("t10k", 60)}


def read(path, rank):
    data = gzip.decompress(path.read_bytes())
    dims = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return dims, data[4 + 4 * rank :]


def write(name, dims, values):
    magic = struct.pack(">I", 8 << 8 | len(dims))
    data = magic + struct.pack(f">{len(dims)}I", *dims) + values
    # Without a time, so that the same images make the same bytes.
    (HERE / name).write_bytes(gzip.compress(data, 9, mtime=0))


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist")
    for part, (prefix, each) in PARTS.items():
        (_, rows, columns), images = read(folder / f"{prefix}-images-idx3-ubyte.gz", 3)
        _, labels = read(folder / f"{prefix}-labels-idx1-ubyte.gz", 1)
        counts = dict.fromkeys(labels, 0)
        chosen = []
        for i, label in enumerate(labels):
            counts[label] += 1
            if counts[label] <= each:
                chosen.append(i)
        size = rows * columns
        pixels = b"".join(images[i * size : (i + 1) * size] for i in chosen)
        write(f"{part}-images-idx3-ubyte.gz", (len(chosen), rows, columns), pixels)
        write(f"{part}-labels-idx1-ubyte.gz", (len(chosen),), bytes(labels[i] for i in chosen))


if __name__ == "__main__":
    main()
