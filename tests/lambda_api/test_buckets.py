"""Code from objects in a bucket, of moto's."""

import json

import pytest

from conftest import client, make_zip, refused, unique

TELL = "def handler(event, context):\n    return {!r}\n"


@pytest.fixture(scope="module")
def put():
    """Puts a zip, and says where it is."""
    s3, bucket = client("s3"), unique("code")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def put(key, **files):
        version = s3.put_object(Bucket=bucket, Key=key, Body=make_zip(**files))["VersionId"]
        return {"S3Bucket": bucket, "S3Key": key, "S3ObjectVersion": version}

    return put


def invoke(lam, name):
    return json.loads(lam.invoke(FunctionName=name)["Payload"].read())


def updated(lam, name):
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def test_a_functions_code(lam, function, put):
    first = put("folder/code.zip", app__py=TELL.format("first"))
    second = put("folder/code.zip", app__py=TELL.format("second"))
    name = function(Code=first)["FunctionName"]
    assert invoke(lam, name) == "first"
    # Without its version, an object's newest.
    del second["S3ObjectVersion"]
    lam.update_function_code(FunctionName=name, **second)
    updated(lam, name)
    assert invoke(lam, name) == "second"


def test_a_layers_content(lam, function, put):
    layer = unique("layer")
    content = put("layer.zip", **{"python/tools__py": "NAME = 'tools'\n"})
    made = lam.publish_layer_version(LayerName=layer, Content=content)
    source = "import tools\ndef handler(event, context):\n    return tools.NAME\n"
    assert invoke(lam, function(source, Layers=[made["LayerVersionArn"]])["FunctionName"]) == "tools"
    lam.delete_layer_version(LayerName=layer, VersionNumber=1)


def test_what_is_not_there(lam, function, put):
    place = {"S3Bucket": put("there.zip", app__py="")["S3Bucket"], "S3Key": "missing.zip"}
    name = function()["FunctionName"]
    for call, request in (
        (lam.update_function_code, {"FunctionName": name, **place}),
        (lam.publish_layer_version, {"LayerName": unique("layer"), "Content": place}),
    ):
        assert refused("InvalidParameterValueException", call, **request) == (
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."
        )
