"""`mkdocs gh-deploy` puts the whole site on the branch that GitHub Pages shows."""

import subprocess


def test_branch_holds_every_file_of_the_site(full_site, remote):
    command = ["git", "--git-dir", str(remote), "ls-tree", "-r", "--name-only", "-z", "gh-pages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    deployed = set(listed.split("\0")) - {"", ".nojekyll"}
    built = {path.relative_to(full_site.folder).as_posix() for path in full_site.folder.rglob("*") if path.is_file()}
    assert deployed == built - {".nojekyll"}
    assert {"index.html", "runs/compare.html", "assets/vendor/mermaid/mermaid.min.js"} <= deployed
