"""Stage `report`: what a compliance officer reads before signing.

    python -m tasks.report pneumonia

Writes reports/<dataset>/report/: `internal.html` and `report.json` with everything, real images included, for inside;
`public/report.html` and `public/report.json` with no real image, no id and no per-image number, for the release.
"""

import json

from schema.digest import write_bytes, write_json
from tasks.reporting.editions import public
from tasks.reporting.facts import collect
from tasks.reporting.gather import read
from tasks.reporting.nearest import compare
from tasks.reporting.pictures import internal_pictures, public_pictures
from tasks.reporting.render import html
from tasks.stage import main, reports_folder


def run(dataset: str) -> None:
    """Writes both editions. Raises SynthmillError where an earlier stage has not run, IntegrityError where outs do not belong together."""
    workspace = read(dataset)
    closest = compare(workspace.train, workspace.holdout, workspace.synthetic)
    inside = collect(workspace, closest)
    outside = public(inside, workspace.names)
    folder = reports_folder(dataset) / "report"
    for edition, facts, pictures in (
        ("internal.html", inside, internal_pictures(workspace, closest)),
        ("public/report.html", outside, public_pictures(workspace, closest)),
    ):
        # The page is made from what report.json holds once read back: the two cannot differ.
        write_json((folder / edition).with_name("report.json"), facts)
        write_bytes(folder / edition, html(json.loads(json.dumps(facts)), pictures).encode())


if __name__ == "__main__":
    main(run)
