"""urnn: recurrent networks in integers, on a stock MicroPython board.

    import urnn
    net = urnn.load("gesture.urnn")
    net.step((120, -30, 990))     # raw sensor integers in
    net.argmax()                  # the class

load() allocates everything the net will ever need; step() allocates nothing.
"""

from .format import unseal
from .net import Net

__version__ = "0.1.0"

# Best first. Each module holds the same functions with the same arguments and results.
_SETS = ("viper", "plain")


def _kernel_set(name):
    # A decorator that the firmware lacks is a SyntaxError, an .mpy for another chip a ValueError.
    try:
        return __import__("urnn.kernels_" + name, None, None, ("NAME",))
    except (ImportError, SyntaxError, ValueError):
        return None


def kernels():
    """The names of the kernel sets that this runtime can use, best first."""
    return [name for name in _SETS if _kernel_set(name)]


def load(source, kernels=None):
    """Read a model and return a Net, ready to step.

    source: the path of a .urnn file, or its bytes in a bytes-like object, which is then used in place.
    kernels: the name of a kernel set; default the best that this runtime has.
    Raises ValueError for a file that is damaged, hostile or not for this version, and for kernels that are not here.
    """
    if isinstance(source, str):
        with open(source, "rb") as f:
            size = f.seek(0, 2)
            f.seek(0)
            data = bytearray(size)
            f.readinto(data)
    else:
        data = source
    sections = unseal(data)
    for name in _SETS if kernels is None else (kernels,):
        found = _kernel_set(name)
        if found:
            return Net(data, sections, found)
    raise ValueError("kernels %r are not on this runtime; urnn.kernels() lists what is" % kernels)
