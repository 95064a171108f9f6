"""What an error says in the words of the command line: Python's arguments by the names of their flags."""

from __future__ import annotations

import re
from typing import Any

import click

from gradpath.errors import UserError


class Spoken(click.Command):
    """A command whose errors name its flags where Python's name arguments: '--crop-size' for 'crop_size'."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise type(error)(in_flags(str(error), self)) from error


def in_flags(text: str, command: click.Command) -> str:
    """The text with the command's flags for the arguments that it names: where a word has an underscore, is given a
    value ('memory=1KiB'), is asked for ('give padding …', 'leave out net') or begins the sentence ('mixup must …')."""
    text = re.sub(r" \(\w+=True\)|,? \w+=True(?=\))", "", text)  # what follows the flag for Python's sake
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            flag = parameter.opts[0]
            text = _named(text, flag[2:].replace("-", "_"), flag)
    return text


def _named(text: str, name: str, flag: str) -> str:
    text = re.sub(rf"(?<![\w/.=-]){name}=", f"{flag} ", text)
    asked = rf"(\b(?:give|leave out|larger|smaller) ){name}\b|^(){name}(?= (?:must|is one of|needs|belongs))"
    text = re.sub(asked, lambda found: f"{found[1] or ''}{flag}", text)
    if "_" in name:
        text = re.sub(rf"(?<![\w/.-]){name}\b(?![\w/.-])(?!\.\w)", flag, text)
    return re.sub(rf"({flag}) '([\w-]+)'(?:( or )'([\w-]+)')?", r"\1 \2\3\4", text)
