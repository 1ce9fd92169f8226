"""What a release says of itself to people (README.md, with the YAML head of Hugging Face) and to machines (croissant.json)."""

from typing import Any

import yaml

from schema.params import Card

CROISSANT = "http://mlcommons.org/croissant/1.1"
RAI = "http://mlcommons.org/croissant/RAI/1.0"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))

COLUMNS = {
    "id": ("string", "sc:Text", "Name of the image within this dataset."),
    "image": ("image", "sc:ImageObject", "The synthetic image, as PNG."),
    "label": ("int64", "cr:Int64", "Class index."),
    "label_name": ("string", "sc:Text", "The class in words."),
    "seed": ("int64", "cr:Int64", "The seed that the image was drawn from."),
    "sha256": ("string", "sc:Text", "SHA-256 of the image's shape and pixels."),
}
"""Column: its type for Hugging Face datasets, its type for Croissant, what it is."""


def columns(facts: dict[str, Any]) -> dict[str, tuple[Any, str, str]]:
    """COLUMNS, and after the class those of the attributes that the generator was told."""
    found = dict(COLUMNS)
    seed, digest = found.pop("seed"), found.pop("sha256")
    for condition in facts["conditions"]:
        if condition["label"] is None:
            kind, values = "string", condition["values"]
        else:
            kind, values = {"list": "string"}, [one["label"] for one in facts["conditions"] if one["attribute"] == condition["attribute"]]
        found[condition["attribute"]] = (kind, "sc:Text", f"What the generator was told: {', '.join(values)}.")
    return {**found, "seed": seed, "sha256": digest}


def readme(facts: dict[str, Any], card: Card, report: dict[str, Any]) -> str:
    """README.md. `facts`: provenance.json; `report`: the public report.json, whose limits are the card's."""
    name, version, size = facts["dataset"], facts["version"], facts["image"]
    lines = [
        "---",
        yaml.safe_dump(head(facts, card), sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        f"# {card.title}, {version}",
        card.description.strip(),
        "",
        f"**Every image is synthetic.** {facts['images']} images of {size['width']} x {size['height']} pixels, "
        f"{'grey' if size['channels'] == 1 else 'RGB'}, {card.modality}, drawn by a generator ({facts['model']['kind']}) that learned from "
        f"the source images ({facts['source']['kind']}). None of the source images is in this release.",
        "",
        *table(("Class", "Label", "Images"), ((label, index, count) for index, (label, count) in enumerate(facts["labels"].items()))),
        "",
        "## Use it",
        "```python",
        "import datasets  # anywhere",
        "",
        'images = datasets.load_dataset("path/of/this/folder", split="train")',
        "```",
        "```python",
        "import catalog  # in a checkout of synthmill",
        "",
        f'images = catalog.load("{name}", version="{version}", as_="torch")',
        "```",
        f"The tag `{name}@{version}` pins these bytes for good. `sha256sum --check SHA256SUMS` checks them.",
        "",
        *table(("Column", "Type", "What"), ((name, shown(kind), what) for name, (kind, _, what) in columns(facts).items())),
        "",
        "## What was checked before the release",
        *table(("Gate", "Verdict", "Measured", "Interval", "Allowed", "Holds a release back"), map(gate_row, facts["gates"])),
        "",
        "A gate passes only if the whole interval keeps within the threshold, which was set before measuring.",
        "Methods, nulls and plots: `privacy/report.html`.",
        "",
        "## What was not measured",
        *(f"- {entry['what']}: {entry['why']}" for entry in report["not_measured"]),
        "",
        "## Limits",
        *(f"- {limit}" for limit in report["limits"]),
        "",
        "Not for clinical use. Do not try to identify people whose images the generator learned from.",
        "",
        "## Licence and source",
        f"The synthetic images: {card.license}. The source images: {card.source_license}.",
        *([f"Source: {card.citation}"] if card.citation else []),
        "",
        "How it was made, down to seeds and digests: `provenance.json`.",
    ]
    return "\n".join(lines) + "\n"


def head(facts: dict[str, Any], card: Card) -> dict[str, Any]:
    """The YAML head by which the Hugging Face hub and `datasets` know the dataset."""
    names = {str(index): label for index, label in enumerate(facts["labels"])}
    features = [
        {"name": name, **(kind if isinstance(kind, dict) else {"dtype": {"class_label": {"names": names}} if name == "label" else kind})}
        for name, (kind, _, _) in columns(facts).items()
    ]
    return {
        "pretty_name": f"{card.title} {facts['version']}",
        "license": card.license.lower(),
        "version": facts["version"],
        "annotations_creators": ["machine-generated"],
        "task_categories": ["image-classification"],
        "size_categories": [next((words for bound, words in SIZES if facts["images"] < bound), "n>10M")],
        "tags": ["synthetic", "medical", "croissant"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}],
        "dataset_info": {"features": features},
    }


