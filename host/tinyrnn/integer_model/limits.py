# SPDX-License-Identifier: MIT
"""The limits of the arithmetic and of the file. docs/numerics.md derives them. Imports nothing."""

LIMIT = 1 << 30  # the 31-bit range: every intermediate value v satisfies -LIMIT <= v < LIMIT
ACTIVATION_MAX = 32767  # largest magnitude of normalised inputs, states and saturated gates
U16_MAX = 0xFFFF  # largest count in the file
