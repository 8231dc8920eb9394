# SPDX-License-Identifier: MIT
"""What several tools share. The tools themselves, one folder up, are what people start by hand."""
