"""Files of PyTorch: state_dicts here, torch.export programs in exported/.

Imports what the importers share, and float_model; never the trainer.
"""
