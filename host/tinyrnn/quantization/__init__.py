# SPDX-License-Identifier: MIT
"""Quantization of the float network to the integer network, one module for each cell, and the error that it makes.

Imports float_model, integer_model and data.
"""
