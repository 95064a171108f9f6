"""The style of pages without a script. Colours are variables, so that light, dark and print differ in one place."""

from __future__ import annotations

_LIGHT = "--page:#ffffff;--ink:#1b1f24;--pale:#566070;--grid:#e3e6ea;--card:#f6f7f9;--strong:#006d5b"
_DARK = "--page:#14171c;--ink:#e8eaed;--pale:#a3acb8;--grid:#2c323a;--card:#1c2128;--strong:#2ee6b0"

STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
@media print{{:root{{color-scheme:light;{_LIGHT}}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--page);color:var(--ink);
font:1rem/1.6 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;overflow-wrap:anywhere}}
main{{max-width:76rem;margin:0 auto;padding:1.25rem 1rem 3rem}}
h1{{font-size:clamp(1.35rem,1rem + 1.8vw,2.1rem);line-height:1.25;margin:.1rem 0 .5rem;text-wrap:balance}}
h2{{font-size:1.15rem;margin:2rem 0 .5rem}}
.brand{{color:var(--strong);font-weight:600;margin:0}}
.setting,.small-print{{color:var(--pale);font-size:.875rem}}
.setting{{margin:0}}
figure{{margin:.75rem 0;padding:.75rem;background:var(--page);border:1px solid var(--grid);border-radius:.5rem}}
figure.wide{{overflow-x:auto}}
figure>svg{{display:block;max-width:none;height:auto;margin:0 auto}}
.findings{{max-width:46rem;padding-left:1.2rem}}
.findings li{{margin:.35rem 0}}
.table{{overflow-x:auto;max-width:100%}}
figure:focus-visible,.table:focus-visible,summary:focus-visible{{outline:3px solid var(--strong);outline-offset:2px}}
table{{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}}
th,td{{padding:.3rem .6rem;text-align:right;white-space:nowrap;overflow-wrap:normal;
border-bottom:1px solid var(--grid)}}
thead th{{vertical-align:bottom;white-space:normal;min-width:3.5rem}}
th.left,td.left{{text-align:left}}
pre{{font:.875rem/1.5 ui-monospace,Menlo,Consolas,monospace;background:var(--card);border:1px solid var(--grid);
border-radius:.5rem;padding:.75rem;overflow-x:auto}}
.steps-text{{white-space:pre-wrap}}
summary{{cursor:pointer;padding:.35rem 0;font-weight:600}}
@media (max-width:40rem){{.table{{border-right:3px solid var(--strong)}}}}
@media print{{figure.wide,.table{{overflow:visible}}figure>svg{{max-width:100%}}figure,tr{{break-inside:avoid}}}}
footer{{margin-top:2.5rem}}
"""
