"""The same rounds through Flower's own strategies."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, Metadata, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from notebook_federator.aggregation import make_strategy

CASES = [
    ("fedavg", flower.FedAvg, {}),
    ("fedprox", flower.FedProx, {"proximal_mu": 0.1}),
    ("fedavgm", flower.FedAvgM, {"server_learning_rate": 0.7, "server_momentum": 0.9}),
    ("fedavgm", flower.FedAvgM, {}),
    ("fedadam", flower.FedAdam, {}),
    ("fedadam", flower.FedAdam, {"eta": 0.03, "beta_1": 0.5, "beta_2": 0.9, "tau": 0.01}),
    ("fedyogi", flower.FedYogi, {}),
    ("trimmed_mean", flower.FedTrimmedAvg, {"beta": 0.25}),
    ("median", flower.FedMedian, {}),
]


def reply(arrays: dict[str, np.ndarray], weight: int) -> Message:
    record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    content = RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": weight})})
    metadata = Metadata(
        run_id=1,
        message_id="",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="",
        created_at=0.0,
        ttl=60.0,
        message_type="train",
    )
    return Message(content=content, metadata=metadata)


@pytest.mark.parametrize(("name", "theirs", "numbers"), CASES)
def test_three_rounds_agree(name: str, theirs: type, numbers: dict) -> None:
    generator = np.random.default_rng(11)

    def model() -> dict[str, np.ndarray]:
        return {"w": generator.standard_normal((40, 7)), "b": generator.standard_normal(7)}

    ours, their = make_strategy({"name": name, **numbers}), theirs(**numbers)
    current = their_current = model()
    for server_round in (1, 2, 3):
        updates = [(model(), 10 * site + server_round) for site in range(1, 6)]
        ours.begin(current)
        for arrays, weight in updates:
            ours.add(arrays, weight)
        current = ours.finish()
        if name in ("fedadam", "fedyogi"):
            their.current_arrays = their_current
        elif name == "fedavgm" and their.current_arrays is None:
            their.current_arrays = ArrayRecord({key: Array(value) for key, value in their_current.items()})
        record, _ = their.aggregate_train(server_round, [reply(*update) for update in updates])
        their_current = {key: array.numpy() for key, array in record.items()}
        for key in current:
            np.testing.assert_allclose(current[key], their_current[key], rtol=1e-9, atol=1e-12)
