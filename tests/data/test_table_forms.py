# SPDX-License-Identifier: MIT
"""Tables as loggers, spreadsheets and statistics programs write them: what is read, and the exact line for what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tinyrnn.data.csv_table import Table, read_table
from tinyrnn.data.table_text import decimal_mark, looks_numeric, parse_number
from tinyrnn.errors import DataError


def table(tmp_path: Path, text: str | bytes, name: str = "d.txt") -> Table:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


def numbers(found: Table) -> list[list[float]]:
    return found.numbers(found.features((), ())).tolist()


WANTED = [[1.0, 2.5], [-3.0, 400.0]]
FORMS: dict[str, str | bytes] = {
    "commas": "ax,ay\n1,2.5\n-3,400\n",
    "commas and spaces": "ax, ay\n 1, 2.5\n-3, 400\n",
    "semicolons": "ax;ay\n1;2.5\n-3;400\n",
    "tabs": "ax\tay\n1\t2.5\n-3\t400\n",
    "pipes": "ax|ay\n1|2.5\n-3|400\n",
    "pipes between spaces": "ax | ay\n 1 | 2.5\n-3 | 400\n",
    "single spaces": "ax ay\n1 2.5\n-3 400\n",
    "aligned columns": "    ax     ay\n   1.0    2.5\n  -3.0  400.0\n",
    "spaces and tabs mixed": "ax \t ay\n 1\t 2.5 \n-3  400\n",
    "names with a space above aligned columns": "acc x    acc y\n   1.0      2.5\n  -3.0    400.0\n",
    "decimal comma, semicolons": "ax;ay\n1;2,5\n-3;400,0\n",
    "decimal comma, tabs": "ax\tay\n1\t2,5\n-3\t400,0\n",
    "decimal comma, pipes": "ax|ay\n1|2,5\n-3|400,0\n",
    "decimal comma, spaces": "ax ay\n1,0 2,5\n-3,0 400,0\n",
    "decimal comma, quoted between commas": 'ax,ay\n"1,0","2,5"\n"-3,0","400,0"\n',
    "decimal comma with an exponent": "ax;ay\n1;2,5E0\n-3;4,0e+2\n",
    "three decimals, one of them without doubt": "ax\tay\n1,000\t2,500\n-3,000\t400,0\n",
    "sep=": "sep=;\nax;ay\n1;2,5\n-3;400\n",
    "sep= in quotes, Windows": '"sep=|"\r\nax|ay\r\n1|2,5\r\n-3|400\r\n',
    "SEP= with a tab": "SEP=\t\nax\tay\n1\t2.5\n-3\t400\n",
    "preamble of comments": "# phone: x, y, z\n#\n# rate: 50 Hz, all\n\nax,ay\n1,2.5\n-3,400\n",
    "a comment between the rows": "ax,ay\n1,2.5\n# bumped, here\n-3,400\n",
    "comments of MATLAB": "% log, by hand, me\nax,ay\n1,2.5\n-3,400\n",
    "comments of an Arduino": "// ready\n// go\nax\tay\n1\t2.5\n-3\t400\n",
    "header of numpy.savetxt": "# ax ay\n1.0e+00 2.5e+00\n-3.0e+00 4.0e+02\n",
    "header of numpy.savetxt, commas": "# ax,ay\n1.0,2.5\n-3.0,400.0\n",
    "header of rostopic": "%ax,ay\n1.0,2.5\n-3.0,400.0\n",
    "quoted headers": '"ax","ay"\n1,2.5\n-3,400\n',
    "quoted headers between spaces": '"ax" "ay"\n1 2.5\n-3 400\n',
    "trailing commas in the rows": "ax,ay\n1,2.5,\n-3,400,\n",
    "trailing commas everywhere": "ax,ay,\n1,2.5,\n-3,400,\n",
    "trailing commas in the header": "ax,ay,,\n1,2.5\n-3,400\n",
    "trailing commas in one row": "ax,ay\n1,2.5,,\n-3,400\n",
    "trailing tabs": "ax\tay\t\n1\t2.5\t\n-3\t400\t\n",
    "trailing semicolons, commas between": "ax,ay;\n1,2.5;\n-3,400;\n",
    "row names of R, commas": '"ax","ay"\n"1",1,2.5\n"2",-3,400\n',
    "row names of R, spaces": '"ax" "ay"\n"first" 1 2.5\n"second" -3 400\n',
    "row names of R's write.csv": '"","ax","ay"\n"1",1,2.5\n"2",-3,400\n',
    "index of pandas": ",ax,ay\n0,1,2.5\n1,-3,400\n",
    "byte order mark": b"\xef\xbb\xbfax;ay\r\n1;2,5\r\n-3;400\r\n",
    "UTF-16": "ax\tay\r\n1\t2,5\r\n-3\t400,0\r\n".encode("utf-16"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_that_are_read(tmp_path: Path, form: str) -> None:
    found = table(tmp_path, FORMS[form])
    assert numbers(found) == WANTED
    names = [found.names[i] for i in found.features((), ())]
    assert names == (["acc x", "acc y"] if "names with a space" in form else ["ax", "ay"])


@pytest.mark.parametrize("text", ["1,2.5,\n-3,400,\n", "1,2.5;\n-3,400;\n", "1 2,5\n-3 400,0\n", "1|2.5\n-3|400\n"])
def test_forms_without_a_header(tmp_path: Path, text: str) -> None:
    found = table(tmp_path, text)
    assert (found.header, numbers(found)) == (None, WANTED)


REFUSED: dict[str | bytes, str] = {
    "ax;ay\n1;2,5\n3;1.234,5\n": (
        ":3: column 2 (ay) is '1.234,5', which has a mark of thousands; expected digits with one decimal mark: write it as"
        ' 1234,5, or leave the column out with --drop "ay"'
    ),
    'ax,ay\n1,"1,234.5"\n2,7.5\n': (
        ":2: column 2 (ay) is '1,234.5', which has a mark of thousands; expected digits with one decimal mark: write it as"
        ' 1234.5, or leave the column out with --drop "ay"'
    ),
    "ax;ay\n1;1'234\n2;7\n": (
        ':2: column 2 (ay) is "1\'234", which has a mark of thousands; expected digits with one decimal mark: write it as'
        ' 1234.5, or leave the column out with --drop "ay"'
    ),
    "ax\tay\n1\t1,234\n2\t2,345\n": (
        ":2: column 2 (ay) is '1,234', which may be 1.234 or 1234; expected a decimal point and no mark of thousands: write"
        ' one of them, or leave the column out with --drop "ay"'
    ),
    'ax,ay\n1,"2,345"\n2,0.5\n': (
        ":2: column 2 (ay) is '2,345', which may be 2.345 or 2345; expected a decimal point and no mark of thousands: write"
        ' one of them, or leave the column out with --drop "ay"'
    ),
    "ax;ay\n1;2,5\n2,5;3\n3;1.5\n": (
        ":4: column 2 (ay) is '1.5', which has a decimal point, but most numbers of the file a decimal"
        " comma; expected the same"
        ' in all: write a comma, or leave the column out with --drop "ay"'
    ),
    "ax;ay\n1;2.5\n2.5;3\n3;1,5\n": (
        ":4: column 2 (ay) is '1,5', which has a decimal comma, but most numbers of the file a decimal"
        " point; expected the same"
        ' in all: write a point, or leave the column out with --drop "ay"'
    ),
    "My log\nax,ay\n1,2\n3,4\n": (
        ":1: 1 column, expected 2 as on line 2; correct or delete the line, or begin it with # if it is no row"
    ),
    "phone: A, 50 Hz, hand\n\nax,ay\n1,2\n3,4\n": (
        ":1: 3 columns, expected 2 as on line 3; correct or delete the line, or begin it with # if it is no row"
    ),
    "ax|ay\n1|2\n3\n": ":3: 1 column, expected 2 as on line 1; correct or delete the line",
    "ax ay\n1 2\n# a comment\n3\n": ":4: 1 column, expected 2 as on line 1; correct or delete the line",
    "ax,ay\n1,2\n3,4,5,\n": ":3: 3 columns, expected 2 as on line 1; correct or delete the line",
    "ax,ay\n1,\n3,4\n": (
        ":2: column 2 (ay) is empty; expected a number: fill it in or delete the line, or leave the column"
        ' out with --drop "ay"'
    ),
    '"acc, x",ay\no,1\n2,3\n': (
        ":2: column 1 (acc, x) is 'o'; expected a number: correct or delete the line, or leave the column out with --drop"
        " '\"acc, x\"'"
    ),
    "# only\n# comments\n": ": is empty; expected rows of numbers: record again or delete the file",
    "sep=;\n": ": is empty; expected rows of numbers: record again or delete the file",
    "ax;ay\n1;\xb5\n".encode("latin-1"): ":2: byte 0xb5 is not UTF-8; expected text in UTF-8: save it as UTF-8",
}


@pytest.mark.parametrize("text", REFUSED)
def test_forms_that_are_refused_with_this_line(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(DataError) as caught:
        numbers(table(tmp_path, text))
    assert str(caught.value) == f"{tmp_path / 'd.txt'}{REFUSED[text]}"


def test_the_cure_for_a_title_works(tmp_path: Path) -> None:
    assert numbers(table(tmp_path, "# My log\nax,ay\n1,2.5\n-3,400\n")) == WANTED


def test_line_numbers_count_comments_blank_lines_and_quoted_lines(tmp_path: Path) -> None:
    found = table(tmp_path, 'sep=,\n# log\n\nax,note\n1,"two\n# lines"\n\n2,x\n')
    assert (found.lines, found.rows) == ([6, 8], [["1", "two\n# lines"], ["2", "x"]])


def test_a_name_on_two_lines_is_one_name(tmp_path: Path) -> None:
    found = table(tmp_path, '"acc x\n(m/s2)","is"\n1,"lie\r\ndown"\n2,up\n')
    assert found.names == ("acc x (m/s2)", "is")
    assert found.texts(1, "the name of a class") == ["lie down", "up"]


def test_a_cell_may_be_a_comment_mark(tmp_path: Path) -> None:
    """Only the first line of the rows decides whether # is a comment, so no row is lost."""
    assert table(tmp_path, "key,ax\na,1\n#,2\n%,3\n").rows == [["a", "1"], ["#", "2"], ["%", "3"]]


