# SPDX-License-Identifier: MIT
"""Importer of Keras files, .keras and .h5: the layers along the path from input to output.

Imports float_model and the modules that all importers share.
"""
