"""The queue's load in short: the bars of `make queue-load` with few jobs, every place told right, and no job lost."""

import pytest

from tests.cluster.connection import Connection
from tests.faults.bench import bench
from tests.queue_load import load

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("crds"), pytest.mark.timeout(180)]

SHORT = load.Plan(jobs=100, seconds=8, places=True, to_the_end=True)


async def test_a_crowded_queue_holds_its_bars_and_loses_no_job(cluster: Connection) -> None:
    async with bench(cluster.kubeconfig) as desk:
        figures = await load.run(desk, SHORT)
    print(figures.table())
    assert [words for held, words in figures.bars() if not held] == []
