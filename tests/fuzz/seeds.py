#!/usr/bin/env python3
"""Writes corpus/ anew: small valid inputs of each fuzz target.

python3 tests/fuzz/seeds.py RUN, where RUN is the folder of a small run:
    train --model lenet --width 0.1 --dataset synthetic --limit-train 64 --limit-test 16 --epochs 2
"""
import base64, gzip, io, json, pathlib, struct, sys, tarfile, zipfile, zlib

HERE = pathlib.Path(__file__).parent
RUN = pathlib.Path(sys.argv[1])


def write(target, name, data):
    path = HERE / "corpus" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def idx(dims, values, kind=8):
    return bytes([0, 0, kind, len(dims)]) + struct.pack(f">{len(dims)}I", *dims) + bytes(values)


def packed(data):
    return gzip.compress(data, mtime=0)


def seeds_of_idx():
    for name, images, labels in [
        ("grey", idx([2, 4, 4], range(32)), idx([2], [0, 1])),
        ("colour", idx([2, 3, 4, 3], range(72)), idx([2], [0, 0, 0, 1], 11)),
        ("packed", packed(idx([2, 4, 4], range(32))), packed(idx([2], [0, 1]))),
    ]:
        images += bytes(-len(images) % 16) if name != "packed" else b""
        write("idx", name, bytes([len(images) // 16]) + images + labels)
    exact = idx([2, 2, 8], range(32))
    write("idx", "exact", bytes([3]) + exact + idx([2], [0, 1]))


def seeds_of_cifar():
    record = bytes([3, 7]) + bytes(i % 251 for i in range(3072))
    write("cifar", "records", record * 2)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ["train.bin", "test.bin"]:
            info = tarfile.TarInfo(f"cifar-100-binary/{name}")
            info.size = len(record)
            tar.addfile(info, io.BytesIO(record))
    write("cifar", "archive", packed(out.getvalue()))


def seeds_of_pickle():
    data = (
        b"U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01"
        b"M\x01\x00M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00" + bytes(i % 251 for i in range(3072)) + b"tb"
    )
    def labels(key, value):
        return b"U" + bytes([len(key)]) + key + b"q\x08]q\x09(K" + bytes([value]) + b"e"
    write(
        "pickle",
        "one",
        b"\x80\x02}q\x01(" + labels(b"fine_labels", 7) + labels(b"coarse_labels", 3) + data
        + b"U\x09filenamesq\x0b]q\x0c(U\x06f0.pngq\x0dU\x06f1.pngr\x00\x01\x00\x00eu.",
    )


def seeds_of_mat():
    def part(kind, data):
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)
    def variable(name, kind, dims, data):
        tag = bytes([1, 0, 1, 0, name, 0, 0, 0])
        return part(14, part(6, bytes([kind]) + bytes(7)) + part(5, struct.pack(f"<{len(dims)}I", *dims)) + tag + part(2, data))
    x = variable(ord("X"), 9, [32, 32, 3, 1], bytes(i % 251 for i in range(3072)))
    y = variable(ord("y"), 6, [1, 1], b"\x0a")
    head = b" " * 124 + b"\x00\x01IM"
    def shut(element):
        data = zlib.compress(element, 1)
        return struct.pack("<II", 15, len(data)) + data
    write("mat", "plain", head + x + y)
    write("mat", "packed", head + shut(x) + shut(y))


def seeds_of_zip():
    for name, method in [("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)]:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for part in ["train", "test"]:
                for what, data in [("images-idx3", idx([1, 28, 28], [i % 251 for i in range(784)])), ("labels-idx1", idx([1], [4]))]:
                    info = zipfile.ZipInfo(f"gzip/emnist-digits-{part}-{what}-ubyte.gz")
                    info.compress_type = method
                    archive.writestr(info, data)
        write("zip", name, out.getvalue())


def seeds_of_listing():
    write("listing", "split", b"path,label,split\na.bmp,cat,train\nb.bmp,dog,train\nc.bmp,cat,val\nd.bmp,dog,test\n")
    write("listing", "plain", b'\xef\xbb\xbfpath,label\n"a.bmp",1\nb.bmp,2\n./c.bmp,10\nd.bmp,2\n')


def seeds_of_checkpoint():
    write("checkpoint", "best", (RUN / "best.safetensors").read_bytes())
    header = json.dumps({"a": {"dtype": "F16", "shape": [2, 1], "data_offsets": [0, 4]}, "n": {"dtype": "I64", "shape": [], "data_offsets": [4, 12]}})
    write("checkpoint", "halves", struct.pack("<Q", len(header)) + header.encode() + bytes(12))


def seeds_of_picture():
    pictures = sorted((HERE.parent / "fixtures/pictures").glob("*.*"), key=lambda path: path.stat().st_size)
    kept = [path for path in pictures if not path.name.startswith("cut-") and path.stat().st_size < 900]
    for i, path in enumerate(kept):
        write("picture", path.name, bytes([i * 37 % 256]) + path.read_bytes())
    # A WebP file whose EXIF chunk says that it is 2.4 GB long: the fuzzer's, for which the decoder took as much.
    exif = (
        "K1JJRkb4AAAAV0VCUFZQOFgKAAAACAAAABcAABAAAFZQOEy3AAAALxcABAC5MkT0PybDHtH/UA2cSJIsO+dKdMQfjGi8Z96BSKduTNlL4D0KX0UoaNvI8a0fFB7/AzWQ"
        "tk2mdd4v44sJ+Hm3Hdt1+AnDAQvd2lbu//f/+zebiYjoIjn8QkQkrrYJ0RkRIRdk/yASiStNE6dIU8jShEeEUFojOEm7NFpBTmkKieXoEcLmITfZnyQhsZp2DwlpUmua"
        "cAaFxKKJh6RJmtwy0UlC0rQIHkEhcsvhKSFNaQ0BAEVYSUaPj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+P"
        "j4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj48e0f9QDZxIkgAAAAgAAQESAAMAAAABAAYAAAAAAAA="
    )
    write("picture", "exif", base64.b64decode(exif))


def seeds_of_run_folder():
    data = (RUN / "resume.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    metadata = header["__metadata__"]["nin-wgpu"].encode()
    write("run_folder", "run", metadata + b"\0" + (RUN / "config.json").read_bytes() + b"\0" + (RUN / "metrics.jsonl").read_bytes())


def seeds_of_kernels():
    geometry = dict(n=2, c=4, h=9, w=8, k=8, r=3, s=3, stride=[1, 1], dilation=[1, 1], pad=[[1, 1], [1, 1]], groups=1, p=9, q=8, biased=True)
    algorithms = ["naive", "direct", "columns", "columns_subgroup", "depthwise", {"winograd": "plain"}, {"winograd": "tiled"},
                  {"implicit_gemm": dict(m=64, n=64, k=16, micro=4)}]
    for i, algorithm in enumerate(algorithms):
        entries = [dict(direction=way, geometry=geometry, algorithm=algorithm) for way in ["forward", "dgrad", "wgrad"]]
        write("kernels", str(i), json.dumps(dict(adapter="", shaders="", fastest=entries)).encode())


def seeds_of_graph():
    # Input [2,4,9,8]; conv 3x3 of 8; ReLU; max pool; flatten and linear.
    conv = [0, 1, 3, 3, 1, 1, 1, 1, 1, 1, 0, 8]
    calls = [0, 4, 2, 4, 9, 8] + [1] + conv + [9, 0, 0] + [5, 0, 1, 2, 2, 2, 2, 0, 0, 0, 0, 0] + [13, 0, 2, 10]
    for how in range(4):
        write("graph", f"small{how}", bytes([how] + calls))
    join = [0, 4, 2, 4, 9, 8] + [1] + conv + [9, 0, 0, 11, 0, 2, 1, 12, 0, 3, 1, 2, 8, 0, 4]
    write("graph", "join", bytes([3] + join))
    # Linear layers over 2**32 - 1 images, by panels of columns: the fuzzer's, which once took 18 seconds to plan.
    batch = "CQAAAAj7AQ0ADAFjb252DQACvb29AQW9twACvQ2svb29vL29vb29vT8CAQ0ADCsHAD8CAQ0ADCsHAAo="
    write("graph", "batch", base64.b64decode(batch))


for name, make in list(globals().items()):
    if name.startswith("seeds_of_"):
        make()
