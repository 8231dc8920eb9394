# SPDX-License-Identifier: MIT
"""What the tests of all importers do with a file: import it, or expect a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tinyrnn import importers
from tinyrnn.errors import ModelError
from tinyrnn.float_model.model import FloatModel
from tinyrnn.importers import float_conversion, framework_check
from tinyrnn.importers.source_model import Options, SourceModel


def read(path: Path, options: Options | None = None, **settings: Any) -> tuple[SourceModel, FloatModel]:
    """The file's content and its model, which gives the answers of the file's own framework."""
    source = importers.read(path, options)
    model = float_conversion.build(source, float_conversion.Settings(**settings), None)
    assert framework_check.compare(source, model)[0] <= framework_check.LIMIT
    return source, model


def imported(path: Path, options: Options | None = None, **settings: Any) -> FloatModel:
    """The model alone."""
    return read(path, options, **settings)[1]


def refused(path: Path, message: str, options: Options | None = None) -> None:
    """Expect the import to end in one line with this message."""
    with pytest.raises(ModelError, match=message) as caught:
        imported(path, options)
    assert "\n" not in str(caught.value)
