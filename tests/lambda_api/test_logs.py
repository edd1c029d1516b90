"""Logs: in CloudWatch Logs, where an endpoint of it is configured (the harness starts moto)."""

import json
import os
import re

import pytest

from conftest import client, eventually

pytestmark = pytest.mark.skipif(
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS" not in os.environ and "AWS_ENDPOINT_URL" not in os.environ,
    reason="no CloudWatch Logs",
)

SOURCE = """
import logging

def handler(event, context):
    print("one line")
    if event.get("do") == "raise":
        raise ValueError("as asked")
    return context.log_stream_name
"""


@pytest.fixture(scope="module")
def logs():
    return client("logs")


def records(logs, group, request):
    """The events of a group, once the report of a request is among them."""

    def written():
        try:
            events = logs.filter_log_events(logGroupName=group)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        return events if any(e["message"].startswith(f"REPORT RequestId: {request}") for e in events) else None

    return eventually(written)


def test_a_stream_for_the_environment_and_an_event_for_a_record(lam, function, logs):
    name = function(SOURCE)["FunctionName"]
    answer = lam.invoke(FunctionName=name)
    stream = json.loads(answer["Payload"].read())
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    failed = lam.invoke(FunctionName=name, Payload=json.dumps({"do": "raise"}))
    request = failed["ResponseMetadata"]["RequestId"]
    events = records(logs, f"/aws/lambda/{name}", request)
    assert {event["logStreamName"] for event in events} == {stream}
    messages = [event["message"] for event in events]
    start = messages.index(f"START RequestId: {request} Version: $LATEST\n")
    assert messages[start + 1] == "one line\n"
    assert messages[start + 2].startswith("[ERROR] ValueError: as asked")
    assert "Traceback" in messages[start + 2] and "app.py" in messages[start + 2]
    assert messages[start + 3] == f"END RequestId: {request}\n"
    assert messages[start + 4].startswith(f"REPORT RequestId: {request}\tDuration: ")


def test_json_and_a_group_of_its_own(lam, function, logs):
    group = "/elsewhere/logs"
    settings = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", "LogGroup": group}
    name = function(SOURCE, LoggingConfig=settings)["FunctionName"]
    request = lam.invoke(FunctionName=name)["ResponseMetadata"]["RequestId"]

    def reported():
        try:
            events = logs.filter_log_events(logGroupName=group)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return None
        objects = [json.loads(e["message"]) for e in events if e["message"].startswith("{")]
        mine = [o for o in objects if o.get("record", {}).get("requestId") == request]
        return mine if any(o["type"] == "platform.report" for o in mine) else None

    kinds = [record["type"] for record in eventually(reported)]
    assert kinds == ["platform.start", "platform.report"]
