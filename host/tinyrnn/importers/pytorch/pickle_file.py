# SPDX-License-Identifier: MIT
"""Reads what torch.save wrote, without running code from it: the names in the pickle are checked before it is loaded."""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import untrusted_files

LARGEST_PICKLE = 8 << 20
CURE = "save it with torch.save(model.state_dict(), FILE)"

# The names that torch.save writes for dictionaries of tensors; any other name is code or a custom object
_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Byte", "Char", "Bool")
KNOWN = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch Size",
    *(f"torch {name}Storage" for name in _STORAGES),
}


def load(path: Path) -> Any:
    """The contents of the file. Raises ModelError for anything but plain values and tensors."""
    torch = untrusted_files.need("torch", "to read PyTorch files", "train")
    size = untrusted_files.size_of(path)
    with open(path, "rb") as stream:
        start = stream.read(4)
    if start[:2] != b"PK":
        seen = "a pickle or a file of PyTorch before 1.6" if start[:1] == b"\x80" else "not a PyTorch file"
        raise ModelError(f"{path}: is {seen}; expected torch.save's archive: {CURE}")
    with untrusted_files.open_zip(path) as archive:
        names = archive.namelist()
        if any("/code/" in f"/{name}" for name in names):
            cure = f"torch.save(torch.jit.load({str(path)!r}).state_dict(), 'weights.pt')"
            raise ModelError(f"{path}: is a TorchScript program (torch.jit.save), with code; expected its weights: {cure}")
        if any("/models/" in f"/{name}" and name.endswith(".json") for name in names):
            raise ModelError(f"{path}: is a torch.export program; expected a name that ends in .pt2")
        if any(entry.compress_type for entry in archive.infolist()):
            raise ModelError(
                f"{path}: its archive is compressed, which PyTorch never does; expected torch.save's archive: {CURE}"
            )
        pickles = [name for name in names if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise ModelError(f"{path}: has {len(pickles)} entries data.pkl; expected torch.save's archive: {CURE}")
        _check_pickle(path, untrusted_files.entry(archive, pickles[0], LARGEST_PICKLE))
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of exception for a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: cannot be read ({reason:.90}); {CURE}") from None
    _check_tensors(path, found, size)
    return found


def _check_pickle(path: Path, data: bytes) -> None:
    """Raise ModelError if the pickle names anything but KNOWN, because loading it could run code."""
    try:
        for operation, argument, _ in pickletools.genops(data):
            if operation.name == "GLOBAL" and argument not in KNOWN:
                raise ModelError(
                    f"{path}: holds an object of {str(argument).replace(' ', '.'):.80}, not only tensors; {CURE}"
                )
            if operation.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
                raise ModelError(f"{path}: its pickle makes objects ({operation.name}), not only tensors; {CURE}")
    except ValueError as error:
        raise ModelError(f"{path}: its pickle is damaged ({error!s:.60}); {CURE}") from None


def _check_tensors(path: Path, found: Any, size: int) -> None:
    """Raise ModelError if the tensors claim more bytes than the file has."""
    import torch

    total = 0
    stack = [found]
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack += [] if id(value) in seen else value.values()
            seen.add(id(value))
        elif isinstance(value, (list, tuple)):
            stack += [] if id(value) in seen else value
            seen.add(id(value))
        elif isinstance(value, torch.Tensor):
            bytes_here = value.numel() * value.element_size()
            if bytes_here > value.untyped_storage().nbytes() or value.untyped_storage().nbytes() > size:
                raise ModelError(f"{path}: a tensor of shape {tuple(value.shape)} with too few numbers; {CURE}")
            total += 0 if value.data_ptr() in seen else bytes_here
            seen.add(value.data_ptr())
    if total > 4 * size:
        raise ModelError(f"{path}: tensors of {total} bytes in a file of {size}; {CURE}")


def array(tensor: Any) -> np.ndarray:
    """The tensor as float64."""
    import torch

    found: np.ndarray = tensor.detach().to(torch.float64).contiguous().numpy()
    return found
