"""A record's graph, laid out: rows, columns and lanes of every group. No torch, nothing drawn.

`layout(flow)` gives plain JSON (`_terms.py` has its words), the same for the page, SVG and PNG; `place(layout, open)`
gives it in pixels. Both take linear time, but for sorting.
"""

from gradpath.report._layout._layout import layout as layout
from gradpath.report._layout._place import place as place
