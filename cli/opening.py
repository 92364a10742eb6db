"""Opening a file with whatever the system uses for it. No shell takes part."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import UsageProblem

# An opener that fails does so at once; one that shows the file itself stays.
_MOMENT_S = 3.0


def opener() -> list[str]:
    """The command that opens files here, without the file.

    Raises:
        UsageProblem: There is none.
    """
    names = ["open"] if sys.platform == "darwin" else ["xdg-open", "gio"]
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return [found, "open"] if name == "gio" else [found]
    raise UsageProblem(
        f"nothing here opens files: there is no {' or '.join(names)}",
        hint="install xdg-utils, or print the path: omnidex search ... -l",
        code="environment",
    )


def open_file(path: Path) -> None:
    """Open a file, and don't wait for whoever shows it.

    Raises:
        UsageProblem: There is nothing to open it with, or no such file any more.
    """
    if not path.is_file():
        raise UsageProblem(
            f"{path} isn't there any more", hint="omnidex index finds files that were moved"
        )
    if sys.platform == "win32":
        os.startfile(path)  # noqa: S606 -- no shell, and the file is one of the collection
        return
    # An absolute path, so that no name can be taken for an option.
    process = subprocess.Popen(  # noqa: S603
        [*opener(), os.fspath(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(_MOMENT_S)
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it shows the file itself, and goes on without us
        return
    if code:
        raise UsageProblem(
            f"the system knows nothing that opens {path}",
            hint=f"{Path(opener()[0]).name} failed; is there a desktop?",
            code="environment",
        )
