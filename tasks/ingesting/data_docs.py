"""Great Expectations' Data Docs as pages that need no network: they name style sheets and scripts elsewhere, which a hospital's browser
cannot have and should not ask for, and their list of results is drawn by one of those scripts."""

import re
from html import escape
from pathlib import Path
from typing import Any

ELSEWHERE = re.compile(
    r"""<link\b[^>]*\bhref="https?://[^>]*>
      | <script\b[^>]*\bsrc="https?://[^>]*>\s*</script>
      | <img\b[^>]*\bsrc="https?://[^>]*>
      | <footer\b.*?</footer>""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
"""What is fetched from other servers, and the line at the foot that advertises."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b2733; background: #fff; max-width: 75rem; margin: 2rem auto; padding: 0 1.5rem; }
h1, h2, h3, h4, h5, h6, strong { font-weight: 600; }
h1 { font-size: 1.5rem; } h5, h6 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
a { color: #123f6d; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { border: 1px solid #d5dbe1; padding: .35rem .7rem; text-align: left; vertical-align: top; }
th { background: #f2f5f8; }
.ok { color: #17663a; font-weight: 600; } .bad { color: #a3221b; font-weight: 600; }
.badge { background: #f2f5f8; border-radius: .3rem; padding: 0 .3rem; }
.navbar-brand, .modal, .popover, [data-toggle="collapse"] { display: none; }
.mb-1, .mb-2 { margin-bottom: .3rem; }
@media (prefers-color-scheme: dark) {
  body { color: #e3e8ed; background: #14191e; } a { color: #8fc1f2; }
  th, td { border-color: #3a444e; } th, .badge { background: #222a32; } .ok { color: #6fd39a; } .bad { color: #ff9d96; }
}
"""


def settle(docs: Path, title: str, outcomes: list[dict[str, Any]]) -> None:
    """Takes out of every page below `docs` what comes from elsewhere, and writes its first page anew.

    `outcomes`: {"suite", "success", "expectations": [{"type", "column", "success"}]} of each suite, in the order to show.
    """
    for page in docs.rglob("*.html"):
        text = ELSEWHERE.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", f"<style>{STYLE}</style></head>", 1), encoding="utf-8")
    (docs / "index.html").write_text(_first_page(docs, title, outcomes), encoding="utf-8")


def _first_page(docs: Path, title: str, outcomes: list[dict[str, Any]]) -> str:
    parts = [
        f"<h1>Checks of {escape(title)}</h1>",
        "<p>What Great Expectations found in the manifest. No page holds a value of any record.</p>",
    ]
    for outcome in outcomes:
        suite = outcome["suite"]
        pages = {"results": _page(docs, "validations", suite), "suite": _page(docs, "expectations", suite)}
        links = [f'<a href="{escape(page.relative_to(docs).as_posix())}">{name}</a>' for name, page in pages.items() if page]
        parts.append(f"<h2>{escape(suite)} {_mark(outcome['success'])}</h2><p>{' · '.join(links)}</p>")
        parts.append(f"<table>{_row('th', 'column', 'expectation', 'holds')}")
        for each in outcome["expectations"]:
            parts.append(_row("td", escape(each["column"]), escape(each["type"].replace("_", " ")), _mark(each["success"])))
        parts.append("</table>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Checks of {escape(title)}</title>'
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body><main>{"".join(parts)}</main></body></html>\n'


def _row(tag: str, *cells: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _mark(success: bool) -> str:
    return '<span class="ok">✓ yes</span>' if success else '<span class="bad">✕ no</span>'


def _page(docs: Path, kind: str, suite: str) -> Path | None:
    """The one page of a suite: below a folder of its name, or of its name."""
    return next(
        (page for page in sorted((docs / kind).rglob("*.html")) if suite in (page.stem, page.relative_to(docs / kind).parts[0])), None
    )
