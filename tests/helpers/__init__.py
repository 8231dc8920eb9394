# SPDX-License-Identifier: MIT
"""What several tests share: random models, boards to deploy to, cables that fail, places in the checkout."""
