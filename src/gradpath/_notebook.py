"""One optional hook: where IPython runs already, a bare record in a cell shows its page, as `gp.render(record)` does.

Records draw nothing themselves. The hook names their class and imports nothing before one is shown.
"""

from __future__ import annotations

import sys
from typing import Any


def register() -> bool:
    """Tell the running IPython shell how records are shown. Returns whether there was one; never raises."""
    ipython = sys.modules.get("IPython")
    try:
        shell = ipython.get_ipython() if ipython is not None else None
        if shell is None:
            return False
        formatter = shell.display_formatter.formatters["text/html"]
        formatter.for_type_by_name("gradpath.record._base", "Record", record_html)
    except (AttributeError, KeyError, TypeError, ValueError):  # a shell of another make: records print as text there
        return False
    return True


def record_html(record: Any) -> str | None:
    """The page of a record as a frame; None, so that its text is shown, for the kinds that have none."""
    from gradpath.report import FORMATS, render

    if "html" not in FORMATS.get(type(record), {}):
        return None
    page: str = render(record)._repr_html_()
    return page
