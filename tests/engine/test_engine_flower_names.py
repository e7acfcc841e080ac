"""Flower's private names that the engine touches: each must be there, with the parameters it is called with.

A failure here means that the pin of flwr was moved: read the change, then mend the engine.
"""

import ast
import importlib
import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest

CALLS = [
    ("flwr.app.message.message", "make_message", ("metadata", "content", "error")),
    ("flwr.app.metadata", "Metadata", ("run_id", "message_id", "src_node_id", "dst_node_id",
     "reply_to_message_id", "group_id", "created_at", "ttl", "message_type")),
    ("flwr.common.serde", "message_to_proto", ("message",)),
    ("flwr.supercore.date", "now", ()),
    ("flwr.supercore.inflatable.inflatable_object", "get_all_nested_objects", ("obj",)),
    ("flwr.supercore.inflatable.inflatable_object", "get_object_body", ("object_content", "cls")),
    ("flwr.supercore.inflatable.inflatable_object", "get_object_children_ids_from_object_content",
     ("object_content",)),
    ("flwr.supercore.inflatable.inflatable_object", "get_object_id", ("object_content",)),
    ("flwr.supercore.inflatable.inflatable_object", "get_object_tree", ("obj",)),
    ("flwr.supercore.inflatable.inflatable_object", "iterate_object_tree", ("tree",)),
    ("flwr.supercore.inflatable.inflatable_object", "no_object_id_recompute", ()),
    ("flwr.supercore.primitives.asymmetric", "sign_message", ("private_key", "message")),
    ("flwr.superlink.routers.fleet.node_auth", "authenticate_node", ("request",)),
    ("flwr.superlink.servicer.fleet.fleet_handlers", "activate_node", ("request", "state")),
    ("flwr.superlink.servicer.fleet.fleet_handlers", "deactivate_node", ("request", "state")),
    ("flwr.superlink.servicer.fleet.fleet_handlers", "send_node_heartbeat", ("request", "state")),
    ("flwr.superlink.servicer.fleet.fleet_handlers", "pull_messages", ("request", "state", "store")),
    ("flwr.superlink.servicer.fleet.fleet_handlers", "push_messages", ("request", "state")),
]  # fmt: skip
METHODS = [
    ("create_node", ("owner_aid", "owner_name", "public_key", "heartbeat_interval", "name")),
    ("create_run", ("fab_id", "fab_version", "fab_hash", "override_config", "federation_id",
     "federation_config", "flwr_aid", "primary_task_type")),
    ("activate_node", ("node_id", "heartbeat_interval")),
    ("deactivate_node", ("node_id",)),
    ("get_message_ins", ("node_id", "limit", "run_id")),
    ("store_message_and_object_tree", ("message", "object_tree", "session_id")),
    ("store_object", ("run_id", "session_id", "object_id", "object_content")),
    ("start_session", ("run_id",)),
    ("delete_sessions_in_run", ("run_id",)),
    ("delete_messages", ("message_ins_ids",)),
    ("get_run_info", ("run_ids",)),
    ("claim_task", ("task_id",)),
    ("activate_task", ("task_id",)),
    ("_cleanup_expired_task_tokens_locked", ()),
]  # fmt: skip
NAMES = [
    ("flwr.common.constant", "TIMESTAMP_HEADER"),
    ("flwr.common.constant", "NOOP_FLWR_AID"),
    ("flwr.common.constant", "NOOP_ACCOUNT_NAME"),
    ("flwr.common.constant", "SUPERLINK_NODE_ID"),
    ("flwr.supercore.constant", "FLEET_HTTP_PUBLIC_KEY_HEADER"),
    ("flwr.supercore.constant", "FLEET_HTTP_SIGNATURE_HEADER"),
    ("flwr.supercore.constant", "NOOP_FEDERATION_ID"),
    ("flwr.supercore.constant", "TaskType"),
    ("flwr.supercore.error", "FlowerError"),
    ("flwr.supercore.object_store", "NoObjectInStoreError"),
    ("flwr.superlink.federation", "NoOpFederationManager"),
    ("flwr.app.message.arraychunk", "ArrayChunk"),
]
CLASSES = ("InMemoryLinkState", "ObjectStore", "fleet_handlers")
STORE_METHODS = {
    "preregister": ["run_id", "object_tree"],
    "get_object_tree": ["object_id"],
    "put": ["object_id", "object_content"],
    "get": ["object_id"],
    "delete": ["object_id"],
    "delete_objects_in_run": ["run_id"],
    "clear": [],
    "__contains__": ["object_id"],
    "__len__": [],
}


def accepts(function: object, parameters: tuple[str, ...]) -> bool:
    known = inspect.signature(function).parameters  # type: ignore[arg-type]
    required = {name for name, item in known.items() if item.default is item.empty} - {"self"}
    return set(parameters) <= set(known) and required <= set(parameters)


@pytest.mark.parametrize(("module", "name", "parameters"), CALLS)
def test_functions_are_there_with_their_parameters(
    module: str, name: str, parameters: tuple[str, ...]
) -> None:
    assert accepts(getattr(importlib.import_module(module), name), parameters)


@pytest.mark.parametrize(("name", "parameters"), METHODS)
def test_link_state_has_the_methods_that_are_called(name: str, parameters: tuple[str, ...]) -> None:
    state = importlib.import_module("flwr.server.superlink.linkstate").InMemoryLinkState
    assert accepts(getattr(state, name), parameters)


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_names_are_there(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is not None


def test_object_store_asks_for_the_methods_that_are_written() -> None:
    base = importlib.import_module("flwr.supercore.object_store").ObjectStore
    asked = {
        name: list(inspect.signature(getattr(base, name)).parameters)[1:] for name in base.__abstractmethods__
    }
    assert asked == STORE_METHODS


def test_arrays_keep_their_chunks_where_the_engine_puts_them() -> None:
    app = importlib.import_module("flwr.app")
    array = app.Array(dtype="uint8", shape=(3,), stype="x", data=b"abc")
    assert array.children
    assert "_chunks" in array.__dict__


def test_every_private_import_is_listed_at_the_top_of_its_file(repository: Path) -> None:
    site = repository / "packages/site/src/nbfed_site/link"
    rounds = repository / "packages/federator/src/notebook_federator/rounds"
    listed = {(module, name) for module, name, _ in CALLS} | set(NAMES)
    for path in [*site.glob("*.py"), *rounds.glob("*.py")]:
        text = path.read_text()
        imports = re.findall(r"^from (flwr\.[\w.]+) import (\([^)]*\)|[^\n]*)", text, re.MULTILINE)
        docstring = ast.get_docstring(ast.parse(text)) or ""
        for module, names in imports:
            for name in re.findall(r"\w+", names.replace("(", "")):
                if module == "flwr.app" or module.startswith("flwr.proto"):
                    continue
                known = (module, name) in listed or name in CLASSES
                assert known, f"{path.name}: {module}.{name} is not tested here"
                assert name in docstring, f"{path.name}: {name} is not listed"


def test_the_pin_holds() -> None:
    assert version("flwr").startswith("1.41.")
