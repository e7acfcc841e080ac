"""The reference pages say what the code says. NBFED_UPDATE_DOCS=1 writes them anew."""

import argparse
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import click
import notebook_federator.image.errors
import notebook_federator.locking.errors  # noqa: F401  (both add to the tree of errors)
import pytest
from nbfed_site.__main__ import command_line as site_commands
from nbfed_site.contracts import NbfedError
from notebook_federator.cli import nbfed
from notebook_federator.federation.serving import command_line as server_commands

EXIT = {1: "failed", 2: "cannot connect", 3: "timed out", 4: "bad input", 130: "interrupted"}


def errors_page() -> str:
    lines = [
        "# Errors",
        "",
        "Every error says what went wrong, where, and what to do next, under a code that never",
        "changes its meaning.",
        "With `--format json` the code is `error_code` in the envelope.",
        "",
        "| code | name | meaning | exit code |",
        "| --- | --- | --- | --- |",
    ]
    kinds = sorted(tree(NbfedError), key=lambda kind: kind.code)
    for kind in kinds:
        meaning = inspect.getdoc(kind).splitlines()[0]  # type: ignore[union-attr]
        lines.append(
            f"| {kind.code} | {kind.__name__} | {meaning} | {kind.exit_code} ({EXIT[kind.exit_code]}) |"
        )
    return "\n".join(lines) + "\n"


def tree(kind: type[NbfedError]) -> Iterator[type[NbfedError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def commands_page() -> str:
    head = [
        "# Commands",
        "",
        "Exit codes: 0 ok, 1 failed, 2 cannot connect or not authorised, 3 timed out, 4 bad input, 130",
        "interrupted.",
        "An option can also be given in the environment, as `NBFED_RUN_ROUNDS=5` for `nbfed run --rounds 5`.",
        "",
    ]
    return "\n".join([*head, *sections(nbfed, "nbfed", None)])


def sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=name.rsplit(" ", 1)[-1], parent=parent, max_content_width=100)
    yield from (f"## `{name}`", "", "```text", command.get_help(context).rstrip(), "```", "")
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from sections(found, f"{name} {child}", context)


def image_commands_page() -> str:
    head = [
        "# Commands inside the images",
        "",
        "Every option with a name in brackets is also read from that environment variable.",
        "Exit codes are those of [`nbfed`](commands.md).",
        "",
    ]
    images = {"client-training": site_commands(), "server-aggregation": server_commands()}
    for image, parser in images.items():
        for name, command in commands_of(parser):
            text = command.format_help().rstrip()
            head += [f"## {image}: `{name}`", "", "```text", text, "```", ""]
    return "\n".join(head)


def commands_of(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return list(found.choices.items())


PAGES = {"errors": errors_page, "commands": commands_page, "image-commands": image_commands_page}


@pytest.mark.parametrize("page", PAGES)
def test_reference_page_is_up_to_date(page: str, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    write = PAGES[page]
    path = repository / "docs/reference" / f"{page}.md"
    if os.environ.get("NBFED_UPDATE_DOCS"):
        path.write_text(write())
    assert path.read_text().split() == write().split()  # argparse breaks lines as its Python version does


def test_error_codes_are_unique() -> None:
    codes = [kind.code for kind in tree(NbfedError)]
    assert len(set(codes)) == len(codes)
