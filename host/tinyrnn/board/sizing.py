# SPDX-License-Identifier: MIT
"""What a model takes on a board: flash, heap, its largest block. ``deploy`` and ``info --board`` count the same way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import urnn

from tinyrnn.board import package
from tinyrnn.errors import ModelError
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.summary import buffer_bytes
from tinyrnn.integer_model.urnn_file import UrnnFile

# Heap that is taken, in bytes; measured (docs/deploy.md), and rather too low: the trial on the board is the judge
IMPORT_PER_MPY_BYTE = 1.0  # by the package's code, once imported
IMPORT_PER_PY_BYTE = 0.8
COMPILE_PER_PY_BYTE = 3.0  # by the compiler at work on the largest module
NET_BYTES = 3072  # by a net beside its file and its buffers: objects and lists
FOLDER_BLOCKS = 2  # a folder of littlefs
SPARE_BLOCKS = 2  # littlefs writes a changed block elsewhere first


@dataclass(frozen=True)
class Model:
    """A model file, read and found good on this computer."""

    name: str  # on the board: the file's own name
    data: bytes
    inputs: int  # integers in a sample
    buffer_bytes: int  # of the arrays that load() makes


def read_model(path: str | Path) -> Model:
    """The file, checked by urnn itself. Raises ModelError."""
    return model_of(urnn_file.load(path))


def model_of(file: UrnnFile) -> Model:
    """A file that has been read, as it is to lie on a board. Raises ModelError."""
    path, data = file.path, file.data
    name = path.name
    # A name that every file system has, and that needs no quoting at the REPL
    if not name.isascii() or len(name) > 60 or not name.isprintable() or set(name) & set("\"'\\/:*?<>|~"):
        raise ModelError(f"{path}: {name!r} cannot be its name on a board; expected at most 60 plain characters: rename it")
    if name.lower().endswith((".py", ".mpy")):
        raise ModelError(f"{path}: {name!r} would replace a program on the board; expected another name: rename it")
    try:
        urnn.load(bytearray(data), kernels="plain")
    except ValueError as error:
        raise ModelError(f"{path}: {error}; expected a file that this version's urnn can load") from None
    return Model(name, data, file.network.inputs, buffer_bytes(file.network))


def code_bytes(built: package.Package) -> tuple[int, int]:
    """(heap of the imported package, heap of the compiler at its largest module), estimated."""
    imported = {name: len(data) for name, data in built.files.items() if not name.startswith("serve.")}
    mpy = sum(size for name, size in imported.items() if name.endswith(".mpy"))
    sources = [size for name, size in imported.items() if name.endswith(".py")]
    code = int(mpy * IMPORT_PER_MPY_BYTE + sum(sources) * IMPORT_PER_PY_BYTE)
    return code, int(max(sources, default=0) * COMPILE_PER_PY_BYTE)


def heap_bytes(built: package.Package, model: Model) -> int:
    """Heap that package, file and net need at once, or the compiler before them: the larger, estimated."""
    code, compiler = code_bytes(built)
    return max(code + len(model.data) + model.buffer_bytes + NET_BYTES, code + compiler)


def flash_blocks(sizes: list[int], block: int) -> int:
    """Blocks of flash for new files of these sizes, with what their folder and the file system take besides."""
    return sum(-(-size // block) for size in sizes) + (FOLDER_BLOCKS if sizes else 0) + SPARE_BLOCKS
