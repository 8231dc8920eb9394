# SPDX-License-Identifier: MIT
"""Boards on a port: find, identify, deploy. ``link`` (on ``rawrepl``) is the one place that talks to a port."""
