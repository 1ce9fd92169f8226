"""docs/how-to/use-a-release.md is true: its code is run as it stands there, in a fresh folder, but for the two addresses."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import release_workspace as rw

PAGE = (rw.CHECKOUT / "docs/how-to/use-a-release.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(extended, tmp_path_factory) -> rw.Workspace:
    """A fresh folder with the page's code in it, and an empty home; a stand-in for ./mill, which would build an environment."""
    top = tmp_path_factory.mktemp("use")
    bare = top / "server.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    extended.git("push", "--quiet", "--tags", str(bare), "main", f"releases/{rw.NAME}")
    workspace = rw.Workspace(top / "here", top / "home")
    workspace.root.mkdir()
    workspace.home.mkdir()
    (workspace.root / "mill").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m app.cli "$@"\n')
    (workspace.root / "mill").chmod(0o755)
    page = PAGE.replace("https://git.example.org/synthmill.git", f"file://{bare}")
    page = page.replace("s3://synthmill-releases", str(extended.home / ".synthmill/store"))
    (workspace.root / "page.md").write_text(page)
    subprocess.run(["git", "init", "--quiet"], cwd=workspace.root, env=workspace.env, check=True)
    workspace.dvc("init", "--quiet")
    return workspace


def test_the_page_runs_from_top_to_bottom(place, extended):
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", (place.root / "page.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["python", "python", "sh", "python", "sh"]
    env = place.env | {
        "PATH": f"{Path(sys.executable).parent}:{place.env['PATH']}",
        "SYNTHMILL_REMOTE": str(extended.home / ".synthmill/store"),
        "HF_HOME": str(place.home / "hf"),
    }
    printed = []
    for language, code in blocks:
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-e", "-c", code]
        done = subprocess.run(command, cwd=place.root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, code + done.stdout + done.stderr
        printed.append(done.stdout)
    images, loss = printed[0].split()
    assert images == "9"
    assert float(loss) > 0
    assert printed[1] == "14 (14, 2) (16, 16) 0 14\n"
    assert printed[2].startswith("pneumonia@v1.1.0 is in ")
    assert printed[3] == "14\n"
    assert (place.root / "pinned.dvc").is_file()


def test_the_loop_is_ten_lines_of_code():
    [first, *_] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len([line for line in first.splitlines() if line]) == 10
    compile(first, "use-a-release.md", "exec")
