"""A search by words in a process of its own imports no torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

from omni_encoder.model import tiny_checkpoint


def test_a_search_by_words_imports_no_torch(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    for number in range(3):
        (media / f"{number}.txt").write_text(f"note {number}")
    name = f"omni:{tiny_checkpoint(tmp_path / 'tiny.safetensors')}"
    collection = ["-c", str(tmp_path / "collection")]
    code = "import sys; from omnidex_cli.app import main; assert main(sys.argv[1:]) == 0;"
    code += "print('torch' in sys.modules, 'lancedb' in sys.modules, file=sys.stderr)"

    def omnidex(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments, *collection],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )

    indexed = omnidex("index", str(media), "--encoder", name)
    found = omnidex("search", "note", "1", "--json")

    assert indexed.stderr.splitlines()[-1] == "True True"
    assert found.stderr.splitlines()[-1] == "False False"
    assert len(json.loads(found.stdout)["hits"]) == 3
