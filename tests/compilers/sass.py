"""NVIDIA's machine code without a GPU or its driver: naga's HLSL through slangc to CUDA, NVRTC to a cubin, nvdisasm to text.

The path is that of DX12's text through another front end than the driver's, so shapes of loops can differ; registers,
widths of loads and the share of multiply-adds are a good hint. Wanted are, from PyPI, slangtorch (without what it depends
on), nvidia-cuda-nvrtc-cu12 and nvidia-cuda-nvdisasm.
"""
import ctypes
import os
import subprocess
import tempfile
from pathlib import Path


class Compiler:
    """The three programs as installed in one folder of packages."""

    def __init__(self, site):
        self.site = Path(site)
        self.slangc = self.site / "slangtorch/bin/slangc"
        self.library = self.site / "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"
        self.nvdisasm = next(iter(self.site.glob("nvidia/cu*/bin/nvdisasm")), self.site / "nvidia/cu13/bin/nvdisasm")

    def missing(self):
        """The first of them that is not there."""
        return next((path for path in (self.slangc, self.library, self.nvdisasm) if not path.exists()), None)

    def sass(self, hlsl, entry, arch):
        """Assembly of one entry point, for an architecture such as sm_89."""
        with tempfile.TemporaryDirectory() as folder:
            cuda, cubin = Path(folder, "kernel.cu"), Path(folder, "kernel.cubin")
            if not (done := self._slang(hlsl, entry, cuda)).returncode == 0:
                raise RuntimeError(done.stderr[:2000])
            cubin.write_bytes(self._nvrtc(cuda.read_bytes(), arch))
            return subprocess.run([self.nvdisasm, cubin], check=True, capture_output=True, text=True).stdout

    def _slang(self, hlsl, entry, out):
        libraries = f"{self.library.parent}:{self.site / 'slangtorch/lib'}"
        command = [self.slangc, hlsl, "-lang", "hlsl", "-entry", entry, "-stage", "compute", "-target", "cuda",
                   "-line-directive-mode", "none", "-o", out]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LD_LIBRARY_PATH": libraries})

    def _nvrtc(self, source, arch):
        builtins = self.library.parent / "libnvrtc-builtins.so.12.9"
        if builtins.exists():
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
        nvrtc = ctypes.CDLL(str(self.library))
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"kernel.cu", 0, None, None)
        options = [b"--gpu-architecture=" + arch.encode(), b"-default-device", b"-std=c++17"]
        failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        what = "ProgramLog" if failed else "CUBIN"
        getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{what}")(program, data)
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
        if failed:
            raise RuntimeError(data.value.decode()[:2000])
        return data.raw
