"""The limits of the arithmetic and of the file, which docs/numerics.md derives. It imports nothing."""

LIMIT = 1 << 30  # the 31-bit range: every intermediate v satisfies -LIMIT <= v < LIMIT
ACTIVATION_MAX = 32767  # of inputs after normalisation, states and saturated gates
U16_MAX = 0xFFFF  # of a count in the file
