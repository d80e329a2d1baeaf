"""The page at /docs: the API reference as HTML without scripts, that asks nothing of other hosts."""

from __future__ import annotations

import re
from functools import cache
from html import escape

from oddwave.serve.reference import Block, Code, Heading, Table, blocks

_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)")
STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #566173; --line: #dfe4ea; --back: #fff; --tint: #f4f6f8;
  --link: #0b62c4; --get: #0b62c4; --post: #0f7a4a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9ba7b8; --line: #303845; --back: #14181f;
  --tint: #1c222b; --link: #7db4f5; --get: #7db4f5; --post: #63c797; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; color: var(--ink); background: var(--back); font: 16px/1.55 system-ui, sans-serif; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
code, pre { font: 0.875em/1.5 ui-monospace, Menlo, Consolas, monospace; }
code { background: var(--tint); border-radius: 4px; padding: 0.1em 0.3em; overflow-wrap: anywhere; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 8px; padding: 0.8rem 1rem;
  overflow-x: auto; }
pre code { background: none; padding: 0; }
main { max-width: 52rem; padding: 1.5rem 2rem 6rem; min-width: 0; }
nav { padding: 1.5rem; border-right: 1px solid var(--line); font-size: 0.82rem; }
nav b { display: block; margin: 1rem 0 0.3rem; } nav b:first-child { margin-top: 0; }
nav a { display: block; padding: 0.12rem 0; color: var(--ink); overflow-wrap: anywhere; }
.page { display: grid; grid-template-columns: 22.5rem minmax(0, 1fr); max-width: 80rem; margin: 0 auto; }
nav div { position: sticky; top: 1.5rem; max-height: calc(100vh - 3rem); overflow-y: auto; }
h1 { margin: 0 0 1rem; font-size: 1.9rem; line-height: 1.2; } h2 { margin: 3.5rem 0 0.5rem; font-size: 1.45rem; }
h3 { margin: 2.2rem 0 0.5rem; padding-top: 1.4rem; border-top: 1px solid var(--line); font-size: 1.05rem;
  font-family: ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
h4 { margin: 1.4rem 0 0.2rem; font-size: 1rem; }
h4 + p { margin-top: 0; color: var(--soft); }
.get { color: var(--get); } .post { color: var(--post); } .get, .post { font-weight: 700; margin-right: 0.3em; }
table { width: 100%; border-collapse: collapse; margin: 0.6rem 0 1rem; font-size: 0.9rem; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: 0.4rem 1rem 0.4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; width: 55%; }
@media (max-width: 60rem) { .page { display: block; } nav { border: 0; border-bottom: 1px solid var(--line); }
  nav div { position: static; max-height: none; } main { padding: 1.5rem; margin: 0 auto; } }
@media (max-width: 34rem) { thead { display: none; } tr { display: block; padding: 0.5rem 0;
  border-bottom: 1px solid var(--line); } td { display: inline; border: 0; padding: 0 0.4rem 0 0; }
  td:last-child { display: block; width: auto; padding: 0.15rem 0 0; }
  td:empty { display: none; } main, nav { padding: 1.2rem 1rem; } }
"""


@cache
def page() -> bytes:
    """Return the page."""
    body = "\n".join(_html(block) for block in blocks())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Oddwave API</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<div class="page">
<nav aria-label="Contents"><div>
{_contents()}
</div></nav>
<main>
{body}
</main>
</div>
</body>
</html>
""".encode()


def _contents() -> str:
    found = [block for block in blocks() if isinstance(block, Heading) and block.level in (2, 3)]
    return "\n".join(
        f'<b><a href="#{one.anchor}">{escape(one.text)}</a></b>'
        if one.level == 2
        else f'<a href="#{one.anchor}">{_route(one.text)}</a>'
        for one in found
    )


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        text = _route(block.text) if block.level == 3 else escape(block.text)
        return f'<h{block.level} id="{block.anchor}">{text}</h{block.level}>'
    if isinstance(block, Code):
        return f'<pre tabindex="0"><code>{escape(block.text)}</code></pre>'
    if isinstance(block, Table):
        head = "".join(f"<th>{escape(cell)}</th>" for cell in block.head)
        rows = "\n".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in block.rows)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    return f"<p>{_inline(block)}</p>"


def _route(text: str) -> str:
    """Set the method off from the path."""
    method, _, path = text.partition(" ")
    return f'<span class="{method.lower()}">{method}</span> {escape(path)}'


def _inline(text: str) -> str:
    """Make code, bold words and links of a text's signs.

    Examples
    --------
    >>> _inline("a < `b<c>`, see [d](#e)")
    'a &lt; <code>b&lt;c&gt;</code>, see <a href="#e">d</a>'
    """
    return _INLINE.sub(_marked, escape(text, quote=False))


def _marked(found: re.Match[str]) -> str:
    code, bold, word, target = found.groups()
    if code is not None:
        return f"<code>{code}</code>"
    return f"<strong>{bold}</strong>" if bold is not None else f'<a href="{target}">{word}</a>'
