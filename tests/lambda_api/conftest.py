"""What the boto3 tests share. Every answer of the Lambda API is checked against botocore's own model of it."""

import io
import json
import os
import time
import uuid
import zipfile

import boto3
import pytest
from botocore.config import Config

ACCOUNT = "000000000000"
REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda"
# What AWS answers and its own model does not name.
BEYOND = {"LastUpdateStatusReasonCode": ["Creating"]}
ECHO = "def handler(event, context):\n    return event\n"


def client(service, **kwargs):
    """A client whose endpoint is in AWS_ENDPOINT_URL_<SERVICE>, as any user's is; nothing is tried twice."""
    config = Config(retries={"max_attempts": 0}, **kwargs)
    made = boto3.client(service, region_name=REGION, config=config)
    if service == "lambda":
        made.meta.events.register("after-call.lambda", check_answer)
    return made


def check_answer(http_response, model, **_):
    """No field the model does not know, none missing that it requires, each of its type; errors among those it names."""
    if model.has_streaming_output or model.has_event_stream_output:
        return
    assert http_response.headers["content-type"] == "application/json", model.name
    if http_response.status_code >= 300:
        body = json.loads(http_response.content or b"{}")
        code = http_response.headers.get("x-amzn-errortype", "")
        assert code, f"{model.name}: an error without x-amzn-ErrorType: {body}"
        assert set(body) & {"message", "Message"}, f"{model.name}: {code} says nothing: {body}"
        return
    if not model.output_shape or not http_response.content:
        return
    problems = []
    in_body = {
        member.serialization.get("name", name): member
        for name, member in model.output_shape.members.items()
        if member.serialization.get("location") not in ("header", "headers", "statusCode")
    }
    check_members(json.loads(http_response.content), in_body, [], model.name, problems)
    for name in model.output_shape.required_members:
        member = model.output_shape.members[name]
        if member.serialization.get("name", name) in in_body:
            name = member.serialization.get("name", name)
            if name not in json.loads(http_response.content):
                problems.append(f"{model.name}: {name} is missing")
    assert not problems, problems


def check_members(value, members, required, path, problems):
    for name in value:
        if name not in members:
            problems.append(f"{path}.{name} is unknown")
        elif value[name] is not None:
            check_shape(value[name], members[name], f"{path}.{name}", problems)
    problems.extend(f"{path}.{name} is missing" for name in required if name not in value)


def check_shape(value, shape, path, problems):
    kind = shape.type_name
    types = {
        "string": str, "blob": str, "boolean": bool, "integer": int, "long": int, "float": (int, float),
        "double": (int, float), "timestamp": (int, float, str), "list": list, "map": dict, "structure": dict,
    }
    if not isinstance(value, types[kind]):
        problems.append(f"{path} is a {type(value).__name__}, not a {kind}")
    elif kind == "structure":
        members = {m.serialization.get("name", n): m for n, m in shape.members.items()}
        check_members(value, members, shape.required_members, path, problems)
    elif kind == "list":
        for item in value:
            check_shape(item, shape.member, f"{path}[]", problems)
    elif kind == "map":
        for key, item in value.items():
            check_shape(item, shape.value, f"{path}[{key}]", problems)
    elif kind == "string" and shape.enum and value not in [*shape.enum, *BEYOND.get(shape.name, [])]:
        problems.append(f"{path} is {value}, which is none of {shape.enum}")


def make_zip(**files):
    """A zip of these files; `__` in a name stands for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name.replace("__", "."))
            info.external_attr = 0o755 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text)
    return buffer.getvalue()


def unique(what):
    return f"{what}-{uuid.uuid4().hex[:8]}"


def eventually(test, within=30):
    """The first answer that is no None and no False."""
    end = time.time() + within
    while True:
        answer = test()
        if answer is not None and answer is not False:
            return answer
        assert time.time() < end, "it did not happen"
        time.sleep(0.1)


def refused(error, call, *args, **kwargs):
    """The error a call is answered with: its message."""
    with pytest.raises(Exception) as caught:
        call(*args, **kwargs)
    answer = caught.value.response
    assert answer["Error"]["Code"] == error, answer
    return answer["Error"]["Message"]


@pytest.fixture(scope="session")
def lam():
    return client("lambda", read_timeout=60)


@pytest.fixture
def function(lam):
    """Makes functions, waits for them, and deletes them in the end."""
    made = []

    def make(source=ECHO, wait=True, **settings):
        name = settings.pop("FunctionName", None) or unique("function")
        request = {
            "FunctionName": name, "Runtime": "python3.12", "Handler": "app.handler", "Role": ROLE,
            "Code": {"ZipFile": make_zip(app__py=source)}, "Timeout": 10,
        }
        answer = lam.create_function(**{**request, **settings})
        made.append(name)
        if wait:
            lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        return answer

    yield make
    for name in made:
        try:
            lam.delete_function(FunctionName=name)
        except lam.exceptions.ResourceNotFoundException:
            pass


def endpoint():
    return os.environ["AWS_ENDPOINT_URL_LAMBDA"]