def shown(feature: Any) -> str:
    return f"list of {feature['list']}" if isinstance(feature, dict) else feature


def table(header: tuple[str, ...], rows: Any) -> list[str]:
    """A Markdown table."""
    cells = [header, tuple("---" for _ in header), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells]


def gate_row(gate: dict[str, Any]) -> tuple[str, ...]:
    interval = gate["interval"]
    return (
        gate["gate"],
        gate["status"],
        "none" if gate["value"] is None else f"{gate['value']:.4g} ({gate['unit']})",
        f"{interval[0]:.4g} to {interval[1]:.4g}" if interval else "none",
        f"{gate['direction'].replace('_', ' ')} {gate['threshold']:g}",
        "yes" if gate["required"] else "no, informs only",
    )


def croissant(facts: dict[str, Any], card: Card, report: dict[str, Any], files: list[tuple[str, str, int]], date: str) -> dict[str, Any]:
    """croissant.json: the Croissant format 1.1 with the terms of its RAI vocabulary 1.0.

    `files`: (path, sha256, bytes) of each Parquet file. Paths are relative to the release folder.
    """
    version = facts["version"].removeprefix("v")
    return {
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": [CROISSANT, RAI],
        "name": facts["dataset"],
        "description": f"{card.title}. {card.description}",
        "version": version,
        "license": f"https://spdx.org/licenses/{card.license}.html",
        "datePublished": date,
        "creator": {"@type": "sc:Organization", "name": card.creator},
        "keywords": ["synthetic", "medical imaging", card.modality],
        "isLiveDataset": False,
        "citeAs": bibtex(facts, card, date),
        **responsible_ai(facts, card, report),
        "distribution": [*(file_object(*entry) for entry in files), FILE_SET],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "records",
                "name": "records",
                "key": {"@id": "records/id"},
                "field": [field(name, *column) for name, column in columns(facts).items()],
            }
        ],
    }


FILE_SET = {
    "@type": "cr:FileSet",
    "@id": "parquet-files",
    "name": "parquet-files",
    "description": "The Parquet files with the images.",
    "encodingFormat": "application/x-parquet",
    "includes": "data/train-*.parquet",
}


def file_object(path: str, sha256: str, size: int) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


def field(name: str, feature: Any, kind: str, what: str) -> dict[str, Any]:
    """One column; an image is the `bytes` of a struct."""
    source: dict[str, Any] = {"fileSet": {"@id": "parquet-files"}, "extract": {"column": name}}
    if name == "image":
        source["transform"] = {"jsonPath": "bytes"}
    several = {"isArray": True, "arrayShape": "-1"} if isinstance(feature, dict) else {}
    return {"@type": "cr:Field", "@id": f"records/{name}", "name": name, "description": what, "dataType": kind, **several, "source": source}


def responsible_ai(facts: dict[str, Any], card: Card, report: dict[str, Any]) -> dict[str, Any]:
    shares = ", ".join(f"{label} {count / facts['images']:.1%}" for label, count in facts["labels"].items())
    gates = "; ".join(f"{gate['gate']} {gate['status']}" for gate in facts["gates"])
    collected = (
        f"Drawn, one seed an image, from a generator ({facts['model']['kind']}) that learned from the source images ({card.modality})."
    )
    plan = "Versions never change. PATCH: the same records serialised anew. MINOR: records added. MAJOR: records changed or gone."
    return {
        "rai:dataCollection": collected,
        "rai:dataCollectionType": ["Synthetic"],
        "rai:dataBiases": [f"Class shares: {shares}.", "Whatever is biased or missing in the source images is likely so in these."],
        "rai:dataLimitations": [*report["limits"], *(f"Not measured: {entry['what']}. {entry['why']}" for entry in report["not_measured"])],
        "rai:dataUseCases": ["Training and testing of classifiers in research. Not for clinical use."],
        "rai:personalSensitiveInformation": [f"No source image is in the data. What it may give away of them was measured by: {gates}."],
        "rai:dataSocialImpact": "Methods can be developed without access to patients' images; results have to be confirmed on real ones.",
        "rai:dataReleaseMaintenancePlan": plan,
        **({"rai:dataCollectionRawData": f"The source images: {card.citation}"} if card.citation else {}),
    }


def bibtex(facts: dict[str, Any], card: Card, date: str) -> str:
    key = f"{facts['dataset']}-{facts['version']}"
    return f"@misc{{{key}, title={{{card.title}}}, author={{{card.creator}}}, year={{{date[:4]}}}, version={{{facts['version']}}}}}"


def context() -> dict[str, Any]:
    """The JSON-LD context of Croissant 1.1: its own terms in the namespace `cr`, names and descriptions by language."""
    own = (
        *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty", "fileObject"),
        *("fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
        *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
    )
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "dct": "http://purl.org/dc/terms/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
        **{term: f"cr:{term}" for term in own},
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "name": {"@container": "@language"},
        "description": {"@container": "@language"},
    }
