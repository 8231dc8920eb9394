# SPDX-License-Identifier: MIT
"""The flash and heap that a model needs on a board. ``deploy`` and ``info --board`` both count with this module."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinyrnn.board import package
from tinyrnn.errors import ModelError
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.summary import buffer_bytes
from tinyrnn.integer_model.urnn_file import UrnnFile

# Heap use in bytes, measured (docs/deploy.md). The figures are rather too low, because the test on the board decides
IMPORT_PER_MPY_BYTE = 1.0  # of the package's code, once imported
IMPORT_PER_PY_BYTE = 0.8
COMPILE_PER_PY_BYTE = 3.0  # of the compiler while it compiles the largest module
NET_BYTES = 3072  # of a net's objects and lists, in addition to its file and its buffers
FOLDER_BLOCKS = 2  # for a folder of littlefs
SPARE_BLOCKS = 2  # littlefs first writes a changed block to another place


@dataclass(frozen=True)
class Model:
    """A model file that has been read and checked on this computer."""

    name: str  # on the board: the file's own name
    data: bytes
    inputs: int  # integers in a sample
    buffer_bytes: int  # of the arrays that load() makes


def read_model(path: str | Path) -> Model:
    """Read a model file and let urnn check it. Raises ModelError."""
    return model_of(urnn_file.load(path))


def model_of(file: UrnnFile) -> Model:
    """The model in a file that has been read. Raises ModelError when its name does not suit a board."""
    path, data = file.path, file.data
    name = path.name
    # The name must suit every file system and need no quoting at the REPL
    if not name.isascii() or len(name) > 60 or not name.isprintable() or set(name) & set("\"'\\/:*?<>|~"):
        raise ModelError(f"{path}: {name!r} cannot be its name on a board; expected at most 60 plain characters: rename it")
    if name.lower().endswith((".py", ".mpy")):
        raise ModelError(f"{path}: {name!r} would replace a program on the board; expected another name: rename it")
    return Model(name, data, file.network.inputs, buffer_bytes(file.network))


def code_bytes(built: package.Package) -> tuple[int, int]:
    """Estimated bytes of heap: (for the imported package, for the compiler while it compiles the largest module)."""
    imported = {name: len(data) for name, data in built.files.items() if not name.startswith("serve.")}
    mpy = sum(size for name, size in imported.items() if name.endswith(".mpy"))
    sources = [size for name, size in imported.items() if name.endswith(".py")]
    code = int(mpy * IMPORT_PER_MPY_BYTE + sum(sources) * IMPORT_PER_PY_BYTE)
    return code, int(max(sources, default=0) * COMPILE_PER_PY_BYTE)


def heap_bytes(built: package.Package, model: Model) -> int:
    """Estimated bytes of heap: for package, file and net together, or for package and compiler if that is more."""
    code, compiler = code_bytes(built)
    return max(code + len(model.data) + model.buffer_bytes + NET_BYTES, code + compiler)


def flash_blocks(sizes: list[int], block: int) -> int:
    """Blocks of flash for new files of these sizes, including those for their folder and the file system."""
    return sum(-(-size // block) for size in sizes) + (FOLDER_BLOCKS if sizes else 0) + SPARE_BLOCKS
