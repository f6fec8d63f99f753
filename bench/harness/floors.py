"""Floors: small C programs of ours in `bench/floors`, compiled when they are needed.

A floor is a program that takes its own times (`running`, or `in_process` where the process counts), or a
library or an extension module where a floor is one step of a longer one, or where Python subjects share a
compiled step.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np

from .operations import Samples, Seconds, Unavailable

SOURCES = Path(__file__).resolve().parent.parent / "floors"
_FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", "-D_GNU_SOURCE")


class Floors:
    """Compiles floors into a folder, each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def program(self, name: str) -> Path:
        """The program made of `name`.c. Raises `Unavailable` when there is no compiler."""
        return self._compile(name, self._folder / name, ())

    def load(self, name: str) -> ctypes.CDLL:
        """The shared library made of `name`.c; its functions run without the GIL."""
        return ctypes.CDLL(str(self._compile(name, self._folder / f"lib{name}.so", ("-shared", "-fPIC"))))

    def module(self, name: str) -> ModuleType:
        """The Python extension module made of `name`.c."""
        include = sysconfig.get_path("include")
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        path = self._compile(name, self._folder / f"{name}{suffix}", ("-shared", "-fPIC", f"-I{include}"))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def _compile(self, name: str, output: Path, flags: Sequence[str]) -> Path:
        if output.exists():
            return output
        compiler = os.environ.get("CC", "cc")
        if shutil.which(compiler) is None:
            raise Unavailable(f"there is no C compiler {compiler!r}")
        command = [compiler, *_FLAGS, *flags, "-o", str(output), str(SOURCES / f"{name}.c"), "-lm", "-ldl"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(f"the floor {name} does not compile:\n{result.stderr}")
        return output


@contextmanager
def running(program: Path, *arguments: object) -> Iterator[Samples]:
    """A floor program that has prepared itself and takes its times whenever it is asked to.

    For each line `N` on its standard input it writes N little-endian 64-bit counts of nanoseconds.
    """
    process = subprocess.Popen(
        [str(program), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def sample(rounds: int) -> Seconds:
        stdin.write(b"%d\n" % rounds)
        stdin.flush()
        taken = stdout.read(8 * rounds)
        if len(taken) != 8 * rounds:
            raise RuntimeError(f"the floor {program.name} ended early, exit code {process.wait()}")
        return np.frombuffer(taken, "<i8").astype(np.float64) / 1e9

    try:
        sample(1)  # comes back when the program has prepared itself
        yield Samples(sample=sample)
    finally:
        stdin.close()
        process.wait()
        stdout.close()


def in_process(library: ctypes.CDLL, *arguments: object) -> Samples:
    """The floor program `library`, run in this process: it has our mappings, threads and open files."""
    words = [b"floor", *(str(argument).encode() for argument in arguments)]
    library.floor_prepare(len(words), (ctypes.c_char_p * (len(words) + 1))(*words, None))

    def sample(rounds: int) -> Seconds:
        taken = np.empty(rounds, np.int64)
        library.floor_sample(ctypes.c_long(rounds), taken.ctypes.data_as(ctypes.c_void_p))
        return taken.astype(np.float64) / 1e9

    return Samples(sample=sample)
