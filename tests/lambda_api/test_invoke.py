"""Invoke: what comes back, of which version, and what is refused in AWS's words."""

import base64
import json
import uuid

import pytest

from conftest import ACCOUNT, ECHO, REGION, eventually, make_zip, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"

CONTEXT = """
import os, sys

def handler(event, context):
    if event.get("do") == "raise":
        raise ValueError("as asked")
    if event.get("do") == "exit":
        sys.exit(3)
    if event.get("do") == "sleep":
        import time
        time.sleep(event["seconds"])
    custom = context.client_context.custom if context.client_context else None
    return {
        "id": context.aws_request_id, "arn": context.invoked_function_arn, "version": context.function_version,
        "memory": context.memory_limit_in_mb, "group": context.log_group_name, "custom": custom,
        "env": dict(os.environ), "file": __file__,
    }
"""


def invoke(lam, name, event=None, **settings):
    answer = lam.invoke(FunctionName=name, Payload=json.dumps(event if event is not None else {}), **settings)
    return answer, json.loads(answer["Payload"].read() or b"null")


def test_a_function_hears_of_its_invocation(lam, function):
    made = function(CONTEXT, MemorySize=256, Environment={"Variables": {"TABLE": "t"}})
    name = made["FunctionName"]
    client_context = base64.b64encode(json.dumps({"custom": {"a": "b"}}).encode()).decode()
    answer, told = invoke(lam, name, ClientContext=client_context)
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer and "LogResult" not in answer
    assert told["id"] == answer["ResponseMetadata"]["RequestId"]
    assert (told["arn"], told["version"], told["memory"]) == (f"{ARN}:{name}", "$LATEST", "256")
    assert (told["group"], told["custom"]) == (f"/aws/lambda/{name}", {"a": "b"})
    environment = told["env"]
    assert environment["TABLE"] == "t"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == REGION
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert environment["_HANDLER"] == "app.handler"
    assert environment["AWS_ACCESS_KEY_ID"] and environment["AWS_SECRET_ACCESS_KEY"]
    assert environment["LAMBDA_TASK_ROOT"] == told["file"].rsplit("/", 1)[0]


def test_errors_are_the_functions(lam, function):
    name = function(CONTEXT, Timeout=2)["FunctionName"]
    answer, document = invoke(lam, name, {"do": "raise"})
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert (document["errorType"], document["errorMessage"]) == ("ValueError", "as asked")
    assert document["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert "app.py" in document["stackTrace"][0]
    answer, document = invoke(lam, name, {"do": "exit"})
    request = answer["ResponseMetadata"]["RequestId"]
    assert document == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request} Error: Runtime exited with error: exit status 3",
    }
    answer, document = invoke(lam, name, {"do": "sleep", "seconds": 30})
    request = answer["ResponseMetadata"]["RequestId"]
    assert document == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request} Error: Task timed out after 2.00 seconds",
    }
    assert "FunctionError" not in invoke(lam, name)[0]


def test_payloads_pass_as_they_are(lam, function):
    name = function()["FunctionName"]
    for event in [None, 1, "x", [], {"é": "😀", "n": 9007199254740993}]:
        answer = lam.invoke(FunctionName=name, Payload=json.dumps(event))
        assert json.loads(answer["Payload"].read()) == event
    assert json.loads(lam.invoke(FunctionName=name)["Payload"].read()) == {}


def test_names_in_all_their_forms(lam, function):
    name = function(CONTEXT)["FunctionName"]
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for asked, arn, version in [
        ({"FunctionName": f"{ARN}:{name}"}, f"{ARN}:{name}", "$LATEST"),
        ({"FunctionName": f"{ACCOUNT}:function:{name}"}, f"{ARN}:{name}", "$LATEST"),
        ({"FunctionName": name, "Qualifier": "$LATEST"}, f"{ARN}:{name}:$LATEST", "$LATEST"),
        ({"FunctionName": f"{name}:1"}, f"{ARN}:{name}:1", "1"),
        ({"FunctionName": name, "Qualifier": "live"}, f"{ARN}:{name}:live", "1"),
        ({"FunctionName": f"{ARN}:{name}:live"}, f"{ARN}:{name}:live", "1"),
    ]:
        answer = lam.invoke(**asked)
        told = json.loads(answer["Payload"].read())
        assert (told["arn"], told["version"], answer["ExecutedVersion"]) == (arn, version, version), asked


def test_versions_run_side_by_side(lam, function):
    def source(text):
        return f"def handler(event, context):\n    return {text!r}\n"

    name = function(source("one"))["FunctionName"]
    lam.publish_version(FunctionName=name)
    lam.update_function_code(FunctionName=name, ZipFile=make_zip(app__py=source("two")))
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert invoke(lam, name)[1] == "two"
    assert invoke(lam, name, Qualifier="1")[1] == "one"
    lam.publish_version(FunctionName=name)
    lam.create_alias(
        FunctionName=name, Name="both", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}
    )
    versions = {invoke(lam, name, Qualifier="both")[0]["ExecutedVersion"] for _ in range(60)}
    assert versions == {"1", "2"}


