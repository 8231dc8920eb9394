"""The arrays in an .npz file, checked for type and numbers. Never unpickles: files come from anywhere."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tinyrnn.data.recording import LARGEST
from tinyrnn.errors import DataError

ENTRIES = ("x", "y", "lengths", "x_test", "y_test", "lengths_test", "labels", "channels", "when")
# What numpy and zipfile raise for a damaged file, besides ValueError.
UNREADABLE = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,  # an unknown compression
    RuntimeError,  # an encrypted file
    tokenize.TokenError,  # numpy's header is Python text
    SyntaxError,
    OverflowError,
    AttributeError,  # np.load() gave an array: the file is an .npy
    TypeError,
)


def read_entries(path: Path) -> dict[str, np.ndarray]:
    """All entries. DataError when the file is no .npz, holds objects or unknown names, lacks x or y."""
    try:
        with np.load(path, allow_pickle=False) as file:
            unknown = [name for name in file.files if name not in ENTRIES]
            if unknown:
                raise DataError(
                    f"{path}: unknown entry {unknown[0]!r}; expected some of {', '.join(ENTRIES)}, rename it"
                )
            for name in ("x", "y"):
                if name not in file.files:
                    raise DataError(
                        f"{path}: no entry {name!r} among {', '.join(file.files) or 'none'}; expected x and"
                        " y, save it under that name"
                    )
            entries = {name: file[name] for name in file.files}
            for name, value in entries.items():
                if not isinstance(value, np.ndarray):  # numpy hands out the bytes of what is no array
                    raise ValueError(f"{name} is no array")
    except (ValueError, MemoryError) as error:
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise DataError(
                f"{path}: holds pickled objects, or is no .npz file; expected plain arrays, "
                "pad sequences of different lengths and give lengths"
            ) from None
        raise DataError(f"{path}: damaged ({_reason(error)}); expected an .npz file, save it again") from None
    except UNREADABLE as error:
        raise DataError(
            f"{path}: cannot be read as .npz ({_reason(error)}); expected an .npz, write it with numpy.savez"
        ) from None
    if entries["y"].dtype.kind not in "iubfU":
        raise DataError(
            f"{path}: y is of {entries['y'].dtype}; expected integers or text (classes) or floats (targets)"
        )
    if entries["y"].ndim < 1:
        raise DataError(f"{path}: y is a single value; expected an answer for each sequence or step")
    return entries


def strings(path: Path, entry: str, entries: dict[str, np.ndarray], count: int | None) -> tuple[str, ...]:
    """The names in an entry, () when it is not there."""
    if entry not in entries:
        return ()
    value = entries[entry]
    if value.ndim != 1 or value.dtype.kind != "U" or count not in (None, len(value)):
        wanted = "names" if count is None else f"{count} names"
        raise DataError(
            f"{path}: {entry} has shape {value.shape} of {value.dtype}; expected {wanted}, a list of text"
        )
    return tuple(str(item) for item in value)


def floats(path: Path, entry: str, value: np.ndarray) -> np.ndarray:
    if value.dtype.kind not in "iubf":
        raise DataError(f"{path}: {entry} is of {value.dtype}; expected integers or floats")
    return np.ascontiguousarray(value, np.float64)


def check_finite(path: Path, entry: str, values: np.ndarray, sequence: int | None = None) -> None:
    bad = ~(np.abs(values) <= LARGEST)  # true for NaN also
    if bad.any():
        place = [int(i) for i in np.argwhere(bad)[0]]
        value = values[tuple(place)]
        at = ", ".join(str(i) for i in ([] if sequence is None else [sequence]) + place)
        raise DataError(
            f"{path}: {entry}[{at}] is {value}; expected a finite number up to {LARGEST:g}, leave the"
            " sequence out or mend it"
        )


def _reason(error: Exception) -> str:
    """The first line of an exception's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
