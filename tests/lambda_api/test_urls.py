"""Function URLs, and the smaller settings of a function."""

import re

from conftest import ACCOUNT, REGION, refused, unique


def test_url(lam, function):
    name = function()["FunctionName"]
    cors = {"AllowOrigins": ["*"], "AllowMethods": ["GET"], "MaxAge": 60}
    made = lam.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)
    assert re.fullmatch(rf"https://[0-9a-z]{{32}}\.lambda-url\.{REGION}\.on\.aws/", made["FunctionUrl"])
    assert made["FunctionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    refused("ResourceConflictException", lam.create_function_url_config, FunctionName=name, AuthType="NONE")
    updated = lam.update_function_url_config(FunctionName=name, AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM")
    assert updated["Cors"] == cors and updated["InvokeMode"] == "RESPONSE_STREAM"
    got = lam.get_function_url_config(FunctionName=name)
    got.pop("ResponseMetadata")
    assert lam.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"] == [got]
    lam.delete_function_url_config(FunctionName=name)
    for call in (lam.get_function_url_config, lam.delete_function_url_config):
        message = refused("ResourceNotFoundException", call, FunctionName=name)
        assert message == "The resource you requested does not exist."


def test_url_qualifiers(lam, function):
    name = function(Publish=True)["FunctionName"]
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    create = lam.create_function_url_config
    made = create(FunctionName=name, Qualifier="live", AuthType="NONE")
    assert made["FunctionArn"].endswith(f":{name}:live")
    for qualifier in ("1", "$LATEST"):
        message = refused("ValidationException", create, FunctionName=name, Qualifier=qualifier, AuthType="NONE")
        assert message.startswith(f"1 validation error detected: Value '{qualifier}' at 'qualifier'")
    assert refused(
        "ResourceNotFoundException", create, FunctionName=unique("none"), AuthType="NONE"
    ) == "Function does not exist"


def test_code_signing(lam, function):
    name = function()["FunctionName"]
    profile = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/1"
    made = lam.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [profile]})
    arn = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    lam.update_code_signing_config(CodeSigningConfigArn=arn, Description="d")
    got = lam.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"]
    assert got["Description"] == "d" and got in lam.list_code_signing_configs()["CodeSigningConfigs"]
    put = lam.put_function_code_signing_config(CodeSigningConfigArn=arn, FunctionName=name)
    assert put["FunctionName"] == name
    assert lam.get_function_code_signing_config(FunctionName=name)["CodeSigningConfigArn"] == arn
    users = lam.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)["FunctionArns"]
    assert users == [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"]
    lam.delete_function_code_signing_config(FunctionName=name)
    lam.delete_code_signing_config(CodeSigningConfigArn=arn)
    message = refused("ResourceNotFoundException", lam.get_code_signing_config, CodeSigningConfigArn=arn)
    assert message == f"The Lambda code signing configuration {arn} can not be found."


def test_smaller_settings(lam, function):
    name = function()["FunctionName"]
    assert lam.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    lam.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert lam.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    assert lam.get_runtime_management_config(FunctionName=name)["UpdateRuntimeOn"] == "Auto"
    put = lam.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="FunctionUpdate")
    assert put["UpdateRuntimeOn"] == "FunctionUpdate"
    assert lam.list_capacity_providers()["CapacityProviders"] == []
