"""Publishing: the bytes first, then the commit and the tag that name them, so that no tag ever points at bytes that cannot be had.

Everything up to the one git transaction that makes branch and tag can be done again without harm, and after it there is
nothing left to do: a run that was killed anywhere is finished by the same call. The release commit stands beside the
user's branch; index, HEAD and working tree are never touched.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from catalog import attestation, git, ledger, mending, recalls, signoff, store, sums, versions
from catalog import folder as release_folder
from schema.digest import read_json
from schema.errors import IntegrityError, SynthmillError
from schema.policy import Policy
from schema.release import Release, check_name
from schema.settings import root

BUILD_AGAIN = "delete the folder and build it again"

NOWHERE = "0" * 40
"""In git's reference transactions: the reference must not exist yet."""


def preflight(dataset: str) -> None:
    """What would stop a publication, found before any work. Raises SynthmillError saying what to do."""
    check_name(dataset)
    where = root()
    git.head(where)
    branch = _current_branch(where)
    if branch.startswith("releases/"):
        raise SynthmillError(
            f"the branch {branch} is checked out, which publishing writes: check out a branch of your own (`git switch main`)"
        )
    changed = git.changed_files(where)
    if changed:
        raise SynthmillError(
            f"not everything is committed ({sums.some(changed)}), so a release could not say what code made it: "
            "commit or stash it, or run with --no-publish"
        )
    store.remote_name(where)
    _check_git_remote(where, dataset)
    from schema.params import load

    if load().dataset(dataset).policy.signed:
        attestation.demand_key(dataset)


def _check_git_remote(where: Path, dataset: str) -> None:
    """Raises SynthmillError where `SYNTHMILL_GIT_REMOTE` is no remote, or has releases that this clone would contradict."""
    remote = git.release_remote(where)
    if remote is None:
        return
    theirs = git.tags_of(where, remote, f"{dataset}@v*")
    ours = {name: git.resolve(where, f"refs/tags/{name}") for name in theirs}
    tags = [name for name in theirs if ours[name] is None]
    if tags:
        raise SynthmillError(
            f"{remote} has releases of {dataset} that are not known here ({sums.some(tags)}), so the next version cannot be decided: "
            f"run `git fetch --tags {remote}` first"
        )
    tags = [name for name, made in theirs.items() if ours[name] != made]
    if tags:
        raise SynthmillError(
            f"{remote} has other tags than this clone under the same names ({sums.some(tags)}): if those here were never given out, "
            f"delete them (`git tag --delete NAME`), run `git fetch --tags {remote}` and build again"
        )


def publish(dataset: str, within: Callable[[str], object] | None = None) -> Release:
    """Publishes data/releases/<dataset>; the release that is now there. Does nothing that was done before.

    `within` is asked before anything leaves, and raises GateFailed where the policy's budget is spent (`tasks.budget.demand`, for the
    catalog knows no accountant); a policy with a budget refuses to be published without it.

    Raises GateFailed also for what was recalled or holds who was withdrawn, ApprovalNeeded where the policy's approvals are not there,
    SynthmillError where the bytes cannot be stored (a full disk, a remote out of reach) or another publication won, IntegrityError where
    they are not what they should be; no tag is made then.
    """
    release = None
    try:
        ledger.settle()
        release = released(dataset)
        recalls.refuse_recalled(dataset)
        if release is None:
            release = _publish(dataset, within)
        elif _lacking(release):
            store_again(release)
        ledger.enter(release)
    except OSError as error:
        done = f"{release.tag} is released, but its record is not whole" if release else f"{dataset} was not published, nothing was tagged"
        raise SynthmillError(f"{done}: {error}; put that right and run again") from error
    push_git(release)
    return release


