# SPDX-License-Identifier: MIT
"""What the kernels' source files repeat: codes, machine words and their comments, generated lines."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import capstone
import pytest
import unroll
from tinyrnn.emulation.core_board import PACKAGE
from urnn import program

CONSTANT = re.compile(r"^_([A-Z]+) = const\((\d+)\)", re.MULTILINE)
DATA = re.compile(r"^ +data\(2, (0x[0-9A-F]{4}(?:, 0x[0-9A-F]{4})*)\)  # (.+)$", re.MULTILINE)
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.glob("*.py"))}
WITH_CODES = [
    name for name, text in SOURCES.items() if CONSTANT.search(text) and re.search(r"^CODES = \(_", text, re.MULTILINE)
]
WITH_DATA = [name for name, text in SOURCES.items() if "data(2" in text]


def test_modules_with_machine_code_repeat_their_codes() -> None:
    assert WITH_CODES == [
        "gates_asm_thumb.py",
        "gates_viper.py",
        "kernels_asm_dsp.py",
        "kernels_asm_thumb.py",
        "kernels_viper.py",
    ]


@pytest.mark.parametrize("name", WITH_CODES)
def test_codes_are_those_of_the_program(name: str) -> None:
    """A const() cannot be imported, so its number is repeated. CODES and the family follow from it."""
    constants = {word: int(number) for word, number in CONSTANT.findall(SOURCES[name])}
    listed = re.search(r"^CODES = \((.+?),?\)$", SOURCES[name], re.MULTILINE)
    assert listed
    codes = {word: constants[word] for word in re.findall(r"_([A-Z]+)", listed[1])}
    assert codes == {word: getattr(program, word) for word in codes}
    assert set(constants) == set(codes), "each code is in CODES"
    family = program.FAMILIES.index(name.partition("_")[0])
    assert {code >> 4 for code in codes.values()} == {family}


def test_no_kernel_compares_with_a_bare_number() -> None:
    for name, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Compare) and ast.unparse(node.left) in ("code", "code & 30"):
                assert not isinstance(node.comparators[0], ast.Constant), f"{name}:{node.lineno}: {ast.unparse(node)}"


# What capstone writes, and the comments with the inline assembler's names and numbers


def disassembled(words: bytes) -> str:
    decoder = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
    decoder.syntax = capstone.CS_OPT_SYNTAX_NOREGNAME
    found = list(decoder.disasm(words, 0))
    assert sum(instruction.size for instruction in found) == len(words)
    assert len(found) == 1
    return plain(f"{found[0].mnemonic} {found[0].op_str}")


def plain(text: str) -> str:
    """One spelling of an instruction: decimal numbers without #, every register by number, lists without ranges."""
    text = re.sub(r"0x([0-9a-f]+)", lambda m: str(int(m[1], 16)), text.strip().replace("#", ""))
    text = re.sub(r"^(ldm|stm)ia\b", r"\1", text)
    text = re.sub(r"^(d[ms]b) sy$", r"\1", text)  # a barrier for the whole system, which is the default
    text = re.sub(r"\[(\w+)\]$", r"[\1, 0]", text)
    for number, name in ((13, "sp"), (14, "lr"), (15, "pc")):
        text = re.sub(rf"\b{name}\b", f"r{number}", text)
    return re.sub(r"r(\d+)-r(\d+)", lambda m: ", ".join(f"r{n}" for n in range(int(m[1]), int(m[2]) + 1)), text)


def unlike(text: str) -> list[str]:
    """The lines whose comment does not start with the instruction that their words encode."""
    found = []
    for match in DATA.finditer(text):
        words = b"".join(int(word, 16).to_bytes(2, "little") for word in match[1].split(", "))
        said, meant = plain(match[2].partition(":")[0]), disassembled(words)
        if said != meant:
            number = text.count("\n", 0, match.start()) + 1
            found.append(f"line {number}: {match[0].strip()}: the words are {meant!r}")
    return found


@pytest.mark.parametrize("name", WITH_DATA)
def test_machine_words_are_what_their_comments_say(name: str) -> None:
    text = SOURCES[name]
    assert len(DATA.findall(text)) == text.count(" data(2"), "each has a comment"
    assert not unlike(text)


def test_a_wrong_comment_is_seen() -> None:
    text = SOURCES["kernels_asm_thumb.py"]
    line = "data(2, 0x4445)  # add r5, r8"
    assert line in text
    (found,) = unlike(text.replace(line, "data(2, 0x4445)  # add r5, r9", 1))
    assert "the words are 'add r5, r8'" in found


def test_unrolled_columns_are_generated() -> None:
    for name in unroll.REGIONS:
        assert unroll.generated(name, SOURCES[name]) == SOURCES[name], f"{name}: run tools/unroll.py"
        assert "tools/unroll.py" in SOURCES[name].splitlines()[0]


def test_generation_mends_a_changed_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "kernels_viper.py"
    text = SOURCES[name].replace("m = ptr8(w[15])", "m = ptr8(w[14])")
    assert text != SOURCES[name]
    for each in unroll.REGIONS:
        (tmp_path / each).write_text(SOURCES[each], encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(unroll, "PACKAGE", tmp_path)
    assert unroll.main(["--check"]) == 1
    assert (tmp_path / name).read_text(encoding="utf-8") == text
    assert unroll.main([]) == 0
    assert (tmp_path / name).read_text(encoding="utf-8") == SOURCES[name]
    assert unroll.main(["--check"]) == 0
    with pytest.raises(ValueError, match="expected each of"):
        unroll.generated(name, text.replace("# Generated by tools/unroll.py: one column", ""))
