"""The Hugging Face hub: a dataset repository with the release's files as they are, and its version as the repository's tag.

The repository is asked for by its id; it is made private, and a public one is refused, unless `private=false` is said. The token is Hugging
Face's own: HF_TOKEN, or what `hf auth login` left. HF_ENDPOINT names another hub than huggingface.co.
"""

from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field

from catalog import sums
from schema.errors import SynthmillError, UsageError
from schema.section import Section
from tasks.exports import Folder, Hub

if TYPE_CHECKING:
    from huggingface_hub import HfApi


class Plugin(Hub):
    kind = "huggingface"

    class Options(Section):
        private: bool = Field(default=True, description="a repository that is made anew is private, and a public one is refused")

    def plan(self, release: Folder, to: str, options: Options) -> dict[str, Any]:
        check_id(to)
        files = {name: (release.path / name).stat().st_size for name in (*sums.files(release.path), sums.NAME)}
        return {
            "release": release.release.tag,
            "repository": to,
            "private": options.private,
            "tag": release.release.version,
            "files": files,
            "bytes": sum(files.values()),
            "card": card_head(release),
        }

    def push(self, release: Folder, to: str, options: Options) -> dict[str, Any]:
        """Makes the repository if it is not there, puts the files in one commit in place of all that it held, and tags it. Where the tag is
        there already nothing is changed: a version never changes. A push that was cut off is finished by the same call."""
        plan = self.plan(release, to, options)
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.errors import HTTPError  # of the HTTP library that this version of it is built on

        token = get_token()
        if not token:
            raise UsageError("nothing was sent: there is no token. Set HF_TOKEN to one that may write datasets, or run `hf auth login`")
        try:
            return plan | sent(HfApi(token=token), release, to, options)
        except (HTTPError, OSError) as error:
            raise SynthmillError(f"{release.release.tag} is not whole at {to}: {error}; put that right and run the same again") from error


def sent(api: "HfApi", release: Folder, to: str, options: Plugin.Options) -> dict[str, Any]:
    """Raises UsageError where the version is there already, or the repository is public and nobody said so."""
    said, kind = release.release, "dataset"
    place = str(api.create_repo(to, repo_type=kind, private=options.private, exist_ok=True))
    if options.private and not api.dataset_info(to).private:
        raise UsageError(f"nothing was sent: {to} is public, so all the world would have it: say private=false if that is meant")
    if said.version in {tag.name for tag in api.list_repo_refs(to, repo_type=kind).tags}:
        raise UsageError(f"{to} has {said.version} already, and a version never changes: name another repository, or release anew")
    message = f"{said.tag} (SHA256SUMS {said.sums})"
    commit = api.create_commit(to, changes(api, release, to), commit_message=message, repo_type=kind)
    api.create_tag(to, tag=said.version, revision=commit.oid, repo_type=kind, tag_message=message)
    return {"url": place, "commit": commit.oid}


def changes(api: "HfApi", release: Folder, to: str) -> list[Any]:
    """One commit with every file of the release, without any other: what a reader of the branch sees is one release or another.
    (`upload_folder` would make a commit of each batch.)"""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    ours = [*sums.files(release.path), sums.NAME]
    there = [name for name in api.list_repo_files(to, repo_type="dataset") if name != ".gitattributes"]
    stale = [CommitOperationDelete(path_in_repo=name, is_folder=False) for name in there if name not in ours]
    return [*stale, *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=release.path / name) for name in ours)]


def check_id(to: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(to)
    except HFValidationError as error:
        raise UsageError(f"{to!r} is not the id of a repository: {error}") from None
    if to.count("/") != 1:
        raise UsageError(f"{to!r} says not whose repository it is: write it as OWNER/NAME")


def card_head(release: Folder) -> dict[str, Any]:
    """The YAML head of the dataset card, by which the hub lists it."""
    _, head, _ = (release.path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head)
