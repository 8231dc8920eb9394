# SPDX-License-Identifier: MIT
# Tells tinyrnn.runtimes what a runtime is: one "key value" a line. Runs on MicroPython and on CPython.
import sys


def viper() -> int:
    try:
        exec("import micropython\n@micropython.viper\ndef f(a: int) -> int:\n    return a + 1\nf(1)\n", {})
    except (ImportError, SyntaxError, AttributeError):
        return 0
    return 1


version = sys.implementation.version
print("implementation", sys.implementation.name)
stage = version[3] if len(version) > 3 and version[3] != "final" else ""
print("version", ".".join(str(part) for part in version[:3]) + ("-" + stage if stage else ""))
print("bits", 64 if sys.maxsize > 1 << 32 else 32)
print("viper", viper())
