"""The matrix as one page: no script, nothing loaded, for screens, phones and paper, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby

from gateway.policy.explain import compact, role, target, terms
from gateway.policy.matrix import BOUNDED, MEANING, Cell, Matrix, Row
from gateway.policy.rules import Rule

_MARKS = {"yes": "yes", "depends": "args", "gate": "gate", "no": "-"}
_STYLE = """\
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5c6670; --paper: #fff; --line: #d5dae0; --band: #f1f3f6;
  --yes: #d9f2e0; --yes-ink: #0f5626; --depends: #fdf0c8; --depends-ink: #6b4800; --gate: #dce9fd;
  --gate-ink: #17468f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --dim: #9aa5b1; --paper: #14171b; --line: #343b44;
  --band: #1e2329; --yes: #14401f; --yes-ink: #b4ecc3; --depends: #4a3805; --depends-ink: #fbe3a0;
  --gate: #16325f; --gate-ink: #c3d9fb; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 84rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
p { margin: .25rem 0 1rem; max-width: 46rem; } .dim, caption { color: var(--dim); } .digest { overflow-wrap: anywhere; }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; }
caption { text-align: left; padding: .5rem .75rem; }
th, td { padding: .35rem .75rem; border-top: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; z-index: 1; background: var(--band); border-bottom: 1px solid var(--line); }
.matrix td, .matrix thead th { text-align: center; white-space: nowrap; }
.matrix thead th:first-child { text-align: left; left: 0; z-index: 2; }
.matrix tbody th { position: sticky; left: 0; font-weight: 400; background: var(--paper); white-space: nowrap; }
.matrix tbody th.server { font-weight: 600; background: var(--band); }
.matrix tbody td { border-left: 1px solid var(--line); }
.mark { display: inline-block; min-width: 3.2em; padding: .05em .5em; border-radius: 1em; text-align: center;
  font-size: .87em; color: var(--dim); }
.yes { background: var(--yes); color: var(--yes-ink); } .gate { background: var(--gate); color: var(--gate-ink); }
.depends { background: var(--depends); color: var(--depends-ink); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem .75rem; margin: 0 0 1.25rem; }
dd { margin: 0; } ul { margin: 0; padding-left: 1.1rem; }
@media (max-width: 40rem) { body { padding: 1rem .5rem 2rem; font-size: 14px; } th, td { padding: .3rem .4rem; }
  .scroll { max-height: none; } .mark { min-width: 2.9em; padding: .05em .3em; }
  .matrix thead th { vertical-align: bottom; } .matrix thead span { writing-mode: vertical-rl;
  transform: rotate(180deg); }
  .rules thead { position: absolute; clip-path: inset(50%); } .rules tr { display: block; padding: .35rem 0;
  border-top: 1px solid var(--line); } .rules td, .rules th { display: block; border: 0; padding: .1rem .6rem; } }
@media print { body { max-width: none; padding: 0; font-size: 9pt; } .scroll { overflow: visible; max-height: none;
  border: 0; } thead { display: table-header-group; } tr { break-inside: avoid; } th { position: static !important; }
  .mark, th { print-color-adjust: exact; } }
"""


def page(shown: Matrix, digest: str, connected: bool) -> str:
    """HTML of the matrix. `connected`: its tools are those that servers offer."""
    source = "The tools are those that the servers offer."
    if not connected:
        source = "The tools are those that rules and tests name. A name with * stands for whatever else it matches."
    body = [
        "<h1>Who may call what</h1>",
        f'<p class="dim">Policy <code class="digest">{digest}</code></p>',
        *_legend(),
        f"<p>{source}</p>",
        *_matrix(shown),
        *_details(shown),
    ]
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Who may call what</title>
<style>
{_STYLE}</style>
</head>
<body>
<main>
{chr(10).join(body)}
</main>
</body>
</html>
"""


def _legend() -> Iterator[str]:
    yield "<dl>"
    for access, meaning in MEANING.items():
        yield f'<dt><span class="mark {access}">{_MARKS[access]}</span></dt><dd>{meaning}</dd>'
    yield f'<dt><span class="mark">+</span></dt><dd>{BOUNDED}</dd>'
    yield "</dl>"


def _matrix(shown: Matrix) -> Iterator[str]:
    yield '<div class="scroll" role="region" aria-label="Matrix" tabindex="0"><table class="matrix">'
    yield "<caption>Tools by server, agents across</caption>"
    heads = "".join(f'<th scope="col"><span>{escape(agent)}</span></th>' for agent in shown.agents)
    yield f'<thead><tr><th scope="col">tool</th>{heads}</tr></thead>'
    for server, rows in groupby(shown.rows, lambda row: row.tool.server):
        yield "<tbody>"
        yield f'<tr><th scope="rowgroup" class="server" colspan="{len(shown.agents) + 1}">{escape(server)}</th></tr>'
        for row in rows:
            cells = "".join(map(_mark, row.cells))
            yield f'<tr><th scope="row"><code>{escape(row.tool.label)}</code></th>{cells}</tr>'
        yield "</tbody>"
    yield "</table></div>"


def _mark(cell: Cell) -> str:
    access = cell.access
    spoken = ' aria-label="no"' if access == "no" else ""
    bound = "+" if cell.bounded else ""
    return f'<td><span class="mark {access}"{spoken}>{_MARKS[access]}{bound}</span></td>'


def _details(shown: Matrix) -> Iterator[str]:
    """Each cell that says more than yes or no, with the rules that make it so."""
    cells = [
        (agent, row, cell)
        for row in shown.rows
        for agent, cell in zip(shown.agents, row.cells, strict=True)
        if cell.access in ("depends", "gate") or cell.bounded
    ]
    if not cells:
        return
    yield '<h2>What it depends on</h2><div class="scroll"><table class="rules">'
    yield "<caption>For every cell that says args, gate or +, the rules that speak of the tool</caption>"
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("agent", "tool", "rules"))
    yield f"<thead><tr>{heads}</tr></thead><tbody>"
    for agent, row, cell in cells:
        yield _detail(agent, row, cell)
    yield "</tbody></table></div>"


def _detail(agent: str, row: Row, cell: Cell) -> str:
    rules = "".join(f"<li>{_rule(rule)}</li>" for rule in cell.rules)
    tool = f"<code>{escape(row.tool.target)}</code>"
    return f'<tr><th scope="row">{escape(agent)}</th><td>{tool}</td><td><ul>{rules}</ul></td></tr>'


def _rule(rule: Rule) -> str:
    said = {"where": rule.where, **terms(rule)}
    conditions = [f"{name} <code>{escape(compact(value, 2000))}</code>" for name, value in said.items() if value]
    through = role(rule)
    origin = f" through role {escape(through)}" if through else ""
    place = f'<span class="dim"><code>{escape(rule.place)}</code>{origin}</span>'
    return f"{rule.effect} <code>{escape(target(rule))}</code> {', '.join(conditions)} {place}"
