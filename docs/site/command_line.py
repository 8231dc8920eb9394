"""The command line reference, from the parsers of tinyrnn.cli."""

from __future__ import annotations

import argparse

from tinyrnn import cli

WIDTH = 80  # of a usage line


def reference() -> str:
    """The page, in Markdown."""
    parser = cli.build_parser()
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    briefly = {choice.dest: choice.help for choice in commands._choices_actions}
    lines = [
        "# Command line",
        "",
        "This page is generated from the parsers. On the command line, `tinyrnn COMMAND --help` shows the same text.",
        "",
        "| command | what it does |",
        "| --- | --- |",
        *(f"| [`tinyrnn {name}`](#tinyrnn-{name}) | {escaped(briefly[name] or '')} |" for name in commands.choices),
        "",
        escaped(parser.epilog or ""),
    ]
    for name, command in commands.choices.items():
        lines += ["", f"## tinyrnn {name}", "", escaped(command.description or ""), "", "```text", usage(command), "```"]
        untitled, titled = groups(command)
        lines += table([action for group in untitled for action in group._group_actions])
        for group in titled:
            title = str(group.title)
            said = f"*{title[:1].upper()}{title[1:]}.* {escaped(group.description or '')}".rstrip()
            lines += ["", said, *table(group._group_actions)]
        if command.epilog:
            lines += ["", escaped(command.epilog)]
    return "\n".join(lines) + "\n"


def usage(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=WIDTH)
    return parser.format_usage().removeprefix("usage: ").rstrip()


def groups(parser: argparse.ArgumentParser) -> tuple[list[argparse._ArgumentGroup], list[argparse._ArgumentGroup]]:
    """argparse's own groups of arguments, and those to which the command has given a title."""
    own = (parser._positionals, parser._optionals)
    return list(own), [group for group in parser._action_groups if group not in own and group._group_actions]


def table(actions: list[argparse.Action]) -> list[str]:
    shown = [action for action in actions if action.dest != "help" and action.help != argparse.SUPPRESS]
    if not shown:
        return []
    rows = [f"| {name(action)} | {escaped(meaning(action))} |" for action in shown]
    return ["", "| argument | meaning |", "| --- | --- |", *rows]


def name(action: argparse.Action) -> str:
    """ "`-o FILE`, `--output FILE`"."""
    value = action.metavar
    if isinstance(value, tuple):  # of several values
        value = " ".join(value)
    if value is None and action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if value is None and action.nargs != 0:
        value = action.dest.upper()
    if not action.option_strings:
        return f"`{value}`"
    return ", ".join(
        f"`{option} {value}`" if value and action.nargs != 0 else f"`{option}`" for option in action.option_strings
    )


def meaning(action: argparse.Action) -> str:
    return (action.help or "") % {**vars(action), "prog": "tinyrnn"}


def escaped(text: str) -> str:
    """Text in a Markdown table. The help marks code with backquotes as Markdown does."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")
