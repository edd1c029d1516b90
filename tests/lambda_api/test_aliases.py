"""Aliases."""

import pytest
from conftest import refused


@pytest.fixture
def versioned(lam, function):
    """A function with two versions."""
    name = function(Publish=True)["FunctionName"]
    lam.update_function_configuration(FunctionName=name, Description="second")
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    lam.publish_version(FunctionName=name)
    return name


def test_life(lam, versioned):
    weights = {"AdditionalVersionWeights": {"2": 0.1}}
    made = lam.create_alias(FunctionName=versioned, Name="live", FunctionVersion="1", RoutingConfig=weights)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert made["RoutingConfig"] == weights and made["Description"] == ""
    arn = made["AliasArn"]
    assert refused(
        "ResourceConflictException", lam.create_alias, FunctionName=versioned, Name="live", FunctionVersion="1",
    ) == f"Alias already exists: {arn}"
    assert lam.get_function(FunctionName=arn)["Configuration"]["FunctionArn"] == arn
    moved = lam.update_alias(
        FunctionName=versioned, Name="live", FunctionVersion="2", RoutingConfig={}, RevisionId=made["RevisionId"],
    )
    assert moved["FunctionVersion"] == "2" and "RoutingConfig" not in moved
    lam.create_alias(FunctionName=versioned, Name="dev", FunctionVersion="$LATEST", Description="d")
    names = lambda **k: [a["Name"] for a in lam.list_aliases(FunctionName=versioned, **k)["Aliases"]]
    assert names() == ["dev", "live"] and names(FunctionVersion="2") == ["live"]
    assert refused(
        "ResourceConflictException", lam.delete_function, FunctionName=versioned, Qualifier="2",
    ) == "Unable to delete version because the following aliases reference it: [live]"
    lam.delete_alias(FunctionName=versioned, Name="live")
    assert refused(
        "ResourceNotFoundException", lam.get_alias, FunctionName=versioned, Name="live",
    ) == f"Cannot find alias arn: {arn}"


def test_two_versions_at_most(lam, versioned):
    message = refused(
        "InvalidParameterValueException", lam.create_alias, FunctionName=versioned, Name="a", FunctionVersion="$LATEST",
        RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}},
    )
    assert message == "$LATEST is not supported for an alias pointing to more than 1 version"
