"""Tags of functions."""

from conftest import refused


def test_tags(lam, function):
    made = function(Tags={"a": "1"})
    arn = made["FunctionArn"]
    lam.tag_resource(Resource=arn, Tags={"a": "2", "b": "3"})
    assert lam.list_tags(Resource=arn)["Tags"] == {"a": "2", "b": "3"}
    lam.untag_resource(Resource=arn, TagKeys=["a", "none"])
    assert lam.get_function(FunctionName=arn)["Tags"] == {"b": "3"}
    many = {f"k{n}": "v" for n in range(50)}
    message = refused("InvalidParameterValueException", lam.tag_resource, Resource=arn, Tags=many)
    assert message == "Number of tags exceeds resource tag limit."
    message = refused("InvalidParameterValueException", lam.list_tags, Resource=f"{arn}:1")
    assert message == "Tags on function aliases and versions are not supported. Please specify a function ARN."


def test_all_that_is_wrong_is_told_at_once(lam):
    long = {"k" * 129: "v"}
    message = refused("ValidationException", lam.tag_resource, Resource="nothing", Tags=long)
    assert message.startswith("2 validation errors detected: Value 'nothing' at 'resource' failed to satisfy constraint: ")
    assert f"Value '{{{'k' * 129}=v}}' at 'tags' failed to satisfy constraint: Map keys must satisfy" in message
    message = refused(
        "ValidationException", lam.create_function, FunctionName="a b", Runtime="python3.12", Handler="app.handler",
        Role="arn:aws:iam::000000000000:role/lambda", Code={"ZipFile": b"x"}, Tags=long,
    )
    assert message.startswith("2 validation errors detected: Value 'a b' at 'functionName' failed to satisfy constraint: ")
    assert "at 'tags' failed" in message


def test_code_signing_configurations_have_tags(lam):
    profile = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/p/1"
    made = lam.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [profile]}, Tags={"a": "1"}
    )
    arn = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    lam.tag_resource(Resource=arn, Tags={"b": "2"})
    lam.untag_resource(Resource=arn, TagKeys=["a"])
    assert lam.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    lam.delete_code_signing_config(CodeSigningConfigArn=arn)
    refused("ResourceNotFoundException", lam.list_tags, Resource=arn)
