# SPDX-License-Identifier: MIT
"""Read and write files on this computer.

Only ordinary files are read. A file is written completely or not at all. A file that tinyrnn did not write is never
replaced. Every command reads models and recordings with read(), writes with write(), and calls check_output() before it
starts work.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shlex
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tinyrnn.errors import ModelError

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]

TEMPORARY = re.compile(r"\.tinyrnn-[0-9a-f]{16}\.tmp")  # 29 bytes, a length that every file system allows
LARGEST_BYTES = 256 << 20  # limit for a file read into memory; a board holds a thousandth of it
LONGEST_NAME = 255  # bytes; used when the system does not report its limit
FLOAT_MARK = b"tinyrnn-float-"  # how the formats in float_model/model_file.py begin
_KINDS = (
    (stat.S_ISDIR, "is a folder"),
    (stat.S_ISFIFO, "is a FIFO"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


# ---- reading


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open an ordinary file for reading. Never blocks. Raises OSError, also for a folder, FIFO, socket or device."""
    # Without O_NONBLOCK, opening a FIFO would wait for a writer before fstat() can tell that it is one
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
    try:
        _require_file(os.stat(path), path)
        handle = os.open(path, flags)
    except ValueError:  # a zero byte in the name
        raise OSError(errno.EINVAL, "no file can have that name", os.fspath(path)) from None
    try:
        _require_file(os.fstat(handle), path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read(path: str | os.PathLike[str], largest: int) -> bytes:
    """The bytes of an ordinary file. Raises OSError if it is missing, not an ordinary file, or larger than ``largest``."""
    with open_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        data = stream.read(largest + 1) if size <= largest else b""
        size = max(size, len(data))
    if size > largest:
        raise OSError(errno.EFBIG, f"has {size} bytes, more than {largest}", os.fspath(path))
    return data


def title(name: str) -> str:
    """A file's name as text, to name a model or recording. Bytes that are not UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace").replace("\ufffd", "?")


def _require_file(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = next((words for test, words in _KINDS if test(status.st_mode)), "is not an ordinary file")
        raise OSError(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL, what, os.fspath(path))


# ---- writing


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write data to path and flush it to disk. Raises OSError; an existing file is then unchanged.

    The data are written to a temporary file beside path, which is then renamed. A symbolic link is followed. A new file
    gets the mode that the umask allows; a replaced file keeps its mode. Temporary files of killed processes are removed.
    """
    target = _target(path)
    sweep(target.parent)
    mode = _mode(target)
    stream, temporary = _create(target.parent)
    try:
        with stream:
            stream.write(data)
            stream.flush()
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
            if fcntl is not None:  # while the file is locked, see sweep()
                os.replace(temporary, target)
        if fcntl is None:  # Windows cannot rename an open file
            os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that killed processes left in a folder, never those of a running process.

    A writer holds a lock on its file, which the system releases when the process ends.
    """
    try:
        with os.scandir(folder) as entries:
            found = [entry.path for entry in entries if TEMPORARY.fullmatch(entry.name)]
    except OSError:
        return
    for path in found:
        try:
            if fcntl is None:
                os.unlink(path)
                continue
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(handle)
        except OSError:  # in use, or already removed by another process
            pass


def beside(path: Path, suffix: str) -> Path:
    """The path with suffix added to the name. A name that is too long for its folder is shortened, with a hash."""
    name = path.name + suffix
    if len(os.fsencode(name)) > _longest_name(path.parent):
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        name = f"{path.name[:20]}-{digest}{suffix}"
    return path.with_name(name)


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return LONGEST_NAME


def _target(path: str | os.PathLike[str]) -> Path:
    """The file to write, with symbolic links followed. Raises OSError if it exists and is not an ordinary file."""
    target = Path(os.path.realpath(path))
    try:
        _require_file(os.stat(path), path)
    except FileNotFoundError:
        pass
    return target


def _mode(target: Path) -> int | None:
    """The permissions of the file to replace, None if there is none. Raises OSError if it is write-protected."""
    try:
        mode = stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        return None
    if not os.access(target, os.W_OK):
        raise OSError(errno.EACCES, "is write-protected", os.fspath(target))
    return mode & 0o777


def _create(folder: Path) -> tuple[BinaryIO, str]:
    """A new temporary file, open and locked, and its path."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        path = os.path.join(folder, f".tinyrnn-{os.urandom(8).hex()}.tmp")
        handle = os.open(path, flags, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path):
                return os.fdopen(handle, "r+b"), path
        except BlockingIOError:  # the sweep() of another process locked the file first, and will remove it
            pass
        except OSError:  # a file system without locks, where sweep() removes nothing
            return os.fdopen(handle, "r+b"), path
        os.close(handle)


# ---- what a command may replace


@dataclass(frozen=True)
class Kind:
    """A kind of file that commands write."""

    words: str
    example: str
    is_one: Callable[[BinaryIO], bool]


def _is_float(stream: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(stream) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            return len(names) == 1 and FLOAT_MARK in archive.open(names[0]).read(1 << 16)
    except Exception:  # zipfile raises many kinds of exception for a damaged file
        return False


FLOAT = Kind("a model.pt that tinyrnn wrote", "model.pt", _is_float)
PACKED = Kind("a .urnn file", "model.urnn", lambda stream: stream.read(4) == b"URNN")
REPORT_MARK = b"<!DOCTYPE html>\n<!-- tinyrnn report -->"  # how the page of report/page.html begins
REPORT = Kind("a report that tinyrnn wrote", "report.html", lambda stream: stream.read(len(REPORT_MARK)) == REPORT_MARK)
# Only tinyrnn uses such names, so whatever has one is a checkpoint, and a damaged one is replaced
CHECKPOINT = Kind("a checkpoint", "model.part", lambda stream: True)


def check_output(output: Path, kind: Kind, inputs: Iterable[str | os.PathLike[str] | None] = (), work: str = "read") -> None:
    """Raise ModelError if a file of that kind cannot or must not be written to ``output``. Called before any work.

    These outputs are refused: one of the inputs, even under another name; a folder, FIFO, socket or device; a file of
    another kind, unless it is empty; a write-protected file; a file in a folder that is missing or not writable.
    ``work`` is a verb for the message: what the command does with the inputs.
    """
    try:
        target = _target(output)
        there = target.exists()
    except IsADirectoryError:
        raise ModelError(f"{output}: is a folder; expected the name of a file, such as {output / kind.example}") from None
    except NotADirectoryError:
        raise _no_folder(output) from None
    except OSError as error:
        what = error.strerror if str(error.strerror).startswith("is ") else f"cannot be written ({error.strerror})"
        raise ModelError(f"{output}: {what}; expected the name of a file: choose another with -o") from None
    if not target.parent.is_dir():
        raise _no_folder(output if target.parent == Path(os.path.realpath(output.parent)) else target)
    if kind is CHECKPOINT and os.path.islink(output):
        raise ModelError(f"{output}: is a link; expected a checkpoint or no file: remove it, or choose another -o")
    if there:
        for path in inputs:
            if path is not None and os.path.exists(path) and os.path.samefile(path, target):
                raise ModelError(f"{output}: is the file to {work}; choose another name with -o")
        _check_kind(output, target, kind)
    sweep(target.parent)
    try:
        _mode(target)
        stream, temporary = _create(target.parent)
    except OSError as error:
        if there and error.strerror == "is write-protected":
            raise ModelError(f"{output}: is write-protected; choose another name with -o") from None
        raise ModelError(
            f"{output}: the folder {target.parent} is not writable ({error.strerror}); choose another folder with -o"
        ) from None
    stream.close()
    os.unlink(temporary)


def replaceable(path: Path, kind: Kind) -> bool:
    """Whether the file is empty or of that kind. Raises OSError if it is not an ordinary file."""
    with open_file(path) as stream:
        return os.fstat(stream.fileno()).st_size == 0 or kind.is_one(stream)


def _check_kind(output: Path, target: Path, kind: Kind) -> None:
    try:
        ours = replaceable(target, kind)
    except OSError as error:
        raise ModelError(f"{output}: cannot be read ({error.strerror}); choose another name with -o") from None
    if not ours:
        raise ModelError(
            f"{output}: exists and is not {kind.words}, so it is not replaced; choose another name with -o, or move it away"
        )


def _no_folder(output: Path) -> ModelError:
    """The error that says what is wrong with the folder of an output."""
    folder = output.parent
    for part in (folder, *folder.parents):
        if os.path.lexists(part):
            if not part.is_dir():
                return ModelError(f"{output}: {part} is not a folder; choose another place with -o")
            break
    return ModelError(f"{output}: the folder {folder} does not exist; make it with: mkdir -p {shlex.quote(str(folder))}")
