#!/usr/bin/env python3
"""Makes photos to measure with: photos.py FOLDER --count 2000 writes JPEGs of 500x375 in ten class folders.

Smooth colour fields with edges and a grain, at quality 90: some 60 to 100 kB each, as photos of that size have. Needs numpy
and pillow.
"""
import argparse
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image

SIZE = (500, 375)
CLASSES = 10


def photo(seed):
    """A picture of its own for each seed."""
    r = np.random.default_rng(seed)
    small = r.integers(0, 255, (6, 8, 3)).astype("uint8")
    fields = np.asarray(Image.fromarray(small).resize(SIZE, Image.BICUBIC)).astype("float32")
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    for _ in range(6):
        at, size = r.random(2) * (SIZE[1], SIZE[0]), r.integers(20, 120)
        inside = (y - at[0]) ** 2 + (x - at[1]) ** 2 < size**2
        fields[inside] = 0.5 * fields[inside] + 0.5 * r.integers(0, 255, 3)
    fields += r.normal(0, 9, fields.shape)
    return Image.fromarray(fields.clip(0, 255).astype("uint8"))


def write(job):
    folder, i = job
    place = os.path.join(folder, f"class{i % CLASSES}")
    photo(i).save(os.path.join(place, f"{i:06}.jpg"), quality=90)


def main():
    flags = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    flags.add_argument("folder")
    flags.add_argument("--count", type=int, default=2000)
    args = flags.parse_args()
    for k in range(CLASSES):
        os.makedirs(os.path.join(args.folder, f"class{k}"), exist_ok=True)
    with ProcessPoolExecutor() as pool:
        jobs = ((args.folder, i) for i in range(args.count))
        for _ in pool.map(write, jobs, chunksize=50):
            pass


if __name__ == "__main__":
    main()
