# SPDX-License-Identifier: MIT
"""Run on a board: the names of the kernel sets that urnn has there, best first."""


def main():
    import urnn

    return " ".join(urnn.kernel_sets())
