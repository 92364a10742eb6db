import subprocess
import sys

PROGRAM = """
import sys
import indexer.table
assert "lancedb" in sys.modules
assert "lance_namespace_urllib3_client.models" in sys.modules
assert not any("urllib3_client.api" in name for name in sys.modules), "the client was run"
import lance_namespace_urllib3_client as client
assert client.TableApi.__module__ == "lance_namespace_urllib3_client.api.table_api"
assert client.__version__
"""


def test_the_table_leaves_the_rest_client_out_until_somebody_wants_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
