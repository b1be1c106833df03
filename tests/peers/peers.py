"""Foreign servers over stdio: how each is started, what it starts from, and calls of every tool it has."""

from __future__ import annotations

import base64
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_programs import EVERYTHING, FILESYSTEM, MEMORY
from processes import finish

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GIT_DATES = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-02T03:04:05+0000")
"""Fixed, so that a commit made twice has the same hash."""
GIT_NAMES = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
}


@dataclass(frozen=True, slots=True)
class Call:
    """`asks`: the tool asks its client something, which needs a client that answers."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """One server. `seed` brings its folder to the state in which `calls`, made in order, always end alike.

    `varying` matches the parts of an answer that differ from call to call even so, with the reason each.
    """

    name: str
    command: tuple[str, ...]
    environ: dict[str, str]
    seed: Callable[[], None]
    calls: tuple[Call, ...]
    varying: dict[str, str] = field(default_factory=dict)

    def steady(self, answer: str) -> str:
        """An answer (JSON) without its varying parts."""
        for pattern in self.varying:
            answer = re.sub(pattern, "VARIES", answer)
        return answer


def everything(folder: Path) -> Peer:
    calls = (
        Call("echo", {"message": "Grüße, 世界"}),
        Call("get-annotated-message", {"messageType": "error", "includeImage": True}),
        Call("get-env"),
        Call("get-resource-links", {"count": 2}),
        Call("get-resource-reference", {"resourceType": "Text", "resourceId": 2}),
        Call("get-structured-content", {"location": "Chicago"}),
        Call("get-sum", {"a": 1.5, "b": 2}),
        Call("get-tiny-image"),
        Call("gzip-file-as-resource", {"name": "x.gz", "data": "data:text/plain,abc", "outputType": "resource"}),
        Call("toggle-simulated-logging"),
        Call("toggle-simulated-logging"),
        Call("toggle-subscriber-updates"),
        Call("toggle-subscriber-updates"),
        Call("trigger-long-running-operation", {"duration": 0.2, "steps": 2}),
        Call("simulate-research-query", {"topic": "gateways"}),
        Call("get-roots-list", asks=True),
        Call("trigger-elicitation-request", asks=True),
        Call("trigger-sampling-request", {"prompt": "Say hello.", "maxTokens": 10}, asks=True),
        Call("trigger-url-elicitation", {"url": "https://example.com/", "elicitationId": "e-1"}, asks=True),
    )
    varying = {
        r"\d{1,2}:\d\d:\d\d [AP]M": "resources say at what time they were made",
        r'(\\"\w+\\": \\"[^"]*\\",\\n  )+(?=\\"ZZZ_TOLD)': "each starter adds an environment of its own",
    }
    environ = {"ZZZ_TOLD": "by its entry"}
    return Peer("everything", (*EVERYTHING, "stdio"), environ, lambda: None, calls, varying)


def filesystem(folder: Path) -> Peer:
    root = folder / "files"
    note = str(root / "note.txt")
    edit = [{"oldText": "two", "newText": "zwei"}]
    calls = (
        Call("read_file", {"path": note}),
        Call("read_text_file", {"path": note, "head": 1}),
        Call("read_text_file", {"path": str(root / "absent.txt")}),
        Call("read_text_file", {"path": "/etc/hostname"}),
        Call("read_media_file", {"path": str(root / "dot.png")}),
        Call("read_multiple_files", {"paths": [note, str(root / "inner/deep.txt")]}),
        Call("write_file", {"path": str(root / "new.txt"), "content": "new\n"}),
        Call("edit_file", {"path": note, "edits": edit}),
        Call("create_directory", {"path": str(root / "made")}),
        Call("list_directory", {"path": str(root)}),
        Call("list_directory_with_sizes", {"path": str(root), "sortBy": "size"}),
        Call("directory_tree", {"path": str(root)}),
        Call("move_file", {"source": str(root / "new.txt"), "destination": str(root / "made/new.txt")}),
        Call("search_files", {"path": str(root), "pattern": "**/*.txt"}),
        Call("get_file_info", {"path": note}),
        Call("list_allowed_directories"),
    )

    def seed() -> None:
        root.mkdir(exist_ok=True)
        for entry in root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        (root / "inner").mkdir()
        (root / "note.txt").write_text("one\ntwo\nthree\n")
        (root / "inner/deep.txt").write_text("deep\n")
        (root / "dot.png").write_bytes(base64.b64decode(PNG))

    varying = {r"(created|modified|accessed): [^\\]*": "the seed writes the files anew"}
    return Peer("filesystem", (*FILESYSTEM, str(root)), {}, seed, calls, varying)


def memory(folder: Path) -> Peer:
    graph = folder / "memory.jsonl"
    ada = {"name": "Ada", "entityType": "person", "observations": ["writes programs"]}
    engine = {"name": "Engine", "entityType": "machine", "observations": []}
    wrote = {"from": "Ada", "to": "Engine", "relationType": "programs"}
    calls = (
        Call("create_entities", {"entities": [ada, engine]}),
        Call("create_relations", {"relations": [wrote]}),
        Call("add_observations", {"observations": [{"entityName": "Ada", "contents": ["likes numbers"]}]}),
        Call("add_observations", {"observations": [{"entityName": "Nobody", "contents": ["absent"]}]}),
        Call("read_graph"),
        Call("search_nodes", {"query": "numbers"}),
        Call("open_nodes", {"names": ["Engine"]}),
        Call("delete_observations", {"deletions": [{"entityName": "Ada", "observations": ["likes numbers"]}]}),
        Call("delete_relations", {"relations": [wrote]}),
        Call("delete_entities", {"entityNames": ["Ada", "Engine"]}),
    )
    environ = {"MEMORY_FILE_PATH": str(graph)}
    return Peer("memory", MEMORY, environ, lambda: graph.unlink(missing_ok=True), calls)


def git(folder: Path) -> Peer:
    repo = folder / "repo"
    here = {"repo_path": str(repo)}
    calls = (
        Call("git_status", here),
        Call("git_diff_unstaged", here),
        Call("git_add", {**here, "files": ["a.txt"]}),
        Call("git_diff_staged", {**here, "context_lines": 1}),
        Call("git_commit", {**here, "message": "Change a"}),
        Call("git_log", {**here, "max_count": 5}),
        Call("git_show", {**here, "revision": "HEAD"}),
        Call("git_create_branch", {**here, "branch_name": "side"}),
        Call("git_checkout", {**here, "branch_name": "side"}),
        Call("git_checkout", {**here, "branch_name": "absent"}),
        Call("git_branch", {**here, "branch_type": "local"}),
        Call("git_diff", {**here, "target": "main"}),
        Call("git_reset", here),
    )

    def seed() -> None:
        shutil.rmtree(repo, ignore_errors=True)
        _git(folder, "init", "--quiet", "--initial-branch=main", str(repo))
        (repo / "a.txt").write_text("first\n")
        _git(repo, "add", "a.txt")
        _git(repo, "-c", "commit.gpgsign=false", "commit", "--quiet", "--message=Begin")
        (repo / "a.txt").write_text("second\n")

    program = Path(sys.executable).with_name("mcp-server-git")
    return Peer("git", (str(program), "--repository", str(repo)), GIT_DATES | GIT_NAMES, seed, calls)


def _git(folder: Path, *arguments: str) -> None:
    environ = {**os.environ, **GIT_DATES, **GIT_NAMES}
    finish(("git", "-C", str(folder), *arguments), 10, environ).check_returncode()


PEERS = (everything, filesystem, memory, git)
