"""The network in float, in numpy: cells, layers, the file model.pt, evaluation. It is what a trainer or an importer produces
and what the quantizer consumes. Imports data; nothing of the integer network.
"""
