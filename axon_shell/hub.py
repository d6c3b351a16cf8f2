"""Weights on the Hugging Face hub: what lies in the local cache, and fetching what does not.

The cache is the hub library's own (HF_HOME, HF_HUB_CACHE): what other programs downloaded is used here and the other
way round. Only `fetch` uses the network, in a process of its own (`python -m axon_shell.hub`): it can be stopped at any
time, and this process, where the libraries load weights, never asks the hub for anything.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import AxonError, Cancelled, DownloadError, Gated, NoSpace, NotFound, Offline, Unreachable, WeightsError
from .records import HubFiles, PublishedSae, SaeFiles, Spec

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

LARGE = 8_000_000  # bytes; files above are fetched so that an interrupted download goes on where it stopped
CHUNK = 1 << 20  # bytes that are read, written and told at a time
ROOM = 500_000_000  # bytes that a download leaves free on the disk
TELL_EVERY = 0.1  # seconds between two reports of progress
OFFLINE = "HF_HUB_OFFLINE"
YES = {"1", "true", "yes", "on"}
# As the user set it; the engine sets it for this process, so that the libraries read from the cache only.
USERS_OFFLINE = os.environ.get(OFFLINE)

Progress = Callable[[int, int], object]  # told bytes done and bytes in all


# -- the cache ----------------------------------------------------------------


def cache() -> Path:
    """The folder of the hub library's cache."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(home).expanduser() if home else Path(base).expanduser() / "huggingface") / "hub"


def snapshot(repo: str) -> Path | None:
    """The folder with the files of a repository that are in the cache, or None."""
    folder = cache() / f"models--{repo.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    found = folder / "snapshots" / commit
    return found if found.is_dir() else None


def held(files: HubFiles) -> bool:
    """Whether all needed files are in the cache."""
    folder = snapshot(files.repo)
    if folder is None or not all(any(folder.glob(name)) for name in files.needed):
        return False
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_bytes())
        shards = set(index["weight_map"].values())
    except (OSError, ValueError, KeyError):
        return True  # one file holds all weights
    return all((folder / shard).exists() for shard in shards)


def on_hub(spec: Spec) -> HubFiles | None:
    """The files on the hub that an entry of the catalogue needs; None for one that lies in a folder."""
    match spec.weights:
        case HubFiles():
            return spec.weights
        case PublishedSae(files=files):
            return files
        case SaeFiles(place=HubFiles() as files):
            return files
    return None


def installed(spec: Spec) -> bool:
    """Whether the weights of an entry lie on this machine."""
    files = on_hub(spec)
    if files:
        return held(files)
    return callable(spec.weights) or Path(str(spec.weights)).is_dir()


def is_offline() -> bool:
    """Whether the user's own setting of the hub library forbids the network."""
    return (USERS_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE") or "").lower() in YES


# -- fetching, seen from here -------------------------------------------------


def fetch(files: HubFiles, offline: bool, progress: Progress, cancelled: Callable[[], bool]) -> None:
    """Bring files of a repository into the cache; what is there already is not fetched again.

    An interrupted download goes on where it stopped. Raises Offline, Gated, NotFound, Unreachable, NoSpace, Cancelled
    or another DownloadError.
    """
    if held(files):
        return
    if offline or is_offline():
        raise Offline(
            f"{files.repo} is not on this machine, and offline mode is on.",
            "Connect, and turn off `offline` in config.toml, AXON_OFFLINE and HF_HUB_OFFLINE; or copy the files into "
            f"{cache()}.",
        )
    environment = {name: value for name, value in os.environ.items() if name != OFFLINE}
    if USERS_OFFLINE is not None:
        environment[OFFLINE] = USERS_OFFLINE
    request = json.dumps({"repo": files.repo, "needed": files.needed, "wanted": files.wanted})
    process = subprocess.Popen(
        [sys.executable, "-m", "axon_shell.hub", request],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        encoding="utf-8",
    )
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=read_lines, args=[process, lines], daemon=True)
    reader.start()
    try:
        said: dict[str, Any] = {}
        while reader.is_alive() or not lines.empty():
            if cancelled():
                raise Cancelled("The download was stopped.", "Start it again: it goes on where it stopped.")
            try:
                said = json.loads(lines.get(timeout=0.1))
            except queue.Empty:
                continue
            if "error" in said:
                raise error_of(said["error"])
            progress(said["done"], said["total"])
        if process.wait() != 0 or said.get("done") != said.get("total"):
            complaint = (process.stderr.read() if process.stderr else "").strip().splitlines() or ["it said nothing"]
            raise DownloadError(f"The download of {files.repo} ended early: {complaint[-1]}", "Try again.")
    finally:
        process.kill()
        process.wait()