def test_row_names_are_no_input_unless_they_are_kept(tmp_path: Path) -> None:
    found = table(tmp_path, "ax,ay\nr1,1,2\nr2,3,4\n")
    assert found.features((), ()) == [1, 2]
    assert found.features(("unnamed 1",), ()) == [1, 2]
    assert found.remarks == ("d.txt: the first column holds row names, which are no input",)
    index = table(tmp_path, ",ax\n1,5\n2,6\n")
    assert index.features((), ("unnamed 1",)) == [0, 1]
    with pytest.raises(DataError, match=r"column 'unnamed 1' looks like a clock"):  # it does not count the rows
        table(tmp_path, ",ax\n1,5\n3,6\n").features((), ())


def test_a_named_empty_column_is_not_a_trailing_comma(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"d.txt:2: column 2 \(ay\) is empty"):
        numbers(table(tmp_path, "ax,ay\n1,\n2,\n"))


def test_classes_with_spaces_commas_and_dates_do_not_change_the_separator(tmp_path: Path) -> None:
    assert table(tmp_path, "ax,is\n1,lie down\n2,sit up\n").rows == [["1", "lie down"], ["2", "sit up"]]
    assert table(tmp_path, 'ax,is\n1,"a, b"\n2,c d\n').rows == [["1", "a, b"], ["2", "c d"]]
    assert table(tmp_path, "t,ax\n2024-01-01 10:00:00,1\n2024-01-01 10:00:01,2\n").names == ("t", "ax")
    assert table(tmp_path, "ax;is\n1,5;lie down\n2,5;up\n").names == ("ax", "is")


