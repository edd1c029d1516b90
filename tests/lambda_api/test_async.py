"""Asynchronous invocation: retries, destinations, dead-letter queues, with real queues. The bridge was told to retry after
half a second, where AWS waits a minute."""

import json

import pytest

from conftest import ACCOUNT, REGION, client, eventually, unique

FAILS = "def handler(event, context):\n    raise ValueError('as asked')\n"


@pytest.fixture(scope="module")
def sqs():
    return client("sqs")


@pytest.fixture
def queue(sqs):
    name = unique("queue")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def next_message(sqs, url):
    def receive():
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MessageAttributeNames=["All"])
        return answer.get("Messages") or None

    return eventually(receive, 60)[0]


def submit(lam, name, event):
    answer = lam.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    assert "FunctionError" not in answer and "ExecutedVersion" not in answer
    return answer["ResponseMetadata"]["RequestId"]


def test_success(lam, function, sqs, queue):
    url, arn = queue
    made = function()
    name = made["FunctionName"]
    lam.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": arn}, "OnFailure": {}}
    )
    request = submit(lam, name, {"n": 1})
    record = json.loads(next_message(sqs, url)["Body"])
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request, "functionArn": f"{made['FunctionArn']}:$LATEST", "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"n": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"n": 1},
    }


@pytest.mark.parametrize("retries", [0, 2])
def test_failure(lam, function, sqs, queue, retries):
    url, arn = queue
    made = function(FAILS)
    name = made["FunctionName"]
    lam.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=retries, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    request = submit(lam, name, {"n": 1})
    record = json.loads(next_message(sqs, url)["Body"])
    assert record["requestContext"] == {
        "requestId": request, "functionArn": f"{made['FunctionArn']}:$LATEST", "condition": "RetriesExhausted",
        "approximateInvokeCount": retries + 1,
    }
    assert record["responseContext"] == {
        "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled",
    }
    assert record["responsePayload"]["errorMessage"] == "as asked"


def test_dead_letter_queue(lam, function, sqs, queue):
    url, arn = queue
    name = function(FAILS, DeadLetterConfig={"TargetArn": arn})["FunctionName"]
    lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    request = submit(lam, name, {"n": 1})
    message = next_message(sqs, url)
    assert json.loads(message["Body"]) == {"n": 1}
    attributes = {
        key: (value["DataType"], value["StringValue"]) for key, value in message["MessageAttributes"].items()
    }
    assert attributes == {
        "RequestID": ("String", request), "ErrorCode": ("Number", "200"), "ErrorMessage": ("String", "as asked"),
    }


def test_nothing_may_run(lam, function, sqs, queue):
    url, arn = queue
    made = function()
    name = made["FunctionName"]
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    lam.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    submit(lam, name, {"n": 1})
    record = json.loads(next_message(sqs, url)["Body"])
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert "responseContext" not in record and "responsePayload" not in record


def test_a_function_as_destination(lam, function, sqs, queue):
    url, arn = queue
    last = function()
    lam.put_function_event_invoke_config(
        FunctionName=last["FunctionName"], DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    first = function()
    lam.put_function_event_invoke_config(
        FunctionName=first["FunctionName"], DestinationConfig={"OnSuccess": {"Destination": last["FunctionArn"]}}
    )
    submit(lam, first["FunctionName"], {"n": 1})
    record = json.loads(next_message(sqs, url)["Body"])
    assert record["requestPayload"]["requestContext"]["condition"] == "Success"
    assert record["requestPayload"]["responsePayload"] == {"n": 1}
