# SPDX-License-Identifier: MIT
"""What several tests share: random models, boards to deploy to, faulty cables, runtimes."""
