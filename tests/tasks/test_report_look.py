"""How the pages look: contrast and names of things by WCAG 2.2, nothing cut off on paper of either size, nothing fetched."""

import itertools
import re

import pytest

from tasks.reporting import plots
from tasks.reporting.pdf import renderer
from tests.conftest import CHECKOUT
from tests.report_workspace import made, written

STYLE = (CHECKOUT / "tasks/reporting/templates/style.css").read_text()
PAGES = ("internal.html", "public/report.html")


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """The report's files, to be read only."""
    with made(tmp_path_factory.mktemp("look")) as root:
        return written(root)


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance, of #rgb or #rrggbb."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def declared(name: str) -> list[tuple[str, str, str]]:
    """(selector, colour, background that the same rule has) of every rule that declares a property of that name."""
    variables = dict(re.findall(r"(--\w+): (#\w+)", STYLE))
    flat = re.sub(r"var\((--\w+)\)", lambda found: variables[found[1]], STYLE)
    rows = []
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", flat):
        ground = re.search(r"(?:^|[;\s])background: (#\w+)", body)
        rows += [
            (selector.strip(), colour, ground[1] if ground else "#fff")
            for colour in re.findall(rf"(?:^|[;\s]){name}:[^;#]*(#[0-9a-fA-F]{{3,6}})\b", body)
        ]
    return rows


def test_text_stands_out_by_four_and_a_half_and_what_else_matters_by_three():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)  # the well-known grey that just falls short
    texts = declared("color")
    assert len(texts) > 12
    assert [(where, pair) for where, *pair in texts if contrast(*pair) < 4.5] == []
    borders = [row for row in declared("border") if ".badge" in row[0] or ".decision" in row[0]]
    assert len(borders) >= 3
    assert [(where, pair) for where, *pair in borders if contrast(*pair) < 3] == []
    assert min(contrast(plots.REAL["color"], "#fff"), contrast(plots.SYNTHETIC["color"], "#fff")) > 3
    assert contrast(plots.STYLE["xtick.color"], "#fff") > 4.5


def test_text_in_plots_stands_out(pages):
    fills = set(re.findall(r'<text[^>]*style="[^"]*fill: (#\w+)', pages["internal.html"]))
    assert fills
    assert [fill for fill in fills if contrast(fill, "#fff") < 4.5] == []


def test_each_picture_plot_and_table_has_a_name_and_each_heading_cell_its_scope(pages):
    for name in PAGES:
        page = pages[name]
        pictures, drawn = re.findall(r"<img [^>]*>", page), re.findall(r"<svg [^>]*>", page)
        assert (len(pictures) >= 2, len(drawn) > 10) == (True, True)
        assert [tag for tag in pictures if not re.search(r' alt="[^"]+"', tag)] == []
        assert [tag for tag in drawn if not re.search(r' role="img" aria-label="[^"]+"', tag)] == []
        tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
        assert len(tables) > 20
        assert [table[:80] for table in tables if not re.search(r"<caption>\s*[^\s<]|<caption><strong>", table)] == []
        heads = re.findall(r"<th\b[^>]*>", page)
        assert [tag for tag in heads if not re.search(r'scope="(col|row|rowgroup)"', tag)] == []
        assert re.search(r"<th\b[^>]*>\s*</th>", page) is None
        levels = [int(level) for level in re.findall(r"<h(\d)\b", page)]
        assert levels[0] == levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert '<html lang="en">' in page


def test_no_script_and_no_request_leaves_the_page(pages):
    for name in PAGES:
        page = pages[name]
        assert re.search(r"<(script|iframe|object|embed|link|form)\b|\son\w+=|@import|javascript:", page, re.IGNORECASE) is None
        assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
        fetched = re.findall(r'(?:\ssrc|\shref|xlink:href)="([^"]*)"|url\(([^)]*)\)', page)
        targets = {"".join(pair).strip("'\"") for pair in fetched}
        assert [target[:60] for target in targets if not target.startswith(("#", "data:image/png;base64,"))] == []


@pytest.mark.parametrize("size", ["A4", "Letter"])
def test_it_prints_on_either_paper_with_the_decision_and_all_gates_on_two_pages_and_nothing_cut(pages, size):
    weasyprint = renderer()
    sheet = weasyprint.CSS(string=f"@page {{ size: {size} }}")
    printed = weasyprint.HTML(string=pages["public/report.html"]).render(stylesheets=[sheet])
    where: dict[str, int] = {}
    cut, seen, small = [], 0, 0
    for number, page in enumerate(printed.pages):
        box = page._page_box
        right, bottom = box.content_box_x() + box.width, box.content_box_y() + box.height
        for inner in box.descendants():
            where.setdefault((inner.element.get("id") if inner.element is not None else None) or "", number)
            tag = (inner.element_tag or "").rpartition("}")[2]
            whole = tag in ("svg", "img")
            seen += whole
            small += tag == "svg" and inner.width < 0.45 * box.width
            over = (whole or tag == "table") and inner.position_x + inner.border_width() > right + 1
            if over or (whole and inner.position_y + inner.height > bottom + 1):
                cut.append((number, tag))
    assert seen == len(re.findall("<(?:svg|img) ", pages["public/report.html"]))
    assert (cut, small) == ([], 0)
    assert (where["summary"], where["says"]) == (0, 2)
    assert len(printed.pages) < 30
