"""The life of a function."""

from conftest import ROLE, make_zip, refused, unique


def test_life(lam, function):
    made = function()
    name = made["FunctionName"]
    assert made["State"] == "Pending" and made["StateReasonCode"] == "Creating"
    got = lam.get_function(FunctionName=name)
    assert got["Configuration"]["State"] == "Active"
    assert got["Configuration"]["CodeSha256"] == made["CodeSha256"]
    lam.delete_function(FunctionName=name)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    message = refused("ResourceNotFoundException", lam.get_function, FunctionName=name)
    assert message == f"Function not found: {arn}"


def test_a_name_is_taken_once(lam, function):
    name = function()["FunctionName"]
    message = refused(
        "ResourceConflictException", lam.create_function, FunctionName=name, Runtime="python3.12",
        Handler="app.handler", Role=ROLE, Code={"ZipFile": make_zip(app__py="")},
    )
    assert message == f"Function already exist: {name}"


def test_no_function(lam):
    name = unique("none")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    for call in (lam.get_function, lam.get_function_configuration, lam.delete_function):
        assert refused("ResourceNotFoundException", call, FunctionName=name) == f"Function not found: {arn}"
