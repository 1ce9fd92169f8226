"""A document to one self-contained page: no script, nothing fetched, one template for all."""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

from schema.evidence import SLSA
from tasks.documents import Document, Evidence
from tasks.documents._blocks import NOT_EVIDENCED, Claim, Section, claims
from tasks.documents._edition import Edition


def environment() -> Environment:
    """Templates of documents, and under `reporting/` those of the report, whose style sheet they share."""
    loader = ChoiceLoader([PackageLoader("tasks.documents"), PrefixLoader({"reporting": PackageLoader("tasks.reporting")})])
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.globals.update(not_evidenced=NOT_EVIDENCED)
    return made


def html(document: Document, evidence: Evidence, edition: Edition) -> str:
    """The page of one document in one edition."""
    sections = document.sections(evidence, edition)
    title = evidence.fact(evidence.sheet, "params.card.title", edition.words)
    version = evidence.fact(evidence.run("release"), "said.version")
    return (
        environment()
        .get_template("document.html.j2")
        .render(
            document=document,
            evidence=evidence,
            edition=edition.value,
            sections=sections,
            tally=tally(sections),
            title=title,
            version=version,
            cited=cited([title, version, *claims(sections)], evidence),
        )
    )


def index(documents: list[Document], evidence: Evidence, edition: Edition, pdf: bool) -> str:
    """The page that lists a packet's documents."""
    rows = [(document, tally(document.sections(evidence, edition))) for document in documents]
    return environment().get_template("index.html.j2").render(rows=rows, evidence=evidence, edition=edition.value, pdf=pdf)


def tally(sections: list[Section]) -> dict[str, int]:
    """How many claims stand on evidence, of how many."""
    made = claims(sections)
    return {"evidenced": sum(claim.evidenced for claim in made), "of": len(made)}


def cited(made: list[Claim], evidence: Evidence) -> list[dict[str, Any]]:
    """The statements that claims stand on, in the order of the record."""
    used = {digest for claim in made for digest in claim.on}
    return [
        {"line": entry.line, "what": what(entry.statement), "digest": entry.digest, "signed": signature(entry)}
        for entry in evidence.entries
        if entry.digest in used
    ]


def what(statement: Any) -> str:
    """What a statement is, in words."""
    if statement.predicate_type == SLSA:
        return f"run of {statement.about}"
    if "gate" in (statement.predicate.get("synthmill_said") or {}):
        return f"verdict of {statement.about}"
    return {"data-checks": "checks of the data"}.get(statement.about, statement.about)


def signature(entry: Any) -> str:
    if entry.signed_by is None:
        return "not signed"
    return "by a trusted key" if entry.trusted else "by a key that nobody named as trusted"
