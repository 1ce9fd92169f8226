"""Row-level checks of a manifest by Great Expectations, in an ephemeral context, with Data Docs under reports/."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from schema.params import Ingest
from schema.record import SPLITS
from tasks.ingesting.data_docs import settle


def check_manifest(rows: pd.DataFrame, name: str, params: Ingest, docs: Path) -> dict:
    """Checks the rows of a manifest (id, patient, split, label, sha256, height, width and the attributes) and writes Data Docs into `docs`.

    Gives {"success", "evaluated", "failed": [names]}: booleans and names only, since an offending value of real data must
    not be written anywhere.
    """
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    definition = context.data_sources.add_or_update_pandas(name).add_dataframe_asset("manifest").add_batch_definition_whole_dataframe("all")
    validations = []
    for title, expectations in (("records", _records()), ("labels", _labels(params)), ("attributes", _attributes(params))):
        suite = gx.ExpectationSuite(name=f"{name}-{title}", expectations=list(expectations))
        if suite.expectations:
            suite = context.suites.add_or_update(suite)
            validation = gx.ValidationDefinition(name=f"{name}-{title}", data=definition, suite=suite)
            validations.append(context.validation_definitions.add_or_update(validation))
    checkpoint = gx.Checkpoint(name=name, validation_definitions=validations, result_format="BOOLEAN_ONLY")
    result = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": _looked_at(rows, params)})
    outcomes = [
        {
            "suite": run.suite_name,
            "success": bool(run.success),
            "expectations": [
                {
                    "type": each.expectation_config.type,
                    "column": each.expectation_config.kwargs.get("column", "table"),
                    "success": bool(each.success),
                }
                for each in run.results
            ],
        }
        for run in result.run_results.values()
    ]
    _write_docs(context, docs)
    settle(docs, name, outcomes)
    found = [each for outcome in outcomes for each in outcome["expectations"]]
    failed = sorted(f"{each['type']}({each['column']})" for each in found if not each["success"])
    return {"success": not failed, "evaluated": len(found), "failed": failed}


def _looked_at(rows: pd.DataFrame, params: Ingest) -> pd.DataFrame:
    """The rows with a column for each thing that no single column shows: splits of a patient, shares of labels, words of lists."""
    derived: dict[str, Any] = {
        "splits of patient": rows.groupby("patient")["split"].transform("nunique"),
        "shorter side": rows[["height", "width"]].min(axis=1),
    }
    for label in params.prevalence:
        derived[f"is {label}"] = (rows["label"] == label).astype(float)
    for name, attribute in params.attributes.items():
        if attribute.kind == "multi-label":
            for word in attribute.words:
                derived[f"{name}: {word}"] = [None if found is None else float(word in found) for found in rows[name]]
            derived[f"{name}: words"] = [None if found is None else len(set(found) - set(attribute.words)) for found in rows[name]]
    lists = [name for name, attribute in params.attributes.items() if attribute.kind == "multi-label"]
    return rows.drop(columns=lists).assign(**derived)


def _records() -> Iterator[Any]:
    """Every record has what a record has, once, of a form that holds no word of the source."""
    from great_expectations import expectations as gxe

    for column in ("id", "patient", "split", "label", "sha256", "height", "width"):
        yield gxe.ExpectColumnValuesToNotBeNull(column=column)
    yield gxe.ExpectColumnValuesToBeUnique(column="id")
    for column, digits in (("id", 16), ("patient", 16), ("sha256", 64)):
        yield gxe.ExpectColumnValuesToMatchRegex(column=column, regex=f"^[0-9a-f]{{{digits}}}$")
    yield gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS))
    yield gxe.ExpectColumnMaxToBeBetween(column="splits of patient", min_value=1, max_value=1)


def _labels(params: Ingest) -> Iterator[Any]:
    from great_expectations import expectations as gxe

    yield gxe.ExpectColumnValuesToBeInSet(column="label", value_set=params.labels)
    yield gxe.ExpectColumnDistinctValuesToContainSet(column="label", value_set=params.labels)
    for label, (low, high) in params.prevalence.items():
        yield gxe.ExpectColumnMeanToBeBetween(column=f"is {label}", min_value=low, max_value=high)
    yield gxe.ExpectColumnValuesToBeBetween(column="shorter side", min_value=params.quality.min_side)


def _attributes(params: Ingest) -> Iterator[Any]:
    from great_expectations import expectations as gxe

    for name, attribute in params.attributes.items():
        column = f"{name}: words" if attribute.kind == "multi-label" else name
        if attribute.required:
            yield gxe.ExpectColumnValuesToNotBeNull(column=column)
        if attribute.kind in ("class", "ordinal"):
            yield gxe.ExpectColumnValuesToBeInSet(column=column, value_set=attribute.words)
        elif attribute.kind == "multi-label":
            yield gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, max_value=0)
        elif attribute.kind == "number":
            yield gxe.ExpectColumnValuesToBeBetween(column=column, min_value=attribute.min, max_value=attribute.max)
        elif attribute.kind == "id":
            yield gxe.ExpectColumnValuesToMatchRegex(column=column, regex="^[0-9a-f]{16}$")


def _write_docs(context, docs: Path) -> None:
    shutil.rmtree(docs, ignore_errors=True)
    docs.mkdir(parents=True)
    context.add_data_docs_site(
        site_name="manifest",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        },
    )
    context.build_data_docs(site_names=["manifest"])
