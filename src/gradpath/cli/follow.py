"""`gradpath follow`: a watched run in the terminal, as it goes. (Imported when the command is asked for.)"""

from __future__ import annotations

import shutil
import sys
import time
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from gradpath.cli import _options
from gradpath.cli._console import laid_out, show
from gradpath.record import WatchLog, read_watch
from gradpath.report._follow import follow_text

_SECONDS = 1.0
"""Between looks at the file."""


@click.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Print one screen and exit (so do pipes and files).")
@_options.spoken
def follow(run: Path, once: bool) -> None:
    """Show a run that gradpath.watch is writing: loss, gradient over depth, which layers move, overhead.

    RUN is the folder given to gradpath.watch(..., folder=RUN), or the watch.jsonl in it. Ctrl-C ends it; the run
    goes on.
    """
    log = read_watch(run)
    console = Console(highlight=False)
    if once or not console.is_terminal or console.is_dumb_terminal:
        show(_drawn(log, _height()))
        return
    try:
        _live(log, console)
    except KeyboardInterrupt:
        show(_drawn(log, _height()))  # the last screen stays


def _live(log: WatchLog, console: Console) -> None:
    with Live(_screen(log), console=console, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(_SECONDS)
            log.poll()
            live.update(_screen(log), refresh=True)


def _screen(log: WatchLog) -> Text:
    return Text(_drawn(log, _height() - 1), no_wrap=True)


def _drawn(log: WatchLog, height: int) -> str:
    return laid_out(partial(follow_text, log, height=height), sys.stdout)


def _height() -> int:
    return shutil.get_terminal_size((80, 24)).lines


command = follow  # the name under which the group looks for it
