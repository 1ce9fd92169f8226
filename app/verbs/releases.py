"""Verbs of those who use releases, and of those who hand them out."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from app.verbs import BUILT_IN, Json, ReleaseSpec, dataset_names, verb
from app.words import next_step, print_json, print_table
from schema.errors import UsageError


@verb("list", "list pneumonia --all --json", name="list")
def list_(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="only its releases", autocompletion=dataset_names)] = None,
    everything: Annotated[bool, typer.Option("--all", help="with the stages that each stands in, such as prod")] = False,
    as_json: Json = False,
) -> None:
    """List the releases, oldest first."""
    import catalog
    from app.reading import release_rows
    from schema.params import nearest

    found = catalog.releases(dataset)
    if everything and found:
        from app.comparing import list_all

        return list_all(found, as_json)
    if as_json:
        gone = {tag: stone.model_dump(mode="json") for tag, stone in catalog.tombstones(dataset).items()}
        return print_json([release.model_dump(mode="json") | {"recalled": gone.get(release.tag)} for release in found])
    if not found:
        if dataset and (others := sorted({release.dataset for release in catalog.releases()})):
            raise UsageError(f"{dataset} has no release here{nearest(dataset, others)}; there are releases of: {', '.join(others)}")
        print("nothing has been released here yet")
        return next_step(f"run {dataset or BUILT_IN}")
    print_table(("release", "images", "labels", "gates"), release_rows(found, catalog.tombstones(dataset)))
    next_step(f"show {found[-1].tag}")


@verb('search "frontal chest x-rays with pneumonia, at least 500, FID under 20"', "search 'label:pneumonia>=500 fid<20' --json")
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="plain words, or the query language of docs/search.md")],
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="results at most")] = 20,
    images: Annotated[bool, typer.Option("--images", help="search the images of the releases that are found")] = False,
    after: Annotated[str | None, typer.Option("--after", metavar="PLACE", help="with --images: the `next` of the page before")] = None,
    as_json: Json = False,
) -> None:
    """Find releases, or images in them, by words, labels, numbers of images, gates' values, privacy, licence and more. Says what
    it understood, and what it did not."""
    from app.searching import print_images, print_releases

    (print_images if images else print_releases)(query, limit, after, as_json)


@verb("show pneumonia", "show pneumonia@v1.0.0 --json")
def show(spec: ReleaseSpec, as_json: Json = False) -> None:
    """Show what a release holds and each gate's verdict on it."""
    import catalog
    from app.reading import print_release

    release = catalog.find(spec)
    if as_json:
        return print_json(release.model_dump(mode="json"))
    print_release(release)
    if release.tag in catalog.tombstones(release.dataset):
        return next_step(f"list {release.dataset}", "this one was recalled: nobody is given it")
    next_step(f"get {release.tag} --to FOLDER")


def target(given: str) -> Path:
    """The folder that is meant. Raises UsageError for none, and for the one that we stand in, which is put in place as a whole."""
    folder = Path(given).expanduser()
    if not given.strip() or folder.resolve() == Path.cwd():
        raise UsageError(f"--to {given!r} is not possible: name a folder that is not there yet")
    if folder.is_symlink():
        raise UsageError(f"--to {given!r} is a symbolic link: name the folder itself")
    return folder


@verb("get pneumonia@v1.0.0 --to ~/data/pneumonia", "get pneumonia@^1 --to FOLDER --repo GIT_ADDRESS --remote URL")
def get(
    spec: ReleaseSpec,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="a folder that is not there yet")],
    repo: Annotated[str | None, typer.Option(metavar="GIT_ADDRESS", help="the releases of that repository, not of this checkout")] = None,
    remote: Annotated[str | None, typer.Option(metavar="URL", help="where its DVC remote is from here; else SYNTHMILL_REMOTE")] = None,
    force: Annotated[bool, typer.Option("--force", help="a recalled release all the same: to look into it, not to work with it")] = False,
    as_json: Json = False,
) -> None:
    """Put the files of a release into a new folder, each checked against its digest. Interrupted, the same command goes on. A recalled
    release is refused."""
    import catalog

    if remote:
        os.environ["SYNTHMILL_REMOTE"] = remote
    to = target(str(to))
    release = catalog.get(spec, to, repo, force=force)
    folder = to.absolute()
    if as_json:
        return print_json({"release": release.tag, "folder": str(folder)})
    print(f"{release.tag} is in {folder}")
    next_step(f"verify {shlex.quote(str(folder))}{f' --repo {shlex.quote(repo)}' if repo else ''}")


@verb("export pneumonia@v1.0.0 --as webdataset --to ~/data/pneumonia-wds", "export pneumonia --as huggingface --to owner/name --dry-run")
def export(
    spec: ReleaseSpec,
    kind: Annotated[str, typer.Option("--as", metavar="KIND", help="dicom, huggingface, image-folder, medmnist or webdataset")],
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="a folder that is not there yet; of huggingface OWNER/NAME")],
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="a setting of the format, docs/exports.md")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be written or sent, and where")] = False,
    as_json: Json = False,
) -> None:
    """Write a release in the format that other code reads. Every image is in it once, marked as synthetic."""
    from app.exporting import export, print_export

    said = export(spec, kind, to if kind == "huggingface" else str(target(to)), option or [], dry_run)
    return print_json(said) if as_json else print_export(said)


@verb("verify pneumonia", "verify pneumonia@v1.0.0", "verify ~/data/pneumonia --repo GIT_ADDRESS")
def verify(
    what: Annotated[
        str, typer.Argument(metavar="DATASET|RELEASE|FOLDER", help="a dataset, a release as for `show`, or a folder, written with a /")
    ],
    repo: Annotated[str | None, typer.Option(metavar="GIT_ADDRESS", help="the tags of that repository, not of this checkout")] = None,
    as_json: Json = False,
) -> None:
    """Check a release against the digests that its tag vouches for, in the store or in a folder, and what its commit attests of it. For a
    dataset by its name also every verdict, report, shard and ledger row here against its record. Needs no network. Exit code 5 where
    something was changed, naming it."""
    from app.signing_off import print_verified, verified

    said = verified(what, repo)
    return print_json(said) if as_json else print_verified(what, said)


@verb("diff pneumonia@v1.0.0 pneumonia@v2.0.0", "diff pneumonia@prod latest --json")
def diff(
    a: ReleaseSpec,
    b: Annotated[str, typer.Argument(metavar="RELEASE", help="the later one; a version alone is one of the same dataset")],
    as_json: Json = False,
) -> None:
    """Say what changed from one release to another: images, gates, params, and what they were made from."""
    from app.comparing import show_diff

    show_diff(a, b, as_json)


@verb("promote pneumonia@v2.1.0 prod")
def promote(
    spec: ReleaseSpec,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="such as prod; `name@prod` then names this release")],
    as_json: Json = False,
) -> None:
    """Put a release into a stage, as a git tag of GTO's, and push it to SYNTHMILL_GIT_REMOTE if that is set."""
    from app.comparing import promoted

    promoted(spec, stage, as_json)


@verb("catalog rebuild", name="catalog")
def catalog_(
    what: Annotated[str, typer.Argument(metavar="rebuild", help="make the index anew from git's tags and the store")],
    as_json: Json = False,
) -> None:
    """Make the catalog's index anew, from git's tags and the store alone. Releases whose tags are not in this checkout leave it."""
    if what != "rebuild":
        raise UsageError(f"catalog knows `rebuild`, not {what!r}")
    from catalog.database import index

    held = index.rebuild()
    if as_json:
        return print_json({"releases": held})
    print(f"the index was made anew: {held} releases")
    next_step("search QUERY")
