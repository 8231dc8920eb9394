# SPDX-License-Identifier: MIT
"""The float network in numpy: cells, layers, the file model.pt, evaluation. Trainer and importers produce it.

Imports data; nothing of the integer network.
"""
