# SPDX-License-Identifier: MIT
"""Copy a model and the device package onto a board. A pulled cable leaves either the old version or the new one.

docs/deploy.md describes each step. Every file is staged next to the files in use, read back and tested on the board.
Only then do two renames, one for the package and one for the model, put the new files in use.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tinyrnn.board import device_modules, package
from tinyrnn.board.identity import Identity
from tinyrnn.board.link import Link
from tinyrnn.board.sizing import Model, flash_blocks, heap_bytes
from tinyrnn.errors import BoardError, LinkError
from tinyrnn.text import counted

TRIAL_TIMEOUT_S = 120.0  # enough for a few hundred steps in byte code on a slow board
KEPT = "what was in use before still is"

Notice = Callable[[str], None]


@dataclass
class Result:
    """What a deploy did."""

    port: str
    identity: Identity
    version: str  # of the package
    copied: list[str] = field(default_factory=list)  # files that were sent
    sent_bytes: int = 0
    selftest: str = ""  # "PASS, ..."
    kernels: tuple[str, ...] = ()
    heap_left: int = -1  # free bytes with the net loaded; -1 where the board cannot tell
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def deploy(
    port: str,
    model: Model,
    notice: Notice = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
    timeout_s: float | None = None,
    cores: int = 1,
) -> Result:
    """Copy the model and the modules that it needs onto the board at ``port``. Raises LinkError, BoardError.

    cores: with 2, the modules that `urnn.load(path, cores=2)` needs are copied as well.
    notice: called with a line that says what is being done. progress: called with the bytes sent and the bytes to send.
    timeout_s: longest wait in seconds for one answer of the board; None means link.patience_s().
    """
    began = time.monotonic()
    with Link(port, timeout_s) as link:
        link.soft_reset()  # or the objects of the last program would count as used heap
        identity = link.ask_identity(len(model.data))
        identity.refuse(port)
        if cores > 1 and (identity.platform != "rp2" or "asm_thumb" not in identity.emitters):
            raise BoardError(
                f"{port}: {identity.board} cannot use {cores} cores; expected an RP2040 or RP2350: leave out --cores"
            )
        result = _Deploy(link, identity, model, notice, progress, ("cores",) if cores > 1 else ()).run()
    result.seconds = time.monotonic() - began
    return result


class _Deploy:
    """One deploy, from the board's identity to the self-test."""

    def __init__(
        self,
        link: Link,
        identity: Identity,
        model: Model,
        notice: Notice,
        progress: Callable[[int, int], None] | None,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.link = link
        self.port = link.port
        self.identity = identity
        self.model = model
        self.notice = notice
        self.progress = progress
        self.extra = extra  # modules in addition to those that the model needs
        self.library = identity.library.rstrip("/")
        self.root = f"{self.library}/urnn"  # the package's folder
        self.pointer = f"{self.root}/__init__.py"
        base = identity.folder.rstrip("/")
        self.place = f"{base}/{model.name}"
        self.staged = f"{self.place}~"
        self.found: dict[str, tuple[int, str]] = {}  # path -> (bytes, digest) of the files on the board
        self.folders: list[str] = []  # the package's folders, each after its contents

    def run(self) -> Result:
        for path, _ in self.identity.installed:
            # "" comes first on the import path, so a urnn there would be imported instead of the installed one
            if self._absolute(path) != self.root:
                raise BoardError(
                    f"{self.port}: {path} on the board is imported before {self.root}; expected one urnn: remove {path}"
                )
        self._survey()
        built = self._build()
        version = f"{self.root}/{built.version}"
        result = Result(self.port, self.identity, built.version)
        result.notes += [built.note] if built.note else []
        want = {f"{version}/{name}": data for name, data in built.files.items()}
        copies, sends = self._missing(want)
        new_pointer = not self._holds(self.pointer, built.pointer)
        new_model = not self._holds(self.place, self.model.data)
        staged_model = new_model and not self._holds(self.staged, self.model.data)
        if new_pointer:
            sends[f"{self.pointer}~"] = built.pointer
        if staged_model:
            sends[self.staged] = self.model.data
        changed = bool(copies or sends or new_pointer or new_model)
        if changed:
            self._check_flash(copies, sends)
            self._check_heap(built)
            self._stage(version, copies, sends)
            if new_pointer:
                want[f"{self.pointer}~"] = built.pointer
            if new_model:
                want[self.staged] = self.model.data
            self._verify(want)
            self.link.soft_reset()
            self._try(self.root, built.version, self.staged if new_model else self.place)
            self._switch(new_pointer, new_model)
            result.copied = list(sends)
            result.sent_bytes = sum(map(len, sends.values()))
        self._clean(version)
        if changed:
            self.link.soft_reset()
        said, result.kernels, result.heap_left = self._try("", "urnn", self.model.name)
        result.selftest = said
        lost = sorted(set(built.kernels) - set(result.kernels))
        if lost:
            result.notes.append(f"kernels that are on the board but do not load on this firmware: {', '.join(lost)}")
        return result

    def _absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.identity.folder.rstrip('/')}/{path}"

    def _survey(self) -> None:
        """List the files on the board with their sizes and hashes."""
        answer = self.link.run_script("files.py", "survey", self.root, self.place, self.staged, timeout_s=60)
        self.found, self.folders = {}, []
        for line in answer.splitlines():
            size, digest, path = line.split(" ", 2)
            if path.endswith("/"):
                self.folders.append(path)
            else:
                self.found[path] = int(size), digest

    def _build(self) -> package.Package:
        identity = self.identity
        current = f"{self.root}/{dict(identity.installed).get(self.root, '')}/"
        # A copy made by hand has no version folder. The cells that its other models use must stay too
        present = {
            path.rpartition("/")[2].partition(".")[0]
            for path in self.found
            if path.startswith(current) or path.rpartition("/")[0] == self.root
        }
        names = device_modules.needed(self.model.data, identity.emitters, sorted(present.union(self.extra) - {"__init__"}))
        return package.build(names, identity.mpy, identity.arch)

    def _holds(self, path: str, data: bytes) -> bool:
        return path in self.found and _same(self.found[path], data)

    def _missing(self, want: dict[str, bytes]) -> tuple[dict[str, str], dict[str, bytes]]:
        """(path -> where the board has the same contents, path -> contents to send)."""
        copies, sends = {}, {}
        for path, data in want.items():
            if self._holds(path, data):
                continue
            duplicate = next((other for other, said in self.found.items() if _same(said, data) and other not in want), None)
            if duplicate:
                copies[path] = duplicate
            else:
                sends[path] = data
        return copies, sends

    def _check_flash(self, copies: dict[str, str], sends: dict[str, bytes]) -> None:
        """Raise BoardError when the flash has no room for the new files. The old ones stay until the new ones are tested."""
        block = self.identity.block_bytes
        if block <= 0:
            return
        sizes = [len(data) for data in sends.values()] + [self.found[duplicate][0] for duplicate in copies.values()]
        need = flash_blocks(sizes, block)
        free = self.identity.flash_blocks_free
        if need > free:
            raise BoardError(
                f"{self.port}: flash has {free * block} bytes free; expected {need * block} "
                f"({counted(len(sizes), 'new file')} of {sum(sizes)} bytes, in blocks of {block}; the "
                "old ones stay until these work): remove files from the board"
            )

    def _check_heap(self, built: package.Package) -> None:
        """Raise BoardError when the heap, empty after a reset, has no room for package, file and net."""
        size = len(self.model.data)
        peak = heap_bytes(built, self.model)
        now = self.identity
        cure = "a smaller model (fewer --units), or free what boot.py takes"
        if 0 <= now.heap_free < peak:
            raise BoardError(
                f"{self.port}: the heap has {now.heap_free} bytes free; expected about {peak} (model {size}, its buffers "
                f"{self.model.buffer_bytes}, urnn {peak - size - self.model.buffer_bytes}): {cure}"
            )
        if now.largest_block < size:
            raise BoardError(
                f"{self.port}: the largest free block of the heap has {now.largest_block} bytes; expected {size}, as the "
                f"model is read in one piece: {cure}"
            )

    def _stage(self, version: str, copies: dict[str, str], sends: dict[str, bytes]) -> None:
        total = sum(map(len, sends.values()))
        self.notice(f"copying {counted(len(sends), 'file')}")
        self.link.run_script("files.py", "copy", version, *((old, new) for new, old in copies.items()), timeout_s=60)
        sent = 0

        def advance(count: int) -> None:
            nonlocal sent
            sent += count
            if self.progress:
                self.progress(sent, total)

        for path, data in sends.items():
            self.link.write(path, data, advance)

    def _verify(self, want: dict[str, bytes]) -> None:
        """Read the staged files back. Raises LinkError when one differs; the old files then stay in use."""
        self.notice("testing on the board")
        self._survey()
        for path, data in want.items():
            if not self._holds(path, data):
                raise LinkError(f"{self.port}: {path} on the board differs from what was sent; {KEPT}: try again")

    def _try(self, folder: str, name: str, model: str) -> tuple[str, tuple[str, ...], int]:
        """Run the self-test; returns (its line, kernel sets, free heap in bytes). Raises BoardError unless it passes.

        The interpreter must be fresh: nothing may have imported urnn since the last soft reset.
        """
        staged = bool(folder)
        kept = KEPT if staged else "the files are those that were sent: deploy again"
        try:
            answer = self.link.run_script("trial.py", folder, name, model, timeout_s=TRIAL_TIMEOUT_S)
        except BoardError as error:
            text = str(error)
            if "MemoryError" in text or "memory allocation" in text:
                raise BoardError(
                    f"{text}; expected room in the heap for urnn and {self.model.name}; {kept}: a smaller model"
                ) from None
            raise BoardError(f"{text}; expected {self.model.name} to load; {kept}") from None
        said, sets, heap = answer.splitlines()
        if not said.startswith("PASS"):
            raise BoardError(
                f"{self.port}: self-test: {said}; expected PASS; {kept}: report it with `tinyrnn devices --json`"
            )
        return said, tuple(sets.split()), int(heap)

    def _switch(self, new_pointer: bool, new_model: bool) -> None:
        """Do the two renames. Between them, the new package runs the old model."""
        pairs = [(f"{self.pointer}~", self.pointer)] if new_pointer else []
        pairs += [(self.staged, self.place)] if new_model else []
        self.link.run_script("files.py", "rename", *pairs)

    def _clean(self, version: str) -> None:
        """Remove older versions, a copy made by hand, and the remains of an interrupted deploy."""
        keep = (self.pointer, self.place)
        old = [path for path in (*self.found, *self.folders) if path not in keep and not path.startswith(version + "/")]
        old = [path for path in old if path != f"{self.root}/"]
        old = sorted(old, key=lambda path: (path.endswith("/"), -path.count("/")))
        if old:
            self.link.run_script("files.py", "remove", *old)


def _same(said: tuple[int, str], data: bytes) -> bool:
    """Whether (bytes, digest), as scripts/files.py gives it, is that of data.

    The digest is a SHA-256, or a CRC-32 where the firmware has no hashes.
    """
    size, digest = said
    mine = hashlib.sha256(data).hexdigest() if len(digest) == 64 else f"{zlib.crc32(data):08x}"
    return size == len(data) and digest == mine
