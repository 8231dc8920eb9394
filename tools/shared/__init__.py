# SPDX-License-Identifier: MIT
"""Code that several tools share. The folder above holds the tools, which people start by hand."""
