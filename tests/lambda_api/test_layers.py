"""Layers, their versions, their policies, and functions that use them."""

import json
import urllib.request

import pytest
from conftest import ACCOUNT, REGION, make_zip, refused, unique

TOOLS = make_zip(**{"python/tools__py": "NAME = 'tools'\n"})


@pytest.fixture
def layer(lam):
    """Publishes versions of one layer, and deletes them in the end."""
    name, made = unique("layer"), []

    def publish(**settings):
        answer = lam.publish_layer_version(LayerName=name, Content={"ZipFile": TOOLS}, **settings)
        made.append(answer["Version"])
        return answer

    publish.name = name
    publish.arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}"
    yield publish
    for version in made:
        lam.delete_layer_version(LayerName=name, VersionNumber=version)


def test_life(lam, layer):
    made = layer(Description="d", CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["x86_64"])
    assert made["Version"] == 1
    assert made["LayerVersionArn"] == f"{layer.arn}:1"
    with urllib.request.urlopen(made["Content"]["Location"]) as zipped:
        assert zipped.read() == TOOLS
    got = lam.get_layer_version(LayerName=layer.name, VersionNumber=1)
    by_arn = lam.get_layer_version_by_arn(Arn=made["LayerVersionArn"])
    for answer in (made, got, by_arn):
        answer.pop("ResponseMetadata")
        answer["Content"].pop("Location")
    assert made == got == by_arn
    lam.delete_layer_version(LayerName=layer.name, VersionNumber=1)
    lam.delete_layer_version(LayerName=layer.name, VersionNumber=1)
    for call, which in (
        (lam.get_layer_version, {"LayerName": layer.name, "VersionNumber": 1}),
        (lam.get_layer_version_by_arn, {"Arn": f"{layer.arn}:1"}),
    ):
        message = refused("ResourceNotFoundException", call, **which)
        assert message == "The resource you requested does not exist."
    assert layer()["Version"] == 2
    assert refused(
        "InvalidParameterValueException", lam.get_layer_version, LayerName=layer.name, VersionNumber=0
    ) == "Layer Version Cannot be less than 1"


def test_lists(lam, layer):
    for runtimes in (["python3.12"], ["nodejs22.x"], []):
        layer(CompatibleRuntimes=runtimes)
    pages = lam.get_paginator("list_layer_versions").paginate(
        LayerName=layer.name, PaginationConfig={"PageSize": 2}
    )
    assert [item["Version"] for page in pages for item in page["LayerVersions"]] == [3, 2, 1]
    python = lam.list_layer_versions(LayerName=layer.arn, CompatibleRuntime="python3.12")
    assert [item["Version"] for item in python["LayerVersions"]] == [1]
    layers = {item["LayerName"]: item for item in lam.list_layers()["Layers"]}
    assert layers[layer.name]["LayerArn"] == layer.arn
    assert layers[layer.name]["LatestMatchingVersion"]["Version"] == 3
    message = refused("ValidationException", lam.list_layers, CompatibleRuntime="runtimedoesnotexist")
    assert message.startswith("1 validation error detected: Value 'runtimedoesnotexist' at 'compatibleRuntime'")


def test_policy(lam, layer):
    layer()
    version = {"LayerName": layer.name, "VersionNumber": 1}
    grant = {"Action": "lambda:GetLayerVersion", "Principal": "*", **version}
    assert refused("ResourceNotFoundException", lam.get_layer_version_policy, **version) == (
        "No policy is associated with the given resource."
    )
    first = lam.add_layer_version_permission(StatementId="s1", **grant)
    assert json.loads(first["Statement"]) == {
        "Sid": "s1", "Effect": "Allow", "Principal": "*", "Action": "lambda:GetLayerVersion", "Resource": f"{layer.arn}:1",
    }
    refused("ResourceConflictException", lam.add_layer_version_permission, StatementId="s1", **grant)
    refused(
        "PreconditionFailedException", lam.add_layer_version_permission, StatementId="s2", RevisionId="wrong", **grant
    )
    second = lam.add_layer_version_permission(StatementId="s2", RevisionId=first["RevisionId"], **grant)
    policy = lam.get_layer_version_policy(**version)
    assert policy["RevisionId"] == second["RevisionId"]
    assert [statement["Sid"] for statement in json.loads(policy["Policy"])["Statement"]] == ["s1", "s2"]
    lam.remove_layer_version_permission(StatementId="s1", RevisionId=policy["RevisionId"], **version)
    message = refused(
        "ResourceNotFoundException", lam.remove_layer_version_permission, StatementId="s1", **version
    )
    assert message == "Statement s1 is not found in resource policy."


def test_a_function_uses_layers(lam, layer, function):
    arn = layer()["LayerVersionArn"]
    made = function("import tools\ndef handler(event, context):\n    return tools.NAME\n", Layers=[arn])
    assert made["Layers"] == [{"Arn": arn, "CodeSize": len(TOOLS)}]

    def invoke():
        return lam.invoke(FunctionName=made["FunctionName"])["Payload"].read()

    assert invoke() == b'"tools"'
    lam.delete_layer_version(LayerName=layer.name, VersionNumber=1)
    assert lam.get_function_configuration(FunctionName=made["FunctionName"])["Layers"] == made["Layers"]
    assert invoke() == b'"tools"', "a function holds what it uses"
    message = refused(
        "InvalidParameterValueException", lam.update_function_configuration,
        FunctionName=made["FunctionName"], Layers=[f"{layer.arn}:7"],
    )
    assert message == f"Layer version {layer.arn}:7 does not exist."
