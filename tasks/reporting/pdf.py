"""A page of HTML to a tagged PDF with fonts of its own, without the network: the same page, the same bytes on any machine that has
HarfBuzz-Subset (elsewhere fontTools cuts the fonts to size, into other bytes)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schema.digest import write_bytes
from schema.errors import SynthmillError, UsageError

PAPERS = {"A4": "A4", "Letter": "letter"}
"""Paper by name: its name in CSS (Paged Media Module Level 3, section 7.1)."""

FACES = (
    ("Page Sans", "DejaVuSans.ttf", "normal", "normal"),
    ("Page Sans", "DejaVuSans-Bold.ttf", "bold", "normal"),
    ("Page Sans", "DejaVuSans-Oblique.ttf", "normal", "italic"),
    ("Page Sans", "DejaVuSans-BoldOblique.ttf", "bold", "italic"),
    ("Page Mono", "DejaVuSansMono.ttf", "normal", "normal"),
)
"""Family, file, weight and style of the fonts, which come with matplotlib: those of the machine may be any or none."""


def write_pdf(html: str, path: Path, paper: str = "A4") -> None:
    """Writes the page as PDF, with tags for screen readers, its title and its language, atomically.

    Raises UsageError for a paper not in PAPERS and SynthmillError where Pango is missing or the page asks for anything outside itself.
    """
    if paper not in PAPERS:
        raise UsageError(f"no paper is called {paper!r}; there are: {', '.join(PAPERS)}")
    weasyprint = renderer()
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import FatalURLFetchingError

    fonts = FontConfiguration()
    fetcher = _fetcher()
    sheet = weasyprint.CSS(string=style(paper), font_config=fonts, url_fetcher=fetcher)
    try:
        with _without_the_clock():
            made = weasyprint.HTML(string=html, url_fetcher=fetcher).write_pdf(stylesheets=[sheet], font_config=fonts, pdf_tags=True)
    except FatalURLFetchingError as error:
        raise SynthmillError(f"{path.name} was not written: {error}") from None
    write_bytes(path, made)


def style(paper: str) -> str:
    """What the PDF adds to the page's own style: its fonts, and the paper."""
    faces = "\n".join(
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-style: {slant}; src: url("{address}") }}'
        for (family, _, weight, slant), address in zip(FACES, font_addresses(), strict=True)
    )
    return f"""{faces}
@page {{
  size: {PAPERS[paper]};
  @bottom-left {{ font-family: "Page Sans" !important }}
  @bottom-right {{ font-family: "Page Sans" !important }}
}}
* {{ font-family: "Page Sans" !important }}
code, pre, .evidence {{ font-family: "Page Mono" !important }}
body {{ font-size: 9.5pt !important }}
"""


def font_addresses() -> list[str]:
    """Where the font of each of FACES lies; matplotlib is not imported for that."""
    folder = Path(find_spec("matplotlib").origin).parent / "mpl-data" / "fonts" / "ttf"
    return [(folder / file).as_uri() for _, file, _, _ in FACES]


def renderer() -> Any:
    """WeasyPrint. Raises SynthmillError where it cannot load Pango."""
    try:
        import weasyprint
    except OSError as error:
        raise SynthmillError(
            f"a PDF needs Pango, which this machine lacks ({error.args[0].splitlines()[0]}): install libpango-1.0-0, libpangoft2-1.0-0 "
            "and libharfbuzz-subset0 (Debian, Ubuntu; on others the packages of the same libraries), or take the HTML"
        ) from None
    from PIL import ImageFile

    # WeasyPrint has Pillow take truncated images for whole ones, in all of the process: an ingest must not.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    return weasyprint


@contextmanager
def _without_the_clock() -> Iterator[None]:
    """Fonts carry the time of their last change, which fontTools takes from SOURCE_DATE_EPOCH (reproducible-builds.org)."""
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before


def _fetcher() -> Any:
    """Gives the fonts and what a page holds of itself (`data:`), and fails at anything else."""
    from weasyprint.urls import FatalURLFetchingError, URLFetcher

    fonts = set(font_addresses())

    class OnlyItself(URLFetcher):
        def fetch(self, url: str, headers: Any = None) -> Any:
            if url not in fonts and not url.startswith("data:"):
                raise FatalURLFetchingError(f"the page asks for {url}, and a document fetches nothing")
            return super().fetch(url, headers)

    return OnlyItself()
