# SPDX-License-Identifier: MIT
"""Weight folding: computes weights that a state_dict stores as several arrays: weight_norm, spectral_norm and pruning."""

from __future__ import annotations

import re

import numpy as np

from tinyrnn.importers.source_model import refuse

NEW = re.compile(r"(.*?)(?:^|(?<=\.))parametrizations\.([^.]+)\.(.+)")


def folded(state: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The state_dict with the computed weights in place, and a note for each. Raises ModelError for unknown arrays."""
    state, new = _parametrized(state)
    old: list[str] = []
    while True:
        found = next((made for key in state if (made := _old_style(state, key))), None)
        if found is None:
            return state, (*new, *old)
        name, weight, keys, kind = found
        state = _replaced(state, name, weight, keys)
        old.append(f"{name}: {kind} folded into the weight, as in eval mode")


def _replaced(state: dict[str, np.ndarray], name: str, weight: np.ndarray, keys: set[str]) -> dict[str, np.ndarray]:
    """The state_dict with the weight in the place of the first of its arrays."""
    result: dict[str, np.ndarray] = {}
    for key, value in state.items():
        if key in keys:
            result.setdefault(name, weight)
        else:
            result[key] = value
    return result


def _old_style(state: dict[str, np.ndarray], key: str) -> tuple[str, np.ndarray, set[str], str] | None:
    """A weight of torch.nn.utils.weight_norm, spectral_norm or prune: NAME_g, NAME_v, or NAME_orig, NAME_u or NAME_mask.

    Returns the name, the weight, the keys of its arrays and the kind; None for any other key.
    """
    if key.endswith("_v") and f"{key[:-2]}_g" in state:
        name = key[:-2]
        return name, weight_norm(name, state[f"{name}_g"], state[key]), {f"{name}_g", key}, "weight_norm"
    if not key.endswith("_orig"):
        return None
    name = key[:-5]
    if f"{name}_mask" in state:
        mask = state[f"{name}_mask"]
        if mask.shape != state[key].shape:
            raise refuse(key, f"has shape {state[key].shape} and a mask of {mask.shape}", "save it again")
        return name, state[key] * mask, {key, f"{name}_mask"}, "pruning"
    if f"{name}_u" in state:
        vectors = state[f"{name}_u"], state.get(f"{name}_v")
        return name, spectral_norm(name, state[key], *vectors), {key, f"{name}_u", f"{name}_v"}, "spectral_norm"
    return None


def _parametrized(state: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Fold the weights of torch.nn.utils.parametrizations: MODULE.parametrizations.NAME.original and related arrays."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, value in state.items():
        match = NEW.fullmatch(key)
        if match:
            groups.setdefault(f"{match[1]}{match[2]}", {})[match[3]] = value
    notes = []
    for name, parts in groups.items():
        if set(parts) == {"original0", "original1"}:
            kind, weight = "weight_norm", weight_norm(name, parts["original0"], parts["original1"])
        elif set(parts) == {"original", "0._u", "0._v"}:
            kind, weight = "spectral_norm", spectral_norm(name, parts["original"], parts["0._u"], parts["0._v"])
        else:
            module, _, own = name.rpartition(".")
            where = f"model.{module}" if module else "model"
            cure = f'before saving: torch.nn.utils.parametrize.remove_parametrizations({where}, "{own}")'
            seen = f"has a parametrization that is neither weight_norm nor spectral_norm ({', '.join(parts):.40})"
            raise refuse(name, seen, f"remove it {cure}")
        prefix = name[: len(name) - len(name.rpartition(".")[2])]
        keys = {f"{prefix}parametrizations.{name[len(prefix) :]}.{part}" for part in parts}
        state = _replaced(state, name, weight, keys)
        notes.append(f"{name}: {kind} folded into the weight, as in eval mode")
    return state, tuple(notes)


def weight_norm(name: str, g: np.ndarray, v: np.ndarray) -> np.ndarray:
    """v * g / |v|, with the length over the axes along which g has one number."""
    if g.ndim not in (0, v.ndim) or any(n not in (1, m) for n, m in zip(g.shape, v.shape, strict=False)):
        raise refuse(name, f"has a magnitude of shape {g.shape} for a direction of {v.shape}", "save it again")
    axes = tuple(range(v.ndim)) if g.ndim == 0 else tuple(axis for axis, n in enumerate(g.shape) if n == 1)
    length = np.sqrt((v * v).sum(axis=axes, keepdims=True))
    if not length.all():
        raise refuse(name, "has a weight_norm direction of length zero", "train it further, or change that row")
    return np.asarray(v * (g / length))


def spectral_norm(name: str, weight: np.ndarray, u: np.ndarray, v: np.ndarray | None) -> np.ndarray:
    """weight / (u . W v), where W is the weight as a matrix whose rows run along the axis of u."""
    axis = next((i for i, n in enumerate(weight.shape) if u.shape == (n,)), None)
    matrix = None if axis is None else np.moveaxis(weight, axis, 0).reshape(len(u), -1)
    if matrix is None or v is None or v.shape != (matrix.shape[1],):
        seen = f"has no spectral norm vectors that match its shape {weight.shape}"
        raise refuse(name, seen, "save it with PyTorch 1.2 or later")
    sigma = float(u @ matrix @ v)
    if not sigma:
        raise refuse(name, "has a spectral norm of zero", "train it further")
    return np.asarray(weight / sigma)
