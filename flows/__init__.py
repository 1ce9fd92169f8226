"""When and where: Prefect flows that chain the stages. The only place that imports prefect; never imports torch."""
