# SPDX-License-Identifier: MIT
"""Types of urnn.serve: the line protocol over the REPL, docs/protocol.md."""

def serve() -> None: ...