@pytest.mark.parametrize("cell", ["nan", "NaN", "NAN", "<NA>", "#N/A", ""])
def test_a_missing_label_is_refused_with_its_line(tmp_path: Path, cell: str) -> None:
    found = table(tmp_path, f"ax,is\n1,walk\n2,{cell}\n3,none\n")
    seen = f"is {cell!r}, a missing value" if cell else "is empty"
    with pytest.raises(DataError) as caught:
        found.texts(1, "the name of a class")
    cure = "expected the name of a class: fill it in or delete the line"
    assert str(caught.value) == f"{tmp_path / 'd.txt'}:3: column 'is' {seen}; {cure}"


def test_decimal_mark_is_decided_by_the_whole_table() -> None:
    assert decimal_mark([["1,234"], ["2"]], ";") == ","  # beside semicolons a comma is a decimal comma
    assert decimal_mark([["1,234"], ["2"]], "\t") == "."
    assert decimal_mark([["1,234"], ["0,5"]], "\t") == ","
    assert decimal_mark([["1,234"], ["2.5"]], ";") == "."
    assert decimal_mark([["01.02.2024", "1,5"]], ";") == ","  # a date is no number
    assert [parse_number(cell, ",") for cell in ("1,5", "1.5", "1,2,3", ",5", "-1,5e-3", "1,", "nan")][:6] == [
        1.5,
        None,
        None,
        0.5,
        -0.0015,
        None,
    ]


