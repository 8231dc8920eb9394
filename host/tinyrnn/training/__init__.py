"""The trainer, in torch: architecture, initial weights, training, checkpoint.

Imports float_model and data; nothing of the integer network.
"""
