# SPDX-License-Identifier: MIT
"""The ports of this computer: those on USB, and those that TINYRNN_PORTS names."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tinyrnn.errors import LinkError

VARIABLE = "TINYRNN_PORTS"  # ports that are not on USB, such as pseudo terminals and RFC 2217; separated as in PATH


@dataclass(frozen=True)
class Found:
    """A port that may have a board on it."""

    path: str
    usb: str  # vendor and product, such as "2e8a:0005"; "" for a port that is not on USB
    description: str


def find() -> list[Found]:
    """The USB ports, sorted by name, then those of VARIABLE. The computer's own serial ports are left out."""
    from serial.tools import list_ports

    listed = [
        Found(port.device, f"{port.vid:04x}:{port.pid:04x}", port.product or port.description or "")
        for port in list_ports.comports()
        if port.vid is not None
    ]
    known = {port.path for port in listed}
    named = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name and name not in known]
    return sorted(listed, key=lambda port: port.path) + [Found(name, "", f"from {VARIABLE}") for name in named]


def only() -> str:
    """The path of the only port. Raises LinkError when there is none, or more than one."""
    ports = find()
    if len(ports) == 1:
        return ports[0].path
    if not ports:
        raise LinkError(
            "no board found on USB; expected one: plug it in with a cable that carries data, or name its port with --port"
        )
    listed = ", ".join(port.path for port in ports)
    raise LinkError(f"{len(ports)} boards: {listed}; expected one: choose with --port, or take --all")
