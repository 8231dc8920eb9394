# SPDX-License-Identifier: MIT
"""The device API: in detail under CPython, and on every runtime where the runtime matters."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urnn
from shared.paths import DEVICE_SCRIPTS
from tinyrnn import runtimes
from tinyrnn.board import package
from tinyrnn.emulation import rp2040_firmware
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import IntegerHead, Network, pack
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import Runtime, verification

Said = list[tuple[str, str]]  # a sample, and what came of it
Samples = tuple[Path, Said]


@pytest.fixture(scope="module")
def network() -> Network:
    return quantize(random_float_model(np.random.default_rng(0), 6, (32,), 4))


@pytest.fixture
def net(network: Network) -> urnn.Net:
    return urnn.load(pack(network))


@pytest.mark.parametrize("kernels", ["plain", "unrolled", "bytecode", "viper"])
@pytest.mark.parametrize("units", [(32,), (5, 7, 3)], ids=str)
def test_step_allocates_nothing(bounded32: Runtime, kernels: str, units: tuple[int, ...], tmp_path: Path) -> None:
    network = quantize(random_float_model(np.random.default_rng(1), 6, units, 4))
    (tmp_path / "m.urnn").write_bytes(pack(network))
    out = bounded32.run(
        DEVICE_SCRIPTS / "no_alloc.py", kernels, "m.urnn", cwd=tmp_path, path=[verification.DEVICE], timeout=60
    )
    assert out.split() == ["OK", kernels, "0"]


def test_public_api() -> None:
    assert package.public_names() == ("KERNEL_SETS", "Net", "__version__", "kernel_sets", "load")
    public = {name for name in vars(urnn.Net) if not name.startswith("_")}
    methods = {"step", "argmax", "label", "value", "reset", "state", "steps", "selftest"}
    assert public == methods | {"labels", "heads"}


def test_device_imports_only_what_boards_have() -> None:
    """The device package imports itself and modules that every MicroPython and CircuitPython board has."""
    allowed = {"array", "struct", "binascii", "time"}
    for path in Path(urnn.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            extra = {"gc", "micropython"} if path.name.startswith(("kernels_", "gates_")) else set()
            if path.name == "kernels_bytecode.py":  # a module where one of them is not there is not used
                extra |= {"io", "sys", "os", "vfs"}
            if path.name == "serve.py":  # kbd_intr is asked for and not needed
                extra = {"gc", "sys", "micropython"}
            if path.name == "program.py":  # forgets what has served
                extra = {"sys"}
            if path.name == "cores.py":  # only where there are two
                extra = {"_thread", "sys", "micropython"}
            assert set(names) <= allowed | extra, f"{path.name} imports {names}"


def test_selftest_passes_and_leaves_the_state(net: urnn.Net) -> None:
    net.step([100, -200, 300, 0, 5, 6])
    before = bytes(net.state)
    assert net.selftest().startswith("PASS, 8 steps, ")
    assert bytes(net.state) == before


def test_selftest_fails_on_a_wrong_integer(network: Network) -> None:
    assert network.vectors
    vectors = replace(network.vectors, output=network.vectors.output + np.array([0, 0, 1, 0], np.int32))
    net = urnn.load(pack(replace(network, vectors=vectors)))
    with pytest.raises(RuntimeError, match=r"FAIL, unrolled: integer 2: want -?\d+, got"):
        net.selftest()


def test_streaming_save_and_restore(net: urnn.Net) -> None:
    samples = np.random.default_rng(2).integers(-3000, 3000, (20, 6)).tolist()
    for sample in samples[:10]:
        net.step(sample)
    saved = net.state
    for sample in samples[10:]:
        net.step(sample)
    want = list(net.output), list(net.state)
    net.state = saved
    for sample in samples[10:]:
        net.step(sample)
    assert (list(net.output), list(net.state)) == want
    net.reset()
    assert not any(net.state)


def test_state_refuses_what_is_not_its_own(net: urnn.Net) -> None:
    for bad in ([0] * 31, [0] * 33, [-32768] + [0] * 31, [32768] + [0] * 31):
        with pytest.raises(ValueError, match="wrong state"):
            net.state = bad


def test_step_refuses_a_wrong_length(net: urnn.Net) -> None:
    with pytest.raises(ValueError, match="5 values, not 6"):
        net.step([1, 2, 3, 4, 5])


def test_argmax_labels_and_value(net: urnn.Net, network: Network) -> None:
    net.step([2500, -3000, 100, 4, 900, -70])
    y = list(net.output)
    assert net.argmax() == y.index(max(y))
    assert net.labels[net.argmax()] == network.labels[y.index(max(y))]
    assert net.value(1) == y[1] * 2.0 ** int(network.exponents[1])


def test_argmax_takes_the_first_of_equals(net: urnn.Net) -> None:
    for i in range(4):
        net.output[i] = 7
    assert net.argmax() == 0


def test_unknown_kernels(network: Network) -> None:
    with pytest.raises(ValueError, match="no kernels 'gpu'"):
        urnn.load(pack(network), kernels="gpu")


def test_kernels_listed(micropython: Runtime, tmp_path: Path) -> None:
    script = tmp_path / "list.py"
    script.write_text("import urnn\nprint(urnn.kernel_sets())\n")
    out = micropython.run(script, cwd=tmp_path, path=[verification.DEVICE], timeout=30)
    assert out.strip() == str(list(verification.kernel_sets(micropython)))


def test_the_name_of_the_class() -> None:
    network = replace(quantize(random_float_model(np.random.default_rng(0), 2, (3,), 3)), labels=())
    named = replace(network, labels=("no", "perhaps", "yes"))
    heads = replace(named, heads=(IntegerHead("a", 1, False), IntegerHead("b", 2, False)))
    for changed, names in ((network, ("0", "1", "2")), (named, named.labels), (heads, named.labels)):
        net = urnn.load(pack(changed))
        for sample in ((0, 0), (3000, -3000), (-3000, 3000)):
            net.step(sample)
            if net.heads:
                assert [net.label(0), net.label(1)] == [names[0], names[1 + net.argmax(1)]]
            else:
                assert net.label() == names[net.argmax()]


def test_regression_value_in_the_users_unit() -> None:
    """value() follows the float model in the target's unit, far from 1 and with a large offset."""
    rng = np.random.default_rng(3)
    model = random_float_model(rng, 3, (8,), 2)
    model = replace(
        model,
        task="regression",
        target_mean=np.array([101325.0, 1e-3]),
        target_std=np.array([500.0, 2e-4]),
        labels=("Pa", "g"),
    )
    net = urnn.load(pack(quantize(model)))
    assert net.regression
    raw = rng.integers(-2500, 2500, (12, 3))
    want = model.forward(raw[None].astype(float))[0]
    for t, sample in enumerate(raw.tolist()):
        net.step(sample)
        for i in range(2):
            assert abs(net.value(i) - want[t, i]) < 0.02 * model.target_std[i]


