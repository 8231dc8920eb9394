# SPDX-License-Identifier: MIT
"""The packages, found in the folders. Everything else about the project is in pyproject.toml.

pyproject.toml can only find packages below a folder that has the package's name. The boards' data files are in boards/,
beside the code and not below it, and are installed as the package tinyrnn.boarddata: only setup() can add that one.
"""

from setuptools import find_namespace_packages, setup

CODE = {"tinyrnn": "host", "urnn": "device", "urnn-stubs": "device"}  # package -> the folder that it is in
BOARDS = "tinyrnn.boarddata"

setup(
    packages=[
        *(
            name
            for folder in sorted({*CODE.values()})
            for name in find_namespace_packages(folder, exclude=["*.__pycache__"])
        ),
        BOARDS,
    ],
    package_dir={**{name: f"{folder}/{name}" for name, folder in CODE.items()}, BOARDS: "boards"},
    package_data={"": ["*"]},  # scripts, C sources, tables, py.typed: whatever is in a package's folder
)
