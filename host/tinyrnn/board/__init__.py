"""Boards on a port: find, identify, deploy. ``link`` is the one place that talks to a port."""
