# SPDX-License-Identifier: MIT
"""Import modules with machine code for core_board.CoreBoard: their decorators return the board's callables."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from tinyrnn.emulation import mpy_file
from tinyrnn.emulation.memory import Memory


class ImportingBoard(Protocol):
    """The interface of a board to the importer. core_board.CoreBoard has it."""

    machine: Memory
    compiler: Path
    namespaces: list[dict[str, Any]]

    def function(self, module: mpy_file.Module, code: mpy_file.Function, namespace: dict[str, Any]) -> Callable[..., Any]:
        """The callable that runs a function's machine code."""

    def passing(self) -> AbstractContextManager[None]:
        """Free the memory that is taken inside the block when the block ends."""

    def address(self, buffer: Any) -> int:
        """Where a buffer lies in the machine's memory."""

    def to_word(self, value: Any) -> int:
        """A Python value as a word of MicroPython."""


class Finder:
    """Finds the modules of the private copy of the package. Loader imports those with machine code."""

    def __init__(self, board: ImportingBoard, name: str, package: Path) -> None:
        self.board, self.name, self.package = board, name, package

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name == self.name:
            file = self.package / "__init__.py"
            return importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(self.package)])
        if name.rpartition(".")[0] != self.name:
            return None
        file = self.package / (name.rpartition(".")[2] + ".py")
        if file.name.startswith("proof_"):
            loader = ProofLoader(self.board, name, str(file))
            return importlib.util.spec_from_file_location(name, file, loader=loader)
        if not file.is_file() or not mpy_file.machine_functions(file.read_text(encoding="utf-8")):
            return None  # the ordinary import finds it
        return importlib.machinery.ModuleSpec(name, Loader(self.board, file), origin=str(file))


class ProofLoader(importlib.machinery.SourceFileLoader):
    """Imports a proof_*.py module. The memory that its prove() takes is free afterwards."""

    def __init__(self, board: ImportingBoard, name: str, path: str) -> None:
        super().__init__(name, path)
        self.board = board

    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        prove = module.prove

        def passing(kernels: types.ModuleType) -> None:
            with self.board.passing():
                prove(kernels)

        vars(module)["prove"] = passing


class Loader(importlib.abc.Loader):
    """Imports a module with machine code. Its decorators replace the functions by the board's callables."""

    def __init__(self, board: ImportingBoard, file: Path) -> None:
        self.board, self.file = board, file

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        board = self.board
        compiled = self._compiled()
        namespace = module.__dict__

        def machine_code(function: Callable[..., Any]) -> Callable[..., Any]:
            return board.function(compiled, compiled.functions[function.__name__], namespace)

        stand_in = types.ModuleType("micropython")
        vars(stand_in).update(viper=machine_code, asm_thumb=machine_code, native=_same, const=_same)
        addresses = types.ModuleType("uctypes")
        vars(addresses).update(addressof=board.address)
        namespace["id"] = board.to_word
        board.namespaces.append(namespace)
        hidden = {name: sys.modules.get(name) for name in ("micropython", "uctypes")}
        sys.modules.update(micropython=stand_in, uctypes=addresses)
        try:
            tree = ast.parse(self.file.read_text(encoding="utf-8"), str(self.file))
            for node in ast.walk(tree):  # the host's Python does not know viper's types
                if isinstance(node, ast.FunctionDef):
                    node.returns = None
                    for argument in node.args.args:
                        argument.annotation = None
            exec(compile(tree, str(self.file), "exec"), namespace)
        finally:
            for name, before in hidden.items():
                sys.modules.pop(name)
                if before is not None:
                    sys.modules[name] = before

    def _compiled(self) -> mpy_file.Module:
        """The module's machine code. A compiler's SyntaxError or NotImplementedError is raised here too.

        The package catches both and takes another kernel set.
        """
        board = self.board
        try:
            return mpy_file.compile_module(self.file, board.machine.arch, board.compiler)
        except mpy_file.MpyError as error:
            for kind in (SyntaxError, NotImplementedError):
                if f"mpy-cross: {kind.__name__}: " in str(error):
                    raise kind(str(error)) from None
            raise


def _same(x: Any) -> Any:
    return x