def test_looks_numeric() -> None:
    assert looks_numeric("ax ay\n1 2\n3 4\n")
    assert not looks_numeric("To be, or not to be,\nthat is the question.\n")
    assert not looks_numeric("1. Loomings.\nCall me Ishmael. Some years ago\nnever mind how long\n")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=st.lists(
        st.lists(st.floats(-1e9, 1e9).map(lambda v: round(v, 3)), min_size=3, max_size=3), min_size=2, max_size=9
    ),
    mark=st.sampled_from([";", "\t", "|", " ", "   "]),
    decimal=st.sampled_from([".", ","]),
    end=st.sampled_from(["", "#"]),
    trailing=st.booleans(),
)
def test_numbers_in_any_separator_and_decimal_mark_come_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[float]], mark: str, decimal: str, end: str, trailing: bool
) -> None:
    """Read as they were written, or refused for a comma that could be one of thousands; never read as something else."""
    last = mark.strip(" ") if trailing else ""
    lines = [mark.join(f"{v:.3f}".replace(".", decimal) for v in row) + last for row in values]
    path = tmp_path_factory.getbasetemp() / "forms.txt"
    path.write_text(f"# made by a test\n{mark.join('xyz')}{last}\n" + "\n".join(lines) + "\n" + end)
    found = read_table(path)
    doubtful = decimal == "," and mark != ";" and found.decimal == "."
    if doubtful and any("," in cell for row in found.rows for cell in row):
        with pytest.raises(DataError, match="which may be"):
            found.numbers([0, 1, 2])
    else:
        assert found.numbers([0, 1, 2]).tolist() == [[float(f"{v:.3f}") for v in row] for row in values]


def test_reading_a_table_needs_no_pandas() -> None:
    code = (
        "import sys; from tinyrnn.data import csv_table, resampling, quality, text_file, npz_answers\n"
        "assert not {'pandas', 'polars', 'torch', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_large_table_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    values = np.round(np.random.default_rng(0).normal(size=(5000, 4)), 5)
    path = tmp_path / "large.dat"
    np.savetxt(path, values, fmt="%12.5f", header="ax ay az aw")
    found = read_table(path)
    assert found.header == ("ax", "ay", "az", "aw")
    assert (found.numbers([0, 1, 2, 3]) == np.loadtxt(path)).all()
