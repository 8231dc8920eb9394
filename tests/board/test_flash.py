# SPDX-License-Identifier: MIT
"""A net reads its weights in place from an RP2's flash, through the buffer of rp2.Flash."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import installations
from shared.paths import DEVICE_SCRIPTS
from tinyrnn.board.deploy import deploy
from tinyrnn.board.link import Link
from tinyrnn.emulation.serial_ports import Port


def test_a_model_in_raw_flash_takes_no_heap(fresh_port: Port, tmp_path: Path) -> None:
    if fresh_port.name != "rp2040":
        pytest.skip(f"{fresh_port.name} has no rp2.Flash")
    model = installations.model(tmp_path, 1, units=32)
    deploy(fresh_port.path, model)
    with Link(fresh_port.path) as link:
        link.soft_reset()
        answer = link.exec((DEVICE_SCRIPTS / "raw_flash.py").read_text(), timeout_s=60)
    heap, said = answer.strip().split(" ", 1)
    assert said.startswith("PASS")
    assert 0 < int(heap) < len(model.data)
