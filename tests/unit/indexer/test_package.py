"""What `import indexer` gives."""

import subprocess
import sys

import indexer


def test_every_name_is_there_and_none_is_a_module() -> None:
    for name in indexer.__all__:
        assert getattr(getattr(indexer, name), "__name__", None) == name


def test_names_that_are_modules_too_stay_functions_whatever_is_imported_first() -> None:
    code = (
        "import indexer.plan, indexer.watch, indexer.ingest, indexer.duplicates, indexer;"
        "print(all(map(callable, (indexer.plan, indexer.watch, indexer.ingest,"
        " indexer.duplicates))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "True"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(indexer, "nothing_of_this_name")
