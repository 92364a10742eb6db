from indexer.diagnosis import diagnose_faiss, installed_builds
from omni_encoder.diagnosis import State


def test_two_builds_of_faiss_are_a_clash_and_one_is_named_with_what_it_was_built_for() -> None:
    builds = installed_builds()
    assert len(builds) == 1
    finding = diagnose_faiss(builds)
    assert finding.state is State.OK
    assert next(iter(builds)) in finding.detail
    clash = diagnose_faiss({"faiss-cpu": "1.15.1", "faiss-gpu": "1.15.1"})
    assert clash.state is State.WARNING
    assert "overwrite each other" in clash.detail
