"""The style sheet of a report's page: two sets of colours, one column on a phone, two on a screen."""

from collections.abc import Mapping
from typing import Final

# Every colour of a line has a contrast of 3:1 to the card it is drawn on at least, every colour of a text 4.5:1 (WCAG
# 2.2, 1.4.11 and 1.4.3); the lines differ by their dashes as well.
LIGHT: Final = {
    "page": "#f3f5f8",
    "card": "#ffffff",
    "text": "#18202b",
    "soft": "#566173",
    "grid": "#e1e6ed",
    "axis": "#8a94a3",
    "mark": "#9a6b00",
    "s0": "#6b7686",
    "s1": "#0b62c4",
    "s2": "#c2410c",
    "s3": "#0f7a55",
    "s4": "#8b3fb0",
    "s5": "#8a6100",
    "s6": "#0a7590",
    "s7": "#b3123f",
    "s8": "#4d5a23",
}
DARK: Final = {
    "page": "#0e1116",
    "card": "#171c24",
    "text": "#e6eaf0",
    "soft": "#9ca8b8",
    "grid": "#2a313c",
    "axis": "#66717f",
    "mark": "#d9a62e",
    "s0": "#8793a3",
    "s1": "#5aa9ff",
    "s2": "#ff9153",
    "s3": "#3fcf9a",
    "s4": "#cb93ff",
    "s5": "#ecc44d",
    "s6": "#52cfe6",
    "s7": "#ff7f9f",
    "s8": "#b9cf70",
}

# Lengths of dashes and gaps, so that lines can be told apart without colours.
DASHES: Final = ("5 4", "", "7 3", "2 3", "10 3 2 3", "4 2", "1 3", "12 4", "6 2 2 2 2 2")


def _variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def _lines() -> str:
    return "".join(
        f".s{number}{{--c:var(--s{number})}}" + (f".line.s{number}{{stroke-dasharray:{dash}}}" if dash else "")
        for number, dash in enumerate(DASHES)
    )


STYLE: Final = f"""
:root{{color-scheme:light dark;{_variables(LIGHT)}}}
@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}
{_lines()}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","Liberation Sans",sans-serif;-webkit-text-size-adjust:100%}}
main{{max-width:1160px;margin:0 auto;padding:28px 20px 56px}}
h1{{font-size:1.9rem;line-height:1.2;margin:.1em 0 .2em;letter-spacing:-.01em}}
h2{{font-size:1.25rem;margin:2.2em 0 .6em}}
h3{{font-size:1rem;margin:0}}
p{{margin:.3em 0}}
header p,figcaption p,#latencies>p,.note{{color:var(--soft)}}
.name{{font-weight:600;font-size:.85rem}}
.tiles{{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:1.4em 0 0}}
.tiles>div,figure,#setting,#commands,#runs,#targets,#all{{background:var(--card);border:1px solid var(--grid);
border-radius:10px}}
.tiles>div{{padding:12px 14px}}
.tiles dt{{color:var(--soft);font-size:.85rem}}
.tiles dd{{margin:0;font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums;line-height:1.25}}
.tiles dd.note{{font-size:.8rem;font-weight:400;overflow-wrap:anywhere}}
#setting,#commands,#runs,#targets,#all{{padding:16px 18px;margin-top:16px}}
section[id]>h2{{margin:0 0 .5em}}
#latencies>h2{{margin-top:2.2em}}
pre,code{{font:.875rem/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace}}
pre{{margin:0 0 12px;padding:10px 12px;background:var(--page);border-radius:6px;white-space:pre-wrap;
overflow-wrap:anywhere}}
p code{{overflow-wrap:anywhere}}
.pairs{{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:0;font-size:.9rem}}
.pairs dt{{color:var(--soft)}}
.pairs dd{{margin:0;overflow-wrap:anywhere}}
.charts{{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px}}
figure{{margin:0;padding:16px 16px 10px;min-width:0;break-inside:avoid}}
figcaption p{{font-size:.85rem}}
.legend{{display:flex;flex-wrap:wrap;gap:2px 18px;list-style:none;margin:8px 0 4px;padding:0;font-size:.85rem}}
.legend svg{{vertical-align:middle;margin-right:6px}}
.chart{{display:block;width:100%;height:auto;overflow:visible}}
.chart.narrow,figure.broad .chart.wide{{display:none}}
figure.broad{{grid-column:1/-1}}
.chart text{{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}}
.grid{{stroke:var(--grid)}}
.axis,.tickmark{{stroke:var(--axis)}}
.line{{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}}
.line.s0{{stroke-width:1.5}}
.band{{fill:var(--c);opacity:.22}}
.mark{{stroke:var(--mark);stroke-width:1;stroke-dasharray:2 4;opacity:.65}}
.chart .number text{{fill:var(--mark);font-size:11px;font-weight:600}}
.place rect{{fill:transparent}}
.place circle{{fill:var(--c);stroke:var(--card);stroke-width:1.5;opacity:0;pointer-events:none}}
.place:hover rect{{fill:var(--axis);fill-opacity:.16}}
.place:hover circle{{opacity:1}}
details{{margin-top:8px}}
summary{{cursor:pointer;color:var(--soft);font-size:.85rem}}
summary:hover{{color:var(--text)}}
.scroll{{overflow-x:auto;max-height:26rem;overflow-y:auto;margin-top:8px}}
table{{border-collapse:collapse;font-size:.85rem;width:100%;font-variant-numeric:tabular-nums}}
th,td{{padding:4px 10px;text-align:left;border-bottom:1px solid var(--grid);vertical-align:top}}
th{{color:var(--soft);font-weight:600;position:sticky;top:0;background:var(--card)}}
.n{{text-align:right}}
#latencies>.scroll{{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:6px;
margin:12px 0 16px}}
th,td{{white-space:nowrap}}
[data-of=commands] td:nth-child(3){{white-space:normal;overflow-wrap:anywhere;min-width:9em}}
[data-of=commands] th:nth-child(3){{width:100%}}
#runs h3{{margin-top:14px}}
@media (max-width:959px){{
.charts{{grid-template-columns:minmax(0,1fr)}}
.chart.broad{{display:none}}
figure.broad .chart.wide{{display:block}}
}}
@media (max-width:559px){{
main{{padding:18px 12px 40px}}
.chart.wide,figure.broad .chart.wide{{display:none}}
.chart.narrow{{display:block}}
figure{{padding:14px 10px 8px}}
th,td{{padding:4px 6px}}
h1{{font-size:1.5rem}}
.tiles{{grid-template-columns:repeat(2,minmax(0,1fr))}}
}}
@media print{{
:root{{color-scheme:light;{_variables(LIGHT)}--page:#ffffff}}
body{{font-size:12px}}
main{{max-width:none;padding:0}}
.scroll{{max-height:none;overflow:visible}}
th,td{{white-space:normal;overflow-wrap:anywhere;padding:3px 5px}}
.charts{{grid-template-columns:repeat(2,minmax(0,1fr))}}
.chart.narrow,figure.broad .chart.wide{{display:block}}
.chart.wide,.chart.broad,figure.broad .chart.narrow{{display:none}}
.tiles>div,figure,tr{{break-inside:avoid}}
h2,h3{{break-after:avoid}}
}}
"""
