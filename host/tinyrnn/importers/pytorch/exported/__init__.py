# SPDX-License-Identifier: MIT
"""Importer of torch.export programs, .pt2: the graph is read as JSON and followed node by node.

Imports float_model, the modules that all importers share, and ``cell`` of pytorch.modules.
"""
