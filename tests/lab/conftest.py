"""One bench for all experiments of a test session."""

from collections.abc import Iterator

import pytest

from .experiment import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The study, a warm parent of processes, and the model of a run that nothing disturbs."""
    made = Bench.make(tmp_path_factory.mktemp("lab"))
    yield made
    made.nursery.close()
