# SPDX-License-Identifier: MIT
"""The stubs of urnn for editors have the functions, arguments, defaults and attributes of the package."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import mypy.api
import numpy as np
import pytest
import urnn
import urnn.serve
from tinyrnn.board import device_modules
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import pack
from tinyrnn.quantization.quantizer import quantize

STUBS = Path(urnn.__file__).parents[1] / "urnn-stubs"


def parsed(name: str) -> ast.Module:
    return ast.parse((STUBS / f"{name}.pyi").read_text(encoding="utf-8"))


def names(body: list[ast.stmt]) -> set[str]:
    """What a module or class of the stubs defines."""
    found = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def stated(function: ast.FunctionDef) -> list[tuple[str, Any]]:
    """(argument, default) for each argument of a function in the stubs; inspect's mark if there is no default."""
    arguments = function.args.args
    defaults: list[Any] = [inspect.Parameter.empty] * (len(arguments) - len(function.args.defaults))
    defaults += [ast.literal_eval(value) for value in function.args.defaults]
    return [(argument.arg, default) for argument, default in zip(arguments, defaults, strict=True)]


def real(function: Any) -> list[tuple[str, Any]]:
    return [(each.name, each.default) for each in inspect.signature(function).parameters.values()]


def differences(stub: list[ast.stmt], owner: ModuleType | type) -> list[str]:
    """The functions whose arguments differ, in words. The first of some overloads has the defaults."""
    found = []
    seen = set()
    for node in stub:
        if isinstance(node, ast.FunctionDef) and node.name not in seen:
            seen.add(node.name)
            thing = inspect.getattr_static(owner, node.name)
            thing = thing.fget if isinstance(thing, property) else thing
            if stated(node) != real(thing):
                found.append(f"{node.name}: {stated(node)}, the package has {real(thing)}")
    return found


def net_class(module: ast.Module) -> ast.ClassDef:
    return next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == "Net")


@pytest.fixture(scope="module")
def net() -> Any:
    return urnn.load(pack(quantize(random_float_model(np.random.default_rng(0), 2, (3,), 2))))


def test_every_public_name_is_there(net: Any) -> None:
    assert names(parsed("__init__").body) == set(device_modules.public_names())
    assert names(net_class(parsed("__init__")).body) == {name for name in dir(net) if not name.startswith("_")}
    assert names(parsed("serve").body) <= set(vars(urnn.serve))


def test_arguments_and_defaults() -> None:
    module = parsed("__init__")
    assert differences(module.body, urnn) == []
    assert differences(net_class(module).body, urnn.Net) == []
    assert differences(parsed("serve").body, urnn.serve) == []


def test_another_default_is_seen() -> None:
    text = (STUBS / "__init__.pyi").read_text(encoding="utf-8")
    (found,) = differences(net_class(ast.parse(text.replace("i: int = 0", "i: int = 1"))).body, urnn.Net)
    assert found.startswith("value: ")


def test_attributes_have_the_types_that_they_say(net: Any) -> None:
    simple = {"int": int, "str": str, "bool": bool, "memoryview": memoryview}
    checked = 0
    for node in net_class(parsed("__init__")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Name):
            assert type(getattr(net, ast.unparse(node.target))) is simple[node.annotation.id]
            checked += 1
    assert checked > 5


PROGRAM = """
import urnn
from urnn import serve
net = urnn.load("m.urnn", kernels="viper")
net.step((1, 2, 3))
text: str = net.label() + net.selftest()
reasons: dict[str, str] = urnn.kernel_sets(True)
saved = net.state
net.state = saved
serve.serve()
net.kernels
"""


def test_a_type_checker_reads_them(tmp_path: Path) -> None:
    """In a user's program, everything has a type but the attribute that does not exist."""
    (tmp_path / "urnn").mkdir()  # a checker takes the suffix -stubs only in an installation
    for stub in STUBS.glob("*.pyi"):
        (tmp_path / "urnn" / stub.name).write_bytes(stub.read_bytes())
    program = tmp_path / "main.py"
    program.write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "mypy.ini").write_text("[mypy]\n", encoding="utf-8")
    options = ["--strict", "--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path / "cache")]
    said, errors, status = mypy.api.run([*options, str(program), str(tmp_path / "urnn")])
    assert not errors
    assert status == 1
    assert 'error: "Net" has no attribute "kernels"' in said.splitlines()[0]
    assert "Found 1 error" in said
