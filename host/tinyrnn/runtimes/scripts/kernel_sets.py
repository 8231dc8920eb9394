# SPDX-License-Identifier: MIT
"""Run on a board: the names of urnn's kernel sets there, best first."""


def main():
    import urnn

    return " ".join(urnn.kernel_sets())
