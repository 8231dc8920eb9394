# SPDX-License-Identifier: MIT
"""The trainer, in torch: architecture, initial weights, training, checkpoints.

Imports float_model and data; nothing of the integer network.
"""
