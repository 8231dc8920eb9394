# SPDX-License-Identifier: MIT
"""--settings FILE.toml: options in a file, and what is said of a file that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.packages import need_package
from tinyrnn import cli
from tinyrnn.cli import settings_file
from tinyrnn.data.options import names
from tinyrnn.errors import ModelError


def merged(tmp_path: Path, text: str, *typed: str) -> list[str]:
    path = tmp_path / "train.toml"
    path.write_text(text)
    argv = ["train", "data.csv", "--settings", str(path), *typed]
    args = cli.build_parser().parse_args(argv)
    return settings_file.merged(argv, args, args.parser)


def test_options_of_the_file_come_first(tmp_path: Path) -> None:
    text = 'units = 24\nclass-weights = "balanced"\ndrop = ["time", "id"]\nlayernorm = true\nrefit = false\nlr = 0.01\n'
    found = merged(tmp_path, text, "--epochs", "5")
    wanted = ["--units=24", "--class-weights=balanced", "--drop=time,id", "--layernorm", "--no-refit", "--lr=0.01"]
    assert found[:7] == ["train", *wanted]
    args = cli.build_parser().parse_args(found)
    assert (args.units, args.epochs, args.refit, args.lr, args.drop) == (24, 5, False, 0.01, ["time,id"])


def test_typed_options_win_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text('units = 24\nrefit = true\ncell = "lstm"\ndrop = "time"\n')
    argv = ["train", "--units", "8", "data.csv", "--no-refit", "--settings", str(path), "--drop", "id"]
    args = cli.build_parser().parse_args(argv)
    args = cli.build_parser().parse_args(settings_file.merged(argv, args, args.parser))
    assert (args.units, args.refit, args.cell, args.drop) == (8, False, "lstm", ["time", "id"])


def test_a_name_with_a_comma_stays_one_name(tmp_path: Path) -> None:
    found = merged(tmp_path, 'drop = ["acc, x", "time"]\n')
    assert names(cli.build_parser().parse_args(found).drop[0]) == ("acc, x", "time")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unit = 3", "unknown option 'unit'; do you mean units?"),
        ("zzz = 3", "unknown option 'zzz'; expected one of batch, cell"),
        ("units = 0", "units is '0'; expected a whole number, 1 or more"),
        ("units = true", "units is True; expected a number or text, as for --units"),
        ("dropout = 2", "dropout is '2'; expected a number, 0 to 0.95, such as 0.2"),
        ("layernorm = 1", "layernorm is 1; expected true or false"),
        ('cell = "conv"', "cell is 'conv'; expected one of gru"),
        ("[train]\nunits = 3", "has a table [train]; expected options without tables"),
        ("units = ", "is not TOML ("),
        ("units = 1979-05-27", "units is datetime.date(1979, 5, 27); expected a number or text"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        merged(tmp_path, text)
    assert words in str(caught.value)
    assert "train.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.toml").write_bytes(b"units = 3 # \xff\n")
    for name, words in (("absent.toml", "cannot be read (No such file"), ("odd.toml", "is not text in UTF-8")):
        assert cli.main(["train", "data.csv", "--settings", str(tmp_path / name)]) == ModelError.exit_code
        text = capsys.readouterr()
        assert words in text.err
        assert text.err.count("\n") == 1


def test_training_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_package("torch")
    rng = np.random.default_rng(0)
    lines = [f"{i},{rng.normal():.3f},{i // 40 % 2}" for i in range(800)]
    (tmp_path / "day.csv").write_text("time,a,is\n" + "\n".join(lines) + "\n")
    (tmp_path / "train.toml").write_text(
        f'label = "is"\ndrop = "time"\nwindow = 40\nunits = 4\nepochs = 2\nsplit = "random"\noutput = "{tmp_path}/m.pt"\n'
    )
    options = ["--settings", str(tmp_path / "train.toml"), "--epochs", "3", "--no-refit"]
    assert cli.main(["train", str(tmp_path / "day.csv"), *options]) == 0
    text = capsys.readouterr()
    assert "1 input: a\n" in text.out
    from tinyrnn.float_model import model_file

    info = model_file.load(tmp_path / "m.pt").info
    assert (info["units"], info["settings"]["epochs"], info["settings"]["refit"]) == (4, 3, False)
    assert len(info["history"]) == info["epochs"] <= 3
