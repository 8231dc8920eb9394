# SPDX-License-Identifier: MIT
"""The report of ``tinyrnn report``: a page that shows how good a model is on a recording, and where it is wrong.

``measurement`` runs the float and the integer model, ``charts`` draws, and ``page`` writes the HTML. Everything that comes
from a file is untrusted: jinja2 and matplotlib escape it, and the page forbids scripts and requests.
"""
