# SPDX-License-Identifier: MIT
"""The simple recurrent network with ReLU: ``train --cell rnn-relu``."""

from tinyrnn.float_model.cells.rnn import RNN

CELL = RNN
OPTIONS = {"nonlinearity": "relu"}
