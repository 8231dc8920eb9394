"""ONNX files: the graph is followed from its input with named axes.

Imports what the importers share, and float_model.
"""
