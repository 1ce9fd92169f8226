"""Row-level checks of a manifest by Great Expectations, in an ephemeral context, with Data Docs under reports/."""

from pathlib import Path

import pandas as pd

from schema.record import SPLITS


def check_manifest(rows: pd.DataFrame, name: str, labels: list[str], docs: Path) -> dict:
    """Checks the rows of a manifest (columns id, patient, split, label, sha256) and writes Data Docs into `docs`.

    Gives {"success", "evaluated", "failed": [names]}: booleans and names only, since an offending value of real data must
    not be written anywhere.
    """
    import great_expectations as gx
    from great_expectations import expectations as gxe

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    definition = context.data_sources.add_or_update_pandas(name).add_dataframe_asset("manifest").add_batch_definition_whole_dataframe("all")
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=f"{name}-manifest"))
    for column in ("id", "patient", "split", "label", "sha256"):
        suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column=column))
    suite.add_expectation(gxe.ExpectColumnValuesToBeUnique(column="id"))
    suite.add_expectation(gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)))
    suite.add_expectation(gxe.ExpectColumnDistinctValuesToContainSet(column="split", value_set=list(SPLITS)))
    suite.add_expectation(gxe.ExpectColumnValuesToBeInSet(column="label", value_set=labels))
    suite.add_expectation(gxe.ExpectColumnDistinctValuesToContainSet(column="label", value_set=labels))
    suite.add_expectation(gxe.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$"))
    suite.add_expectation(gxe.ExpectColumnMaxToBeBetween(column="splits_of_patient", min_value=1, max_value=1))
    frame = rows.assign(splits_of_patient=rows.groupby("patient")["split"].transform("nunique"))
    validation = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=f"{name}-manifest", data=definition, suite=suite)
    )
    checkpoint = gx.Checkpoint(name=name, validation_definitions=[validation], result_format="BOOLEAN_ONLY")
    result = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame})
    _write_docs(context, docs)
    outcomes = [outcome for run in result.run_results.values() for outcome in run.results]
    failed = sorted(
        f"{outcome.expectation_config.type}({outcome.expectation_config.kwargs.get('column', '')})"
        for outcome in outcomes
        if not outcome.success
    )
    return {"success": not failed, "evaluated": len(outcomes), "failed": failed}


def _write_docs(context, docs: Path) -> None:
    docs.mkdir(parents=True, exist_ok=True)
    context.add_data_docs_site(
        site_name="manifest",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        },
    )
    context.build_data_docs(site_names=["manifest"])
