# SPDX-License-Identifier: MIT
"""The GRU that applies its reset gate before the recurrent product: ``train --cell gru-reset-before``."""

from tinyrnn.float_model.cells.gru import GRU

CELL = GRU
OPTIONS = {"reset_after": False}
