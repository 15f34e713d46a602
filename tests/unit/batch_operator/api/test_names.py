import pytest

from batch_operator.api import names

UID = "0190f3a2-5b6c-4d7e-8f90-a1b2c3d4e5f6"


def test_a_pods_name_carries_the_jobs_uid() -> None:
    assert names.pod_name("tep", UID, "worker", 3, 1) == "tep-0190f3-worker-3-1"


@pytest.mark.parametrize("index", [0, 999], ids=["short suffix", "long suffix"])
def test_long_names_are_cut_and_hashed(index: int) -> None:
    one = names.pod_name("a" * 63, UID, "component-of-twenty-c", index, 12)
    two = names.pod_name("a" * 62 + "b", UID, "component-of-twenty-c", index, 12)
    assert len(one) <= 63
    assert one != two, "jobs that differ past the cut have different pods"
    assert one.endswith(f"-component-of-twenty-c-{index}-12")
