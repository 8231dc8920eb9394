# SPDX-License-Identifier: MIT
"""The boards that tinyrnn knows: boards/*.toml, a file for each board, a source for each figure.

``fit()`` compares what a model needs with a board's figures. It counts as ``tinyrnn deploy`` does, so that both agree.
A figure that nobody has published is absent from the file. The answer is then "unknown", never a guess.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrnn.errors import BoardError

if TYPE_CHECKING:
    from tinyrnn.board.sizing import Model

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FACTS = {"machine": list, "arch": str, "emitters": list, "usb": list}  # key -> type of the value
FIGURES = ("clock_hz", "heap_bytes", "largest_block_bytes", "flash_bytes")  # whole numbers
RESOURCES = ("flash_bytes", "heap_bytes", "largest_block_bytes")  # the FIGURES that a model uses up
BLOCK_BYTES = 4096  # of littlefs; the most that FAT has on CircuitPython's small drives

FITS, TOO_SMALL, UNKNOWN = "fits", "does not fit", "unknown"


@dataclass(frozen=True)
class Fact:
    """A value and its source."""

    value: Any
    source: str
    at_least: bool = False  # a lower bound: the board has this much or more


@dataclass(frozen=True)
class Board:
    """A board, as its file describes it."""

    key: str  # the file's name: "rpi-pico"
    name: str  # the name that people read
    firmware: str  # "micropython" or "circuitpython"
    port: str  # the firmware's name of the chip family: "rp2"
    machine: Fact  # list of values that sys.implementation._machine may have
    arch: Fact  # mpy-cross's -march; "" where the firmware takes no .mpy files with machine code
    emitters: Fact  # list of decorators that the firmware compiles: "native", "viper", "asm_thumb", ...
    usb: Fact  # list of "vid:pid", four hex digits each
    figures: dict[str, Fact]  # those of FIGURES that are known, in Hz and bytes; heap and block as free just after boot
    unknown: dict[str, str]  # the other FIGURES -> why they are unknown
    cost: dict[str, Any]  # the measured cost of a step; may be empty

    def figure(self, name: str) -> int | None:
        """The value of one of FIGURES, in Hz or bytes; None when it is unknown."""
        fact = self.figures.get(name)
        return None if fact is None else int(fact.value)


@dataclass(frozen=True)
class Need:
    """What a model and the package need on a board, in bytes."""

    flash_bytes: int  # whole blocks of the file system
    heap_bytes: int
    largest_block_bytes: int  # for the file, which is read in one piece


@dataclass(frozen=True)
class Fit:
    """Whether a model fits on a board."""

    board: Board
    need: Need
    kernels: tuple[str, ...]  # the kernel sets that deploy would copy, best first

    def verdict(self, name: str) -> str:
        """FITS, TOO_SMALL or UNKNOWN, for one of RESOURCES."""
        need, fact = getattr(self.need, name), self.board.figures.get(name)
        if fact is None:
            return UNKNOWN
        if need <= fact.value:
            return FITS
        return UNKNOWN if fact.at_least else TOO_SMALL

    @property
    def answer(self) -> str:
        """FITS, TOO_SMALL or UNKNOWN, for all RESOURCES together."""
        verdicts = [self.verdict(name) for name in RESOURCES]
        if TOO_SMALL in verdicts:
            return TOO_SMALL
        return UNKNOWN if UNKNOWN in verdicts else FITS


def fit(model: Model, board: Board) -> Fit:
    """Compare what a model needs with a board's figures. Raises BoardError when mpy-cross reports an error."""
    import urnn

    from tinyrnn.board import device_modules, package, sizing
    from tinyrnn.board.identity import ARCHITECTURES

    arch = board.arch.value
    mpy = 0 if board.firmware != "micropython" else package.MPY_VERSION | 3 << 8 | ARCHITECTURES.index(arch) << 10
    built = package.build(device_modules.needed(model.data, board.emitters.value), mpy, arch)
    sizes = [len(data) for data in built.files.values()] + [len(built.pointer), len(model.data)]
    flash = sizing.flash_blocks(sizes, BLOCK_BYTES) * BLOCK_BYTES
    need = Need(flash, sizing.heap_bytes(built, model), len(model.data))
    return Fit(board, need, tuple(name for name in urnn.KERNEL_SETS if name in built.kernels))


