"""Runs a script over a root image, in namespaces of its own, and leaves what it changed in a folder.

The root is mounted read-only with an overlay over it; mounts, processes, host name and IPC are the build's own, the
network is the host's. Packages can be installed: there are /proc, /dev, /sys (read-only) and the host's name servers,
and invoke-rc.d(8) starts no service. What runs when the script ends, or is interrupted, is killed with its namespace,
whose mounts go with it. Nothing of the host is changed: the recipe's folder at /mnt has an overlay over it as well.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from seeder.plugin.places import Places, landing
from seeder.plugin.recipe import Recipe
from seeder.publish.check.readers.tree import Layer
from swarmboot.errors import PrivilegeError, RecipeError, ResourceError, ToolMissingError
from swarmboot.host.programs import last_words

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/swarmboot-plugin"
"""The last is a sudo for roots that have none: recipes run as root, and some call it."""
_ENVIRONMENT = {
    "PATH": PATH, "HOME": "/root", "USER": "root", "LOGNAME": "root", "LC_ALL": "C.UTF-8", "SYSTEMD_OFFLINE": "1",
    "DEBIAN_FRONTEND": "noninteractive",
}  # fmt: skip
_KEPT = ("TERM", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CONTAINED = (
    "setpriv", "--pdeathsig", "KILL", "--",
    "unshare", "--mount", "--propagation", "private", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--",
)  # fmt: skip
"""Killed with who runs it: setpriv(1) has the kernel kill unshare(1), and that the first process of the namespace."""
_CANNOT_RUN = 126
_ENTER = r"""
set -eu
cd "$1"
exec 3>&2 2>said
image=$2 resolver=$3 policy=$4 proc=$5 sys=$6 dev=$7 run=$8 tmp=$9
shift 9
mnt=$1 var_tmp=$2
shift 2
mount -t squashfs -o loop,ro "$image" root
off=redirect_dir=off,metacopy=off,index=off,xino=off
mount -t overlay -o "lowerdir=root,upperdir=upper,workdir=work,$off" swarmboot-plugin merged
cd merged
echo localhost >/proc/sys/kernel/hostname
mount -t proc proc "./$proc"
mount -t sysfs -o ro sysfs "./$sys"
mount -t tmpfs -o mode=0755 swarmboot-plugin "./$dev"
for device in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0' 'ptmx 5 2'; do
    mknod -m 0666 "./$dev/${device%% *}" c ${device#* }
done
ln -s /proc/self/fd "./$dev/fd"
ln -s fd/0 "./$dev/stdin"
ln -s fd/1 "./$dev/stdout"
ln -s fd/2 "./$dev/stderr"
mkdir "./$dev/pts" "./$dev/shm"
mount --bind /dev/pts "./$dev/pts"
mount -t tmpfs -o mode=1777 swarmboot-plugin "./$dev/shm"
mount -t tmpfs -o mode=0755 swarmboot-plugin "./$run"
mount --bind ../tmp "./$tmp"
[ -z "$var_tmp" ] || mount --bind ../var-tmp "./$var_tmp"
mkdir "./$run/swarmboot-plugin" "./$run/lock"
cp ../recipe ../sudo "./$run/swarmboot-plugin/"
mount --bind ../beside-link ../beside
beside() {
    mount -t overlay -o lowerdir=../beside,upperdir=../mnt/upper,workdir=../mnt/work swarmboot-plugin "./$mnt"
}
if ! beside; then # the folder to work in lies in the recipe's
    mount -t tmpfs swarmboot-plugin ../mnt
    mkdir ../mnt/upper ../mnt/work
    beside
fi
case $resolver in
    '') ;;
    passing:*) resolver=${resolver#passing:} && mkdir -p "./${resolver%/*}" && cp ../resolver "./$resolver" ;;
    *) mount --bind ../resolver "./$resolver" ;;
esac
[ -z "$policy" ] || mount --bind ../policy "./$policy"
chroot . /bin/sh -c : || exit 126
echo >../started
status=0
chroot . "$@" 2>&3 3>&- || status=$?
cd ../upper
alike='for file; do ! cmp -s "../root/$file" "$file" || printf "%s\0" "$file"; done'
find . -type f -exec sh -c "$alike" sh {} + >../same || :
exit $status
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a build stands on: a squashfs of the root, what is in it, where what is mounted, a folder to work in."""

    image: Path
    root: Layer
    places: Places
    work: Path

    @property
    def same(self) -> frozenset[str]:
        """Return the files among the changes that hold what the root's hold: opened for writing, touched, renewed."""
        found = (self.work / "same").read_bytes().decode(errors="surrogateescape").split("\0")
        return frozenset(name.removeprefix("./") for name in found if name)

    @property
    def upper(self) -> Path:
        """Return the folder in which what changes is kept."""
        return self.work / "upper"


