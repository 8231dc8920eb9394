# SPDX-License-Identifier: MIT
"""The most common PyTorch idioms as .pt2 and as .onnx: each is imported, or the table in docs/import.md says why not.

As a script, it writes the table: python tests/importers/test_import_idioms.py.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package
from shared.paths import DOCS

torch = need_package("torch")
need_package("onnxruntime")

from helpers.import_idioms import IDIOMS, Net
from tinyrnn import importers
from tinyrnn.errors import TinyrnnError
from tinyrnn.importers import float_conversion, framework_check

TABLE_PAGE = DOCS / "import.md"
HEAD = "| idiom | .pt2 | .onnx, `dynamo=False` |"
BY_CHANCE = "h0 = torch.randn(...)"  # no file of it answers twice alike


def files(name: str, folder: Path) -> tuple[Net, Any, dict[str, Path]]:
    """The idiom's network, an input and its two files."""
    torch.manual_seed(1)
    net, x = Net(IDIOMS[name]).eval(), torch.randn(2, 5, 3)
    paths = {suffix: folder / f"m.{suffix}" for suffix in ("pt2", "onnx")}
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net, (x,)), paths["pt2"])
        torch.onnx.export(
            net, (x,), paths["onnx"], dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch", 1: "time"}}
        )
    logging.disable(logging.NOTSET)
    return net, x, paths


def outcome(path: Path) -> str:
    """ "imported", or the reason why not."""
    try:
        source = importers.read(path)
        framework_check.compare(source, float_conversion.build(source, float_conversion.Settings(ranges=((-1, 1),)), None))
    except TinyrnnError as error:
        seen = str(error).replace(f"{path}: ", "").split(";")[0]
        return "refused: " + (seen.split("): ", 1)[1] if "): " in seen else seen.split(": ", 1)[-1]).replace("|", "/")
    return "imported"


def row(name: str, folder: Path) -> str:
    paths = files(name, folder)[2]
    return f"| `{name}` | {outcome(paths['pt2'])} | {outcome(paths['onnx'])} |"


def ended(tail: tuple[str, ...], logits: np.ndarray) -> np.ndarray:
    """What the network's last function makes of the model's logits (B, T, O)."""
    found = torch.from_numpy(logits)
    if tail == ("sigmoid",):  # two classes with the logits 0 and z
        found = torch.sigmoid(found[..., 1:] - found[..., :1])
    elif tail:
        found = getattr(torch, tail[-1])(found, dim=-1)
    result: np.ndarray = found.numpy()
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", IDIOMS)
def test_idiom(name: str, tmp_path: Path) -> None:
    """The row of the table is up to date, and the imported .pt2 gives the network's answers."""
    net, x, paths = files(name, tmp_path)
    found = {suffix: outcome(path) for suffix, path in paths.items()}
    assert f"| `{name}` | {found['pt2']} | {found['onnx']} |" in TABLE_PAGE.read_text()
    assert found["pt2"] == "imported" or name == BY_CHANCE
    if name == BY_CHANCE:
        return
    source = importers.read(paths["pt2"])
    model = float_conversion.build(source, float_conversion.Settings(ranges=((-4, 4),)), None)
    with torch.no_grad():
        want = net(x)
    want = next(iter(want.values())) if isinstance(want, dict) else want[0] if isinstance(want, tuple) else want
    got = ended(source.tail, model.forward(x.numpy()))
    got = got[:, -1] if source.when == "last" else got
    exact = 0.05 if want.dtype == torch.bfloat16 else 1e-5  # autocast: the file is taken in full precision
    np.testing.assert_allclose(got.reshape(-1), want.double().numpy().reshape(-1), atol=exact)


def test_table() -> None:
    """The table has every idiom in order and no other, and at least 49."""
    text = TABLE_PAGE.read_text()
    rows = text[text.index(HEAD) :].split("\n\n")[0].splitlines()[2:]
    assert [line.split(" | ")[0].strip("| `") for line in rows] == [name.strip("` ") for name in IDIOMS]
    assert len(rows) >= 49


def write_table(folder: Path) -> None:
    """Write the current table into docs/import.md."""
    text = TABLE_PAGE.read_text()
    start = text.index(HEAD)
    end = text.index("\n\n", start)
    rows = [HEAD, "|---|---|---|", *(row(name, folder) for name in IDIOMS)]
    TABLE_PAGE.write_text(text[:start] + "\n".join(rows) + text[end:])


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        write_table(Path(made))