@functools.cache
def known() -> dict[str, Board]:
    """Board key -> board. Raises BoardError for a file that is wrong, or when there are no files."""
    folder = _folder()
    return {path.stem: load(path) for path in sorted(folder.glob("*.toml"))}


def get(key: str) -> Board:
    """The board with that key. Raises BoardError, which lists the known keys, when there is none."""
    if key not in known():
        raise BoardError(f"no board is called {key!r}: expected one of {', '.join(known())}")
    return known()[key]


def file_of(key: str) -> Path:
    """The path of a known board's file. Raises BoardError for an unknown key."""
    return _folder() / f"{get(key).key}.toml"


def match(machine: str) -> Board | None:
    """The board whose firmware has ``machine`` in sys.implementation._machine, or None."""
    return next((board for board in known().values() if machine in board.machine.value), None)


def load(path: Path) -> Board:
    """Read and check one file. Raises BoardError, which says what is wrong and what was expected."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BoardError(f"{path} cannot be read ({error}); expected a board's TOML file: correct or remove it") from None
    words = {name: _text(path, data.pop(name, None), name) for name in ("name", "firmware", "port")}
    if words["firmware"] not in ("micropython", "circuitpython"):
        raise _wrong(path, "firmware", words["firmware"], "micropython or circuitpython")
    unknown = data.pop("unknown", {})
    cost = data.pop("cost", {})
    data.pop("measured", None)  # what `tinyrnn bench --write` added, for people
    facts = {name: _fact(path, data.pop(name, None), name, kind) for name, kind in FACTS.items()}
    figures = {}
    for name in FIGURES:
        if (name in data) == (name in unknown):
            raise _wrong(path, name, "both" if name in data else "neither", "a value or, under [unknown], the reason")
        if name in unknown:
            _text(path, unknown[name], f"unknown.{name}")
        else:
            figures[name] = _fact(path, data.pop(name), name, int)
            if figures[name].value <= 0:
                raise _wrong(path, name, figures[name].value, "a positive number")
    extra = [*data, *(name for name in unknown if name not in FIGURES)]
    if extra:
        raise _wrong(path, extra[0], "there", f"only name, firmware, port, {', '.join([*FACTS, *FIGURES])}, unknown, cost")
    _check_lists(path, facts)
    return Board(
        path.stem,
        words["name"],
        words["firmware"],
        words["port"],
        facts["machine"],
        facts["arch"],
        facts["emitters"],
        facts["usb"],
        figures,
        dict(unknown),
        dict(cost),
    )


def _check_lists(path: Path, facts: dict[str, Fact]) -> None:
    from tinyrnn.board.identity import ARCHITECTURES

    for name in ("machine", "emitters", "usb"):
        for word in facts[name].value:
            _text(path, word, name)
    for pair in facts["usb"].value:
        halves = pair.split(":")
        if len(halves) != 2 or any(len(half) != 4 or set(half) - set("0123456789abcdef") for half in halves):
            raise _wrong(path, "usb", pair, "vid:pid, four lower-case hex digits each")
    if facts["arch"].value not in ARCHITECTURES:
        raise _wrong(path, "arch", facts["arch"].value, f"one of {', '.join(filter(None, ARCHITECTURES))} or empty")


def _fact(path: Path, table: Any, name: str, kind: type) -> Fact:
    if not isinstance(table, dict) or set(table) - {"value", "source", "at_least"} or "value" not in table:
        raise _wrong(path, name, table, "a table with value, source and perhaps at_least")
    value, bound = table["value"], table.get("at_least", False)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _wrong(path, f"{name}.value", value, kind.__name__)
    if not isinstance(bound, bool):
        raise _wrong(path, f"{name}.at_least", bound, "true or false")
    return Fact(value, _text(path, table.get("source"), f"{name}.source"), bound)


def _text(path: Path, value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(path, name, value, "a text")
    return value.strip()


def _wrong(path: Path, name: str, seen: object, expected: str) -> BoardError:
    return BoardError(f"{path}: {name} is {seen!r}; expected {expected}: see docs/boards.md")


def _folder() -> Path:
    """The folder of the board files: inside an installed package, otherwise in the checkout."""
    here = Path(__file__).resolve()
    installed = here.parents[1] / "boarddata"
    for folder in (installed, here.parents[3] / "boards"):
        if any(folder.glob("*.toml")):
            return folder
    raise BoardError(f"no board files in {installed}: install tinyrnn again")
