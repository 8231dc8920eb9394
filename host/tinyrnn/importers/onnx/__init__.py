# SPDX-License-Identifier: MIT
"""Importer of ONNX files: the graph is followed from its input with named axes.

Imports float_model and the modules that all importers share.
"""
