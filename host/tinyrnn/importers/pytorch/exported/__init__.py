# SPDX-License-Identifier: MIT
"""torch.export programs, .pt2: the graph is read as JSON and run node by node from a short list of operators.

Imports what the importers share, and float_model.
"""