def _publish(dataset: str, within: Callable[[str], object] | None) -> Release:
    where = root()
    preflight(dataset)
    # Once, before DVC compares it with what was built: pushing takes minutes, and the file may be edited meanwhile.
    params = _read(where / "params.yaml")
    from schema.params import load

    policy = load().dataset(dataset).policy
    folder = where / store.released_path(dataset)
    tip = git.resolve(where, branch_of(dataset))
    if is_outdated(dataset):
        store.dvc(where, "repro", "--single-item", "--force", f"release@{dataset}")
        known = released(dataset)
        if known is not None:
            return known
    if is_outdated(dataset):
        raise SynthmillError(f"{folder} was not built for the code and the releases that there are now: run `./mill run {dataset}` again")
    release = release_folder.described(folder)
    said = check_folder(folder, release)
    check_graph(dataset)
    recalls.refuse_recalled(dataset)
    recalls.refuse_withdrawn(dataset)
    _demand_budget(dataset, policy, within)
    standing = signoff.demand(dataset, release.digests, policy)
    statements = attestation.bundle(release, read_json(folder / release_folder.PROVENANCE), standing, policy.signed)
    push(dataset)
    commit = write_commit(release, params, statements)
    try:
        verify_remote(release, commit, said)
    except SynthmillError as fault:
        # What an earlier push left half-done or the disk harmed is sent once more; a remote that is no better then is refused.
        if isinstance(fault, IntegrityError) and store.local_remote(where) is None:
            raise
        mending.mend(where, commit, dataset)
        verify_remote(release, commit, said)
    ledger.prepare(release)
    try:
        return record(release, commit, tip)
    except SynthmillError:
        ledger.forget(release)
        raise


def _demand_budget(dataset: str, policy: Policy, within: Callable[[str], object] | None) -> None:
    if policy.budget is None:
        return
    if within is None:
        raise SynthmillError(
            f"datasets.{dataset}.policy.budget is set, and nothing here adds up what is spent: publish by `./mill run {dataset}`"
        )
    within(dataset)


def branch_of(dataset: str) -> str:
    return f"refs/heads/releases/{dataset}"


def released(dataset: str) -> Release | None:
    """The release that already has the version and the digests of the folder; None where publishing has something to do.

    Raises SynthmillError where nothing was built.
    """
    return _known(release_folder.described(root() / store.released_path(dataset)))


def _known(said: Release) -> Release | None:
    """The release of the same version and digests."""
    same = (known for known in versions.releases(said.dataset) if known.version == said.version and known.digests == said.digests)
    return next(same, None)


def is_outdated(dataset: str) -> bool:
    """Whether the folder's version was decided without the releases that there are now, or by other code than is checked out."""
    said = release_folder.provenance(root() / store.released_path(dataset))
    last = versions.latest(dataset)
    return said.previous != (last.version if last else None) or said.code.modified or said.code.commit != git.head(root())


def check_folder(folder: Path, release: Release) -> dict[str, str]:
    """{path: sha256} of the folder with SHA256SUMS itself. Raises IntegrityError where it is not whole."""
    said = sums.check(folder, BUILD_AGAIN)
    if release_folder.digests(folder) != release.digests:
        raise IntegrityError(f"{folder} has other records or files than its provenance.json says: {BUILD_AGAIN}")
    return {**said, sums.NAME: release.sums}


def check_graph(dataset: str) -> None:
    """Raises SynthmillError unless DVC agrees that the folder is what params.yaml and the code make."""
    stage = f"release@{dataset}"
    said = json.loads(store.dvc(root(), "status", "--json", "--with-deps", stage) or "{}")
    # A stage that always runs says so as a bare word; what changed is said as a mapping.
    changed = [f"{name}: {json.dumps(entry)}" for name, entries in said.items() for entry in entries if isinstance(entry, dict)]
    if changed:
        raise SynthmillError(f"the release of {dataset} is out of date ({sums.some(changed, 3)}): run `./mill run {dataset}` again")


def push(dataset: str) -> None:
    """Sends the release's bytes, and nothing else, to the remote."""
    where = root()
    store.dvc(where, "push", "--remote", store.remote_name(where), f"release@{dataset}")


def _lacking(release: Release) -> list[str]:
    try:
        return mending.lacking(root(), f"refs/tags/{release.tag}", release.dataset)
    except SynthmillError as error:
        raise SynthmillError(f"{release.tag} is released, but whether its bytes are still there cannot be told: {error}") from error


def store_again(release: Release) -> None:
    """Sends to the remote what it has lost of a release, and reads all of it back."""
    mending.mend(root(), f"refs/tags/{release.tag}", release.dataset)
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        store.fetch(root(), release, Path(scratch) / release.dataset, only_remote=True)


