# SPDX-License-Identifier: MIT
"""For the tests of deploy: two versions of the package, models, and the content of a board."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tinyrnn.board import device_modules, package
from tinyrnn.board.deploy import _same
from tinyrnn.board.link import Link
from tinyrnn.board.sizing import Model, read_model
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import pack
from tinyrnn.quantization.quantizer import quantize


@cache
def model_bytes(seed: int, units: int = 6) -> bytes:
    """A small GRU with vectors for its self-test."""
    return pack(quantize(random_float_model(np.random.default_rng(seed), 3, (units,), 4)))


def model(folder: Path, seed: int, name: str = "gesture.urnn", units: int = 6) -> Model:
    """Such a model as a file, read as `tinyrnn deploy` reads it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(model_bytes(seed, units))
    return read_model(folder / name)


@contextmanager
def version(scratch: Path, prefix: str) -> Iterator[None]:
    """A device package whose __version__ starts with this prefix. Two of them differ in one module. Made once in scratch."""
    folder = scratch / prefix / "urnn"
    if not folder.exists():
        shutil.copytree(device_modules.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        source = (folder / "__init__.py").read_text()
        changed = source.replace('__version__ = "', f'__version__ = "{prefix}')
        assert changed != source
        (folder / "__init__.py").write_text(changed)
    before = device_modules.FOLDER
    device_modules.FOLDER = folder
    device_modules.names.cache_clear()
    device_modules.module.cache_clear()
    try:
        yield
    finally:
        device_modules.FOLDER = before
        device_modules.names.cache_clear()
        device_modules.module.cache_clear()


@dataclass(frozen=True)
class Stands:
    """What a board uses."""

    version: str  # of the package that the pointer names; "" without one
    files: dict[str, tuple[int, str]]  # of that version's folder
    model: tuple[int, str] | None
    others: tuple[str, ...]  # paths that a finished deploy does not leave

    def model_is(self, data: bytes) -> bool:
        return self.model is not None and _same(self.model, data)

    def package_is(self, built: package.Package) -> bool:
        return self.version == built.version and all(_same(self.files[name], data) for name, data in built.files.items())


def stands(port: str, name: str = "gesture.urnn") -> Stands:
    """Read a board by the hashes of its files."""
    with Link(port) as link:
        identity = link.identity
        library, base = identity.library.rstrip("/"), identity.folder.rstrip("/")
        answer = link.run_script("files.py", "survey", f"{library}/urnn", f"{base}/{name}", f"{base}/{name}~")
    found = {}
    for line in answer.splitlines():
        size, digest, path = line.split(" ", 2)
        if not path.endswith("/"):
            found[path] = int(size), digest
    version = dict(identity.installed).get(f"{library}/urnn", "")
    folder = f"{library}/urnn/{version}/"
    files = {path.removeprefix(folder): said for path, said in found.items() if path.startswith(folder)}
    pointer, place = f"{library}/urnn/__init__.py", f"{base}/{name}"
    others = tuple(path for path in found if path not in (pointer, place) and not path.startswith(folder))
    return Stands(version, files, found.get(place), others)


def built_for(port: str, model: Model) -> package.Package:
    """The package that deploy makes for this board and a single model."""
    with Link(port) as link:
        identity = link.identity
    return package.build(device_modules.needed(model.data, identity.emitters), identity.mpy, identity.arch)


def selftest(port: str, name: str = "gesture.urnn") -> str:
    """Run what a user types after a restart of the board."""
    with Link(port) as link:
        link.soft_reset()
        return link.exec(f"import urnn; print(urnn.load({name!r}).selftest())", timeout_s=60).strip()
