"""Keras 3 files, .keras and .h5: layers along the one path from input to output.

Imports what the importers share, and float_model.
"""
