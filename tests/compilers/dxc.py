#!/usr/bin/env python3
"""dxc.py FILE ENTRY PROFILE: compiles HLSL with DXC's library for Linux, as wgpu does on Windows.

DXCOMPILER_SO names the library, libdxcompiler.so, for machines that have it without the program `dxc`. Prints what the
compiler says; exits with 1 if it refuses the shader and with 2 if the library cannot be used.
"""

import ctypes
import os
import sys
import uuid
from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_uint32, c_void_p, c_wchar_p, cast

UTF8 = 65001
# Off Windows IUnknown has a virtual destructor, whose two entries come after its three methods.
UNKNOWN = 5

COMPILER = "73e22d93-e6ce-47f3-b5bf-f0664f39c1b0"
COMPILER3 = "228b4687-5a6a-4730-900c-9702b2203f54"
RESULT = "58346cda-dde7-4497-9461-6f87af5e0659"


class Source(ctypes.Structure):
    """DxcBuffer."""

    _fields_ = [("text", c_char_p), ("size", c_size_t), ("encoding", c_uint32)]


def guid(text):
    """A GUID as it lies in memory."""
    return (ctypes.c_ubyte * 16)(*uuid.UUID(text).bytes_le)


def method(this, index, *types, returns=c_int32):
    """The method of a COM object at `index` after those of IUnknown, as a function of its other arguments."""
    table = cast(cast(this, POINTER(c_void_p))[0], POINTER(c_void_p))
    function = ctypes.CFUNCTYPE(returns, c_void_p, *types)(table[UNKNOWN + index])
    return lambda *arguments: function(this, *arguments)


def expect(result, what):
    """Raises OSError if a call failed."""
    if result != 0:
        raise OSError(f"{what}: {result & 0xFFFFFFFF:#010x}")


def compile_file(path, entry, profile):
    """Compiles a file: whether it went well, and the messages."""
    library = ctypes.CDLL(os.environ["DXCOMPILER_SO"])
    compiler, result, messages = c_void_p(), c_void_p(), c_void_p()
    expect(library.DxcCreateInstance(guid(COMPILER), guid(COMPILER3), byref(compiler)), "no compiler")
    with open(path, "rb") as file:
        text = file.read()
    source = Source(text, len(text), UTF8)
    flags = ["-E", entry, "-T", profile, "-HV", "2018", "-no-warnings", "-Ges"]
    # IDxcCompiler3::Compile
    run = method(compiler, 0, c_void_p, POINTER(c_wchar_p), c_uint32, c_void_p, c_void_p, c_void_p)
    flags = (c_wchar_p * len(flags))(*flags)
    expect(run(byref(source), flags, len(flags), None, guid(RESULT), byref(result)), "Compile")
    # IDxcOperationResult: GetStatus, GetResult, GetErrorBuffer
    status = c_int32()
    expect(method(result, 0, c_void_p)(byref(status)), "GetStatus")
    expect(method(result, 2, c_void_p)(byref(messages)), "GetErrorBuffer")
    if not messages:
        return status.value == 0, ""
    # IDxcBlob: GetBufferPointer, GetBufferSize
    start = method(messages, 0, returns=c_void_p)()
    size = method(messages, 1, returns=c_size_t)()
    return status.value == 0, ctypes.string_at(start, size).rstrip(b"\0").decode(errors="replace") if size else ""


def main():
    """Runs the program."""
    if len(sys.argv) != 4 or "DXCOMPILER_SO" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        accepted, messages = compile_file(*sys.argv[1:])
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    if messages:
        print(messages)
    return 0 if accepted else 1


if __name__ == "__main__":
    sys.exit(main())
