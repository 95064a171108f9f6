"""The page's style sheet. Colours are variables, so that light, dark and print differ in one place."""

from __future__ import annotations

from gradpath.report._figures import LOOKS


def _nets(theme: str) -> str:
    return "".join(f".net{look.index}{{--net:{getattr(look, theme)}}}" for look in LOOKS)


_LIGHT = "--page:#ffffff;--ink:#1b1f24;--pale:#566070;--grid:#e3e6ea;--card:#f6f7f9;--strong:#006d5b"
_DARK = "--page:#14171c;--ink:#e8eaed;--pale:#a3acb8;--grid:#2c323a;--card:#1c2128;--strong:#2ee6b0"

STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}{_nets("light")}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}{_nets("dark")}}}
@media print{{:root{{color-scheme:light;{_LIGHT}}}{_nets("light")}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--page);color:var(--ink);
font:1rem/1.6 system-ui,"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;overflow-wrap:anywhere}}
main{{max-width:76rem;margin:0 auto;padding:1.25rem 1rem 3rem}}
h1{{font-size:clamp(1.35rem,1rem + 1.8vw,2.1rem);line-height:1.25;margin:.1rem 0 .5rem;text-wrap:balance}}
h2{{font-size:1.15rem;margin:2rem 0 .5rem}}
h3{{font-size:1rem;margin:1.2rem 0 .3rem}}
.brand{{color:var(--strong);font-weight:600;margin:0}}
.setting,figcaption,caption,.small-print{{color:var(--pale);font-size:.875rem}}
.setting{{margin:0}}
.figures{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:1rem;
margin:1rem 0;align-items:start}}
figure{{margin:0;padding:.75rem;background:var(--card);border:1px solid var(--grid);border-radius:.5rem}}
figure h2{{margin:0 0 .4rem;font-size:1rem}}
figure>svg{{display:block;width:100%;max-width:30rem;height:auto;margin:0 auto}}
figure.wide{{overflow-x:auto}}
figure.wide>svg{{width:auto;max-width:none}}
.chart text{{font:12px system-ui,sans-serif;fill:var(--ink)}}
.chart .tick{{fill:var(--pale);font-size:11px}}
.chart .small{{font-size:10.5px}}
.chart .value{{font-weight:600}}
.chart .grid{{stroke:var(--grid)}}
.chart .axis{{stroke:var(--pale)}}
.chart .guess{{stroke:var(--pale);stroke-dasharray:3 3}}
.chart g[class^=net]{{fill:var(--net);stroke:none}}
.chart .line{{fill:none;stroke:var(--net);stroke-width:2;stroke-linejoin:round}}
.chart .hollow{{fill:var(--card);stroke:var(--net);stroke-width:1.5}}
.chart .cross{{stroke:var(--net);stroke-width:2.5}}
.chart .share{{fill:var(--strong)}}
.key{{list-style:none;margin:.5rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.8125rem}}
.key li{{display:flex;align-items:center;gap:.4rem}}
.key svg{{flex:none;width:40px;height:16px}}
.steps-text{{white-space:pre-wrap;overflow-wrap:anywhere}}
.findings{{max-width:46rem;padding-left:1.2rem}}
.findings li{{margin:.35rem 0}}
.table{{overflow-x:auto;max-width:100%}}
.table:focus-visible,summary:focus-visible{{outline:3px solid var(--strong);outline-offset:2px}}
table{{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}}
caption{{text-align:left;padding-bottom:.4rem;max-width:min(46rem,100vw - 2.2rem);position:sticky;left:0}}
th,td{{padding:.3rem .6rem;text-align:right;white-space:nowrap;overflow-wrap:normal;
border-bottom:1px solid var(--grid)}}
thead th{{vertical-align:bottom;white-space:normal;min-width:3.5rem}}
th.left,td.left{{text-align:left}}
code,pre{{font:.875rem/1.5 ui-monospace,Menlo,Consolas,monospace}}
pre{{background:var(--card);border:1px solid var(--grid);border-radius:.5rem;padding:.75rem;overflow-x:auto}}
.steps{{padding-left:1.2rem;max-width:46rem}}
.steps code{{background:var(--card);border:1px solid var(--grid);border-radius:.25rem;padding:.1rem .35rem}}
summary{{cursor:pointer;padding:.35rem 0;font-weight:600}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;font-size:.875rem}}
dt{{color:var(--pale)}}dd{{margin:0}}
@media (min-width:41rem) and (max-width:60.99rem){{.figures>figure:first-child:nth-last-child(3){{grid-column:1/-1}}}}
@media (max-width:48rem){{.minor{{display:none}}}}
@media (max-width:40rem){{.table{{border-right:3px solid var(--strong)}}
caption::after{{content:" → scroll sideways for more columns";color:var(--strong);font-weight:600}}}}
@media (max-width:30rem){{dl{{grid-template-columns:1fr}}dd{{margin-bottom:.4rem}}}}
footer{{margin-top:2.5rem}}
"""
