# SPDX-License-Identifier: MIT
"""Importers of PyTorch files: state_dicts here, torch.export programs in exported/.

Imports float_model and the modules that all importers share; never the trainer.
"""