def read_lines(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    """Put what a process prints into a queue, line by line, until it ends."""
    assert process.stdout
    for line in process.stdout:
        lines.put(line)


def error_of(record: dict[str, str]) -> AxonError:
    """The error that the other process reported."""
    kinds = (Gated, Offline, Unreachable, NoSpace, Cancelled, NotFound, WeightsError)
    kind = next((kind for kind in kinds if kind.kind == record["kind"]), DownloadError)
    return kind(record["message"], record["hint"])


# -- fetching, in the other process -------------------------------------------


def main(request: str) -> int:
    """Fetch what a request names and print progress and failure as lines of JSON; the exit code."""
    files = HubFiles(**json.loads(request))
    said = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal said
        if done == total or time.monotonic() > said + TELL_EVERY:
            print(json.dumps({"done": done, "total": total}), flush=True)
            said = time.monotonic()

    try:
        download(files, tell)
    except Exception as error:
        print(json.dumps({"error": explained(error, files).as_record()}), flush=True)
        return 1
    return 0


def download(files: HubFiles, tell: Progress) -> None:
    """Fetch those of the files into the cache that are not there; `tell` counts these alone."""
    from huggingface_hub import HfApi, RepoFile, hf_hub_download

    api = HfApi()
    commit = api.model_info(files.repo).sha
    listing = api.list_repo_tree(files.repo, recursive=True, revision=commit)
    tree = [entry for entry in listing if isinstance(entry, RepoFile)]
    for name in files.needed:
        if not any(matches(entry.path, name) for entry in tree):
            raise NotFound(
                f"The repository {files.repo} has no {name}.",
                "Only weights in safetensors or npz format are loaded: choose another repository.",
            )
    folder = snapshot(files.repo)
    there = folder if folder and folder.name == commit else None
    missing = [
        entry
        for entry in sorted(tree, key=lambda entry: entry.size)
        if any(matches(entry.path, name) for name in (*files.needed, *files.wanted))
        and not (there and (there / entry.path).exists())
    ]
    large = {entry.path: place(files.repo, entry) for entry in missing if entry.lfs and entry.size > LARGE}
    total, done = sum(entry.size for entry in missing), 0
    require_room(total - sum(size_of(path) for path in large.values()), files.repo)
    for entry in missing:
        if path := large.get(entry.path):
            download_large(files.repo, str(commit), entry, path, partial(tell_more, tell, done, total))
        hf_hub_download(files.repo, entry.path)  # a large file lies in the cache by now: only its name is made
        done += entry.size
        tell(done, total)
    tell(total, total)


def tell_more(tell: Progress, before: int, total: int, size: int) -> None:
    """Tell the progress of one file as part of all."""
    tell(before + size, total)


def matches(path: str, name: str) -> bool:
    """Whether a file is meant by a name or pattern, in which * stands for no folder."""
    return fnmatch(path, name) and path.count("/") == name.count("/")


def place(repo: str, entry: RepoFile) -> Path:
    """Where a large file grows until it is whole: beside the cache's own files, named by its checksum."""
    assert entry.lfs
    return cache() / f"models--{repo.replace('/', '--')}" / "blobs" / f"{entry.lfs.sha256}.part"


def download_large(repo: str, commit: str, entry: RepoFile, path: Path, tell: Callable[[int], object]) -> None:
    """Fetch one large file into its place in the cache, from where an earlier attempt stopped.

    The library itself keeps nothing of an interrupted file. Raises WeightsError when what arrived is not what the hub
    promised.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    class Bar:
        """What the library would draw a progress bar with."""

        def __init__(self, *, initial: int = 0, **options: object) -> None:
            self.size = initial

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, count: int) -> None:
            self.size += count
            tell(self.size)

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK  # the library's own 10 MB are ten seconds on a slow line
    whole = path.with_suffix("")
    if whole.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with path.open("r+b") as file:
        if size_of(path) > entry.size:
            file.truncate(0)
        http_get(
            hf_hub_url(repo, entry.path, revision=commit),
            file,
            resume_size=file.seek(0, os.SEEK_END),
            headers=build_hf_headers(),
            expected_size=entry.size,
            tqdm_class=Bar,
        )
        file.seek(0)
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    assert entry.lfs
    if digest.hexdigest() != entry.lfs.sha256:
        path.unlink()
        raise WeightsError(
            f"{entry.path} of {repo} arrived damaged: its checksum is not the one that the hub gives.",
            "Download it again. If that does not help, something on the way changes it.",
        )
    path.replace(whole)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def require_room(size: int, repo: str) -> None:
    """Raise NoSpace unless the cache's disk holds so many bytes more and still has room."""
    folder = next(path for path in (cache(), *cache().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < size + ROOM:
        raise NoSpace(
            f"{repo} needs {size / 1e9:,.1f} GB, but the disk of {folder} has {free / 1e9:,.1f} GB free.",
            "Free some space, or set HF_HOME to a folder on another disk.",
        )


def explained(error: Exception, files: HubFiles) -> AxonError:
    """What the hub library's error means, and what to do."""
    from huggingface_hub import errors

    if isinstance(error, AxonError):
        return error
    repo, status = files.repo, getattr(getattr(error, "response", None), "status_code", None)
    page = f"https://huggingface.co/{repo}"
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return Gated(
            f"{repo} is gated: its owner wants you to accept a licence before you download it.",
            f"Accept it at {page}, then log in with `hf auth login`, or set HF_TOKEN to a token of your account.",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return NotFound(
            f"The hub knows no repository {repo}, or shows it to its owner only.",
            "Check the name. For a private repository log in with `hf auth login`, or set HF_TOKEN.",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return NotFound(f"A file is missing in {repo}: {first_line(error)}", f"See what there is at {page}.")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return NoSpace(f"The disk became full while {repo} was downloaded.", "Free some space and start again.")
    if isinstance(error, PermissionError):
        return DownloadError(f"{error.filename} cannot be written.", "Check its permissions, or set HF_HOME.")
    if status is not None:
        wait = "Wait a while and try again." if status == 429 or status >= 500 else "Check HF_TOKEN, and try again."
        return DownloadError(f"The hub answered {status} for {repo}: {first_line(error)}", wait)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return Offline(f"{repo} is not on this machine, and HF_HUB_OFFLINE is set.", "Unset it to download.")
    if "Connect" in type(error).__name__ or "Timeout" in type(error).__name__ or "Protocol" in type(error).__name__:
        return Unreachable(
            f"The hub cannot be reached for {repo}: {first_line(error)}",
            "Check the connection and start again; what has arrived is kept.",
        )
    return DownloadError(f"{repo} could not be downloaded: {type(error).__name__}: {first_line(error)}", "Try again.")


def first_line(error: BaseException) -> str:
    """What an exception says, without its second page."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