@pytest.mark.parametrize("kernels", ["plain", "viper"])
def test_a_file_in_romfs_stays_in_flash(bounded32: Runtime, kernels: str, network: Network, tmp_path: Path) -> None:
    """load() of a mapped file allocates only the buffers. Machine code needs a multiple of 4 and copies any other file."""
    romfs = pytest.importorskip("mpremote.romfs", reason="needs mpremote 1.25 or newer: pip install -U mpremote")
    data = pack(network)
    (tmp_path / "m.urnn").write_bytes(data)
    writer = romfs.VfsRomWriter()
    for letters in range(1, 5):  # names of four lengths: the files lie at different remainders of 4
        writer.mkfile("x" * letters, data)
    (tmp_path / "image").write_bytes(writer.finalise())
    out = bounded32.run(
        DEVICE_SCRIPTS / "romfs.py", "m.urnn", "image", kernels, cwd=tmp_path, path=[verification.DEVICE], timeout=60
    )
    if out.strip() == "SKIP":
        pytest.skip(f"{bounded32.name} has no ROMFS: it came with MicroPython 1.25")
    grown = {path: int(size) for path, size in (line.split() for line in out.splitlines())}
    assert len(grown) == 5
    copied = [size for path, size in grown.items() if size > len(data)]
    in_place = [size for path, size in grown.items() if size < len(data) // 2]
    assert len(copied) + len(in_place) == 5
    assert grown["m.urnn"] in copied
    assert in_place if kernels == "viper" else len(in_place) == 4


@pytest.fixture(scope="module")
def of_samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """A folder with a model of three inputs, and the answers of its plain kernels to all samples under CPython."""
    folder = tmp_path_factory.mktemp("samples")
    (folder / "m.urnn").write_bytes(pack(quantize(random_float_model(np.random.default_rng(0), 3, (4,), 2))))
    return folder, said_of_samples(runtimes.get("cpython"), folder, ("plain",))["plain"]


def said_of_samples(runtime: Runtime, folder: Path, kernels: Sequence[str]) -> dict[str, Said]:
    out = runtime.run(DEVICE_SCRIPTS / "samples.py", "m.urnn", *kernels, cwd=folder, path=[verification.DEVICE], timeout=240)
    said: dict[str, Said] = {name: [] for name in kernels}
    for line in out.splitlines():
        name, sample, what = line.split(" | ")
        said[name].append((sample, what))
    return said


def test_samples_that_are_integers_and_those_that_are_not(of_samples: Samples) -> None:
    """An integer of any size counts as the nearest in 31 bits. Everything else is refused and changes nothing."""
    said = dict(of_samples[1])
    assert len(said) > 180
    nearest = {"": said["tuple 1073741823"], "-": said["tuple -1073741823"]}
    for name, what in said.items():
        kind, _, value = name.rpartition(" ")
        if kind == "tuple" and value.strip("-").isdigit():
            assert what == nearest["-" * value.startswith("-")], name
        elif " with " in name and "large" not in name:
            assert what == "TypeError", name
        elif " of " in name and name != "memoryview of bytes":
            assert what == "ValueError", name
        elif name.startswith(("no sequence", "a text", "array f", "array d")):
            assert what == "TypeError", name
        else:
            assert what.endswith(", 2)"), name


def test_samples_of_every_kind(runtime: Runtime, of_samples: Samples) -> None:
    """Every kernel set of every runtime gives the same integers or the same exception."""
    folder, want = of_samples
    for kernels, said in said_of_samples(runtime, folder, verification.kernel_sets(runtime)).items():
        assert said == want, kernels


def test_samples_of_every_kind_on_the_emulated_rp2040(of_samples: Samples, uf2: Path) -> None:
    folder, want = of_samples
    sets = ("asm_thumb", "viper", "bytecode", "plain")
    text = rp2040_firmware.run(
        uf2, {"m.urnn": (folder / "m.urnn").read_bytes()}, DEVICE_SCRIPTS / "samples.py", ["m.urnn", *sets]
    )
    lines = [tuple(line.strip().split(" | ")) for line in text.splitlines() if " | " in line]
    for kernels in sets:
        assert [line[1:] for line in lines if line[0] == kernels] == want, kernels


@pytest.mark.parametrize("kernels", ["plain", "viper"])
def test_steps_are_counted(bounded32: Runtime, kernels: str, network: Network, tmp_path: Path) -> None:
    """Each accepted sample counts one step, up to the largest small integer. reset() starts again."""
    (tmp_path / "m.urnn").write_bytes(pack(replace(network, window=40)))
    (tmp_path / "count.py").write_text(
        "import sys, urnn\n"
        "net = urnn.load('m.urnn', sys.argv[1])\n"
        "print(net.window, net.steps)\n"
        "for i in range(45):\n    net.step((i,) * 6)\n"
        "for bad in ((1,), (0.5,) * 6):\n"
        "    try:\n        net.step(bad)\n    except (TypeError, ValueError):\n        print(net.steps)\n"
        "net.step([1 << 40] * 6)\n"
        "net.state = net.state\n"
        "net.selftest()\n"
        "print(net.steps)\n"
        "net.reset()\nprint(net.steps)\n"
        "net._count[0] = (1 << 30) - 2\n"
        "for i in range(3):\n    net.step((i,) * 6)\n    print(net.steps)\n"
    )
    out = bounded32.run(tmp_path / "count.py", kernels, cwd=tmp_path, path=[verification.DEVICE], timeout=60)
    assert out.split() == ["40", "0", "45", "45", "46", "0", *["1073741823"] * 3]


@pytest.mark.parametrize("bad", [[1, 2, 0.5, *[0] * 29], [1, "2", *[0] * 30], [1, None, *[0] * 30], [2.0] * 32])
def test_a_state_without_integers_changes_nothing(net: urnn.Net, bad: list[Any]) -> None:
    net.step([100, -200, 300, 0, 5, 6])
    before = net.state
    with pytest.raises(TypeError):
        net.state = bad
    assert net.state == before


def test_a_set_that_fails_is_compiled_once(micropython: Runtime, tmp_path: Path) -> None:
    """kernel_sets() tries every set. A module that fails to compile is not tried again. A missing file is."""
    shutil.copytree(verification.DEVICE / "urnn", tmp_path / "urnn")
    (tmp_path / "urnn" / "kernels_asm_thumb.py").write_text("print('compiled')\nraise ImportError('not here')\n")
    (tmp_path / "list.py").write_text(
        "import urnn\nfrom urnn.program import module\n"
        "print(module('late'))\n"
        "with open('urnn/late.py', 'w') as f:\n    f.write('NAME = 1')\n"
        "print(module('late').NAME)\n"
        "for _ in range(3):\n    urnn.kernel_sets()\n"
    )
    out = micropython.run(tmp_path / "list.py", cwd=tmp_path, timeout=60)
    assert out.split() == ["compiled", "None", "1"]


def test_unknown_kernels_are_answered_with_the_available_ones(
    micropython: Runtime, network: Network, tmp_path: Path
) -> None:
    (tmp_path / "m.urnn").write_bytes(pack(network))
    (tmp_path / "wrong.py").write_text(
        "import urnn\ntry:\n    urnn.load('m.urnn', kernels='wrong')\nexcept ValueError as e:\n    print(e)\n"
    )
    out = micropython.run(tmp_path / "wrong.py", cwd=tmp_path, path=[verification.DEVICE], timeout=60)
    assert out.strip() == f"no kernels 'wrong': expected {', '.join(verification.kernel_sets(micropython))}"
