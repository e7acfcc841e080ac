"""Exceptions in the notebook's code: place and class leave, the text only where allowed."""

import pytest
from nbfed_site.contracts import SiteCodeFailed, SiteDataFailed
from nbfed_site.program import describe_failure

TRAIN = """
def step():
    patient = "Ms Smith"
    raise ValueError(f"bad value for {patient}")

step()
"""


def failure(make_program, **sections):
    program = make_program(**sections)
    with pytest.raises(SiteCodeFailed) as caught:
        program.prepare(1)
        program.fit(program.initial(1), {})
    return program.manifest, caught.value


def test_a_failure_names_cell_line_and_class_only(make_program, capfd) -> None:
    manifest, error = failure(make_program, train=TRAIN)
    told = describe_failure(error, manifest, allow_messages=False)
    assert told.code == "NE601"
    assert told.where == "notebook cell 4, line 3"
    assert told.source == 'raise ValueError(f"bad value for {patient}")'
    assert told.exception == "ValueError"
    assert "Smith" not in f"{told} {error}"
    assert "Ms Smith" in capfd.readouterr().err


def test_the_text_leaves_only_where_allowed(make_program) -> None:
    manifest, error = failure(make_program, train=TRAIN)
    told = describe_failure(error, manifest, allow_messages=True)
    assert told.what == "The notebook's train code raised ValueError: bad value for Ms Smith"


def test_the_place_is_the_notebook_line_that_called_a_library(make_program) -> None:
    _, error = failure(make_program, model="net = Model()\ntorch.cat(net)")
    assert error.where == "notebook cell 3, line 2"
    assert "TypeError" in error.what


def test_a_generated_line_is_named_by_its_place_in_the_slice(make_program) -> None:
    import dataclasses

    from nbfed_site.program.failures import code_failure

    program = make_program(data="trainloader, testloader = load_data(data_path)")
    with pytest.raises(SiteCodeFailed) as caught:
        program.prepare(1)
    generated = dataclasses.replace(program.manifest, spans=())
    assert code_failure("data", caught.value.__cause__, generated).where.startswith("slice.py, line ")
    assert describe_failure(caught.value, generated, False).source.startswith("trainloader, testloader =")


def test_a_local_helper_module_is_named(make_program) -> None:
    helper = "def check(x):\n    return 1 / x\n"
    _, error = failure(
        make_program,
        data="import failing_helper\nfailing_helper.check(0)",
        modules={"failing_helper.py": helper},
    )
    assert error.where == "notebook cell 2, line 2 (in failing_helper.py, line 2)"
    assert "ZeroDivisionError" in error.what


def test_a_library_s_file_of_the_same_name_is_not_the_notebook_s(make_program, tmp_path) -> None:
    (tmp_path / "package").mkdir()
    for name in ("slice", "failing_helper"):
        (tmp_path / f"package/{name}.py").write_text("\n" * 5 + "def check():\n    raise ValueError\n")
    data = f"""
    import sys
    sys.path.insert(0, {str(tmp_path)!r})
    from package import failing_helper, slice
    MODULE.check()
    """
    for name in ("slice", "failing_helper"):
        _, error = failure(make_program, data=data.replace("MODULE", name), modules={"failing_helper.py": ""})
        assert error.where == "notebook cell 2, line 4"


@pytest.mark.parametrize("raised", ["SystemExit(3)", "KeyboardInterrupt", "FileNotFoundError('x.csv')"])
def test_an_exit_in_the_notebook_does_not_end_the_site(make_program, raised) -> None:
    _, error = failure(make_program, data=f"raise {raised}")
    assert error.where == "notebook cell 2, line 1"


def test_a_model_that_cannot_be_federated_is_said(make_program) -> None:
    for model, said in [
        ("net = object()", "cannot be federated"),
        ("other = 1", "did not make"),
        ("net = torch.nn.LazyLinear(2)", "no size"),
    ]:
        with pytest.raises(SiteCodeFailed, match=said):
            make_program(model=model).prepare(1)


def test_other_errors_are_described_without_their_text(make_program) -> None:
    manifest = make_program().manifest
    told = describe_failure(RuntimeError("row 12: Ms Smith"), manifest, allow_messages=False)
    assert (told.code, told.exception) == ("NE600", "RuntimeError")
    assert "Smith" not in str(told)
    told = describe_failure(SiteDataFailed("No data.", hint="Look."), manifest, allow_messages=False)
    assert (told.code, told.what, told.hint) == ("NE602", "No data.", "Look.")
