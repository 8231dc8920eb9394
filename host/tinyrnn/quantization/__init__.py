"""From the float network to the integer network, one module for each cell, and how far the two are apart.

Imports float_model, integer_model and data.
"""