def write_commit(release: Release, params: str, statements: str) -> str:
    """The release commit, as yet under no name: the code's tree with this dataset's dvc.lock, params.yaml as used (its text), and what is
    attested of the release.

    Its parents are the code's commit and the dataset's previous release.
    """
    where = root()
    head = release.code_commit
    previous = versions.latest(release.dataset)
    parents = [head, *([git.resolve(where, f"refs/tags/{previous.tag}^{{commit}}")] if previous else [])]
    contents = {
        "dvc.lock": own_lock(where / "dvc.lock", release.dataset),
        "params.yaml": params,
        attestation.path(release.dataset): statements,
    }
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git.git(where, "read-tree", head, env=index)
        for path, text in contents.items():
            blob = git.git(where, "hash-object", "-w", "--stdin", text=text).strip()
            git.git(where, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
        tree = git.git(where, "write-tree", env=index).strip()
    arguments = [word for parent in dict.fromkeys(parents) for word in ("-p", parent)]
    message = f"Release {release.dataset} {release.version}\n"
    return git.git(where, "commit-tree", tree, *arguments, text=message, env=git.identity(where)).strip()


def own_lock(path: Path, dataset: str) -> str:
    """dvc.lock with only the dataset's own stages (`python -m tasks.<stage> <dataset>`): the state of others is none of its
    release's business."""
    lock = yaml.safe_load(path.read_text(encoding="utf-8"))
    lock["stages"] = {name: stage for name, stage in lock["stages"].items() if stage["cmd"].split()[3] == dataset}
    return yaml.safe_dump(lock, sort_keys=False)


def verify_remote(release: Release, commit: str, said: dict[str, str]) -> None:
    """Reads every byte back from the remote by way of the commit. Raises SynthmillError or IntegrityError if any differs."""
    found = store.stream(root(), commit, release.dataset, only_remote=True)
    store.check_stored(root(), commit, release, said, found)


def record(release: Release, commit: str, tip: str | None) -> Release:
    """Branch and tag in one transaction, which fails unless the branch is still at `tip` and there is no such tag.

    Gives the release that is there afterwards: another run may have made the very same one.
    """
    where = root()
    made = git.tag_object(where, commit, release.tag, versions.write_tag(release))
    steps = [
        "start",
        f"update {branch_of(release.dataset)} {commit} {tip or NOWHERE}",
        f"create refs/tags/{release.tag} {made}",
        "prepare",
        "commit",
    ]
    try:
        git.git(where, "update-ref", "--stdin", text="".join(f"{step}\n" for step in steps))
    except git.GitError as error:
        won = _known(release)
        if won is None:
            if git.resolve(where, branch_of(release.dataset)) == tip and git.resolve(where, f"refs/tags/{release.tag}") is None:
                raise SynthmillError(f"{release.dataset} was not published, nothing was tagged: {error}") from error
            raise SynthmillError(
                f"another publication of {release.dataset} got in first, so {release.tag} was not made: run again ({error})"
            ) from error
        return won
    return release


def push_git(release: Release) -> None:
    """Sends the branch and every tag of the dataset, tombstones too, to `SYNTHMILL_GIT_REMOTE`, if that is set and it has not got them."""
    where = root()
    remote = git.release_remote(where)
    if remote is None:
        return
    branch = f"releases/{release.dataset}"
    known = [*versions.releases(release.dataset), *versions.tombstones(release.dataset).values()]
    tags = [f"refs/tags/{one.tag}" for one in known]
    try:
        git.git(where, "push", "--atomic", remote, f"refs/heads/{branch}", *tags)
    except git.GitError as error:
        raise SynthmillError(f"{release.tag} is released here, but {remote} did not take it: run again when it can ({error})") from error


def _read(path: Path) -> str:
    """The text as it is, line ends included."""
    return path.read_bytes().decode()


def _current_branch(where: Path) -> str:
    """The name of the branch that is checked out, empty where HEAD is detached."""
    name = git.resolve(where, "HEAD") and git.git(where, "rev-parse", "--abbrev-ref", "HEAD").strip()
    return "" if name in (None, "HEAD") else name