def test_invocation_types(lam, function):
    name = function()["FunctionName"]
    dry = lam.invoke(FunctionName=name, InvocationType="DryRun")
    assert (dry["StatusCode"], dry["Payload"].read()) == (204, b"")
    event = lam.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    headers = event["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-trace-id"].startswith("Root=1-") and headers["x-amzn-remapped-content-length"] == "0"
    assert (event["StatusCode"], event["Payload"].read()) == (202, b"")
    assert "ExecutedVersion" not in event
    assert uuid.UUID(event["ResponseMetadata"]["RequestId"])
    assert lam.invoke_async(FunctionName=name, InvokeArgs=b"{}")["Status"] == 202
    message = refused("ValidationException", lam.invoke, FunctionName=name, InvocationType="Sometime")
    assert message.startswith("1 validation error detected: Value 'Sometime' at 'invocationType' failed to satisfy")


def test_the_end_of_the_log(lam, function):
    source = "def handler(event, context):\n    print('seen')\n    return 1\n"
    name = function(source)["FunctionName"]
    answer = lam.invoke(FunctionName=name, LogType="Tail")
    request = answer["ResponseMetadata"]["RequestId"]
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    start = lines.index(f"START RequestId: {request} Version: $LATEST")
    assert lines[start + 1] == "seen"
    assert lines[start + 2] == f"END RequestId: {request}"
    assert lines[start + 3].startswith(f"REPORT RequestId: {request}\tDuration: ")
    assert "Memory Size: 128 MB\tMax Memory Used: " in lines[start + 3]


def test_refusals(lam, function):
    name = function()["FunctionName"]
    missing = f"nobody-{uuid.uuid4().hex[:8]}"
    assert refused("ResourceNotFoundException", lam.invoke, FunctionName=missing) == f"Function not found: {ARN}:{missing}"
    message = refused("ResourceNotFoundException", lam.invoke, FunctionName=name, Qualifier="9")
    assert message == f"Function not found: {ARN}:{name}:9"
    message = refused("InvalidRequestContentException", lam.invoke, FunctionName=name, Payload=b"not json")
    assert message.startswith("Could not parse request body into json: Could not parse payload into json: Unrecognized token 'not'")
    large = json.dumps("x" * 6_291_456)
    message = refused("RequestEntityTooLargeException", lam.invoke, FunctionName=name, Payload=large)
    assert message == "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    large = json.dumps("x" * 1_048_576)
    settings = {"FunctionName": name, "Payload": large, "InvocationType": "Event"}
    message = refused("RequestEntityTooLargeException", lam.invoke, **settings)
    assert message == "1048578 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    for kind in ("RequestResponse", "Event"):
        for setting in ({"TenantId": "blue"}, {"DurableExecutionName": "order-1"}):
            request = {"FunctionName": name, "InvocationType": kind, **setting}
            assert "is not enabled with" in refused("InvalidParameterValueException", lam.invoke, **request)


def test_reserved_concurrency(lam, function):
    name = function()["FunctionName"]
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(lam.exceptions.TooManyRequestsException) as caught:
        lam.invoke(FunctionName=name)
    answer = caught.value.response
    assert (answer["Error"]["Message"], answer["Type"]) == ("Rate Exceeded.", "User")
    assert answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    lam.delete_function_concurrency(FunctionName=name)
    assert invoke(lam, name)[0]["StatusCode"] == 200


def test_layers_are_in_opt(lam, function):
    layer = f"layer-{uuid.uuid4().hex[:8]}"
    content = {"ZipFile": make_zip(**{"python/shelved__py": "WHO = __file__\n"})}
    arn = lam.publish_layer_version(LayerName=layer, Content=content)["LayerVersionArn"]
    source = "import shelved\n\ndef handler(event, context):\n    return shelved.WHO\n"
    name = function(source, Layers=[arn])["FunctionName"]
    answer, where = invoke(lam, name)
    assert "FunctionError" not in answer, where
    assert where.endswith("/python/shelved.py")


def test_a_streamed_answer(lam, function):
    name = function()["FunctionName"]
    answer = lam.invoke_with_response_stream(FunctionName=name, Payload=json.dumps({"a": 1}))
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    events = list(answer["EventStream"])
    payload = b"".join(event["PayloadChunk"]["Payload"] for event in events if "PayloadChunk" in event)
    assert json.loads(payload) == {"a": 1}
    assert "InvokeComplete" in events[-1]


def test_a_deleted_function_is_gone(lam, function):
    name = function(ECHO)["FunctionName"]
    invoke(lam, name)
    lam.delete_function(FunctionName=name)
    eventually(lambda: refused("ResourceNotFoundException", lam.invoke, FunctionName=name))


def test_node(lam, function):
    source = """
exports.handler = async (event, context) => ({
  event, version: context.functionVersion, file: __filename, runtime: process.env.AWS_EXECUTION_ENV,
});
"""
    code = {"ZipFile": make_zip(index__js=source)}
    name = function(Runtime="nodejs18.x", Handler="index.handler", Code=code)["FunctionName"]
    reply = json.loads(lam.invoke(FunctionName=name, Payload=b'{"a": 1}')["Payload"].read())
    file = reply.pop("file")
    assert file.endswith("/index.js")
    assert reply == {"event": {"a": 1}, "version": "$LATEST", "runtime": "AWS_Lambda_nodejs18.x"}