def check_can_build() -> None:
    """Raise PrivilegeError for who may not mount."""
    if os.geteuid() != 0:
        raise PrivilegeError(
            "making a plugin needs root", expected="root, which mounts the root image", hint="use sudo"
        )


def run_script(
    ground: Ground, recipe: Recipe, command: tuple[str, ...], *, extra: Mapping[str, str], bound_s: float
) -> int:
    """Run a command over the root and return its exit status, once all that it has started has ended.

    Raises ResourceError if the root cannot be mounted, RecipeError if `bound_s` (0 for a person at a terminal) is over,
    ToolMissingError if the root's programs do not run here. What the command prints goes to standard error.
    """
    _lay_out(ground, recipe)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment = {**_ENVIRONMENT, **kept, **extra}
    at = ground.places
    resolver = f"passing:{at.resolver}" if at.is_resolver_passing else at.resolver
    folders = [at.folders.get(name, "") for name in ("proc", "sys", "dev", "run", "tmp", "mnt", "var/tmp")]
    words = (str(ground.work), str(ground.image.resolve()), resolver, at.policy, *folders)
    with _terminated_as_interrupted():
        status = _contained((*_CONTAINED, "/bin/sh", "-c", _ENTER, "sh", *words, *command), environment, bound_s)
    if not (ground.work / "started").exists():
        raise _not_set_up(ground, status)
    return status


def _lay_out(ground: Ground, recipe: Recipe) -> None:
    """Put into the folder to work in what the build mounts."""
    work, at = ground.work, ground.places
    for name in ("upper", "work", "root", "merged", "tmp", "var-tmp", "mnt", "mnt/upper", "mnt/work", "beside"):
        (work / name).mkdir()
    for name, mode in (("upper", 0o755), ("tmp", 0o1777), ("var-tmp", 0o1777)):
        (work / name).chmod(mode)
    (work / "beside-link").symlink_to(recipe.beside)
    host = Path("/etc/resolv.conf")
    texts = {"recipe": recipe.script, "sudo": '#!/bin/sh\nexec env "$@"\n', "policy": "#!/bin/sh\nexit 101\n"}
    texts["resolver"] = host.read_text(errors="surrogateescape") if host.is_file() else ""
    for name, text in texts.items():
        (work / name).write_text(text, errors="surrogateescape")
        (work / name).chmod(0o644 if name == "resolver" else 0o755)
    for path in at.missing_folders:
        _make_folders(ground, path)
    for path in at.missing_files:
        _make_folders(ground, os.path.dirname(path))  # noqa: PTH120 - a path in the root
        (ground.upper / path).touch()


def _make_folders(ground: Ground, path: str) -> None:
    """Make a folder and those around it in the changes, like the root's own where it has them."""
    at = ground.upper
    for number, name in enumerate(parts := [part for part in path.split("/") if part], 1):
        at = at / name
        if not at.exists():
            at.mkdir()
            inode = ground.root.inodes.get("/".join(parts[:number]))
            at.chmod(inode.mode if inode else 0o755)
            os.chown(at, inode.uid if inode else 0, inode.gid if inode else 0)


def _contained(command: tuple[str, ...], environment: Mapping[str, str], bound_s: float) -> int:
    """Run a command that makes namespaces, and return its status; whatever happens, none of them is there afterwards.

    With a bound it has no input, without one it has the terminal's.
    """
    if not shutil.which(command[0]):
        raise ToolMissingError(f"{command[0]} is not installed", hint="install the package util-linux")
    stdin = subprocess.DEVNULL if bound_s else None
    with subprocess.Popen(command, stdin=stdin, stdout=2, env=environment) as process:
        try:
            return process.wait(bound_s or None)
        except subprocess.TimeoutExpired as error:
            raise RecipeError(
                "the recipe has not ended in time", expected=f"within {bound_s:g} s", hint="raise --timeout"
            ) from error
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a namespace by its first process; unshare(1) waits for that and ends when all are gone."""
    if process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for child in children.read_text().split() if children.is_file() else ():
            os.kill(int(child), signal.SIGKILL)
            process.wait()
        process.kill()
    process.wait()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end a build as Ctrl-C does, with all that it mounts and runs."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _not_set_up(ground: Ground, status: int) -> ResourceError:
    said = ground.work / "said"
    words = last_words(said.read_text(errors="replace")) if said.exists() else "no message"
    if status == _CANNOT_RUN:
        program = ground.root.program(landing(ground.root.inodes, "bin/sh"))
        machine = (program and program.machine) or "an unknown machine type"
        return ToolMissingError(
            "the root image's /bin/sh does not run on this machine",
            expected=f"a whole system for {os.uname().machine}, or QEMU's user emulation (qemu-user-static)",
            found=f"a program for {machine}: {words}",
        )
    hint = "is TMPDIR on a disk that an overlay can be on (no overlay, no NFS)?"
    return ResourceError("the root image cannot be mounted with an overlay over it", found=words, hint=hint)
