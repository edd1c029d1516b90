"""Asynchronous invocation: retries, destinations, dead-letter queues, with real queues. The bridge was told to retry after
half a second, where AWS waits a minute."""

import json
import os
import re

import boto3
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


def test_retries_keep_the_request_id(lam, function, sqs, queue):
    url, arn = queue
    source = f"""
import boto3

def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl={url!r}, MessageBody=context.aws_request_id)
    raise ValueError("as asked")
"""
    name = function(source, Timeout=30)["FunctionName"]
    request = submit(lam, name, {})
    told = []

    def three():
        told.extend(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages", []))
        return len(told) >= 3

    eventually(three, 60)
    assert [message["Body"] for message in told] == [request] * 3


def test_an_alias_has_settings_of_its_own(lam, function, sqs, queue):
    url, arn = queue
    made = function(FAILS, Publish=True)
    name = made["FunctionName"]
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    lam.put_function_event_invoke_config(
        FunctionName=name, Qualifier="live", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    lam.invoke(FunctionName=name, Qualifier="live", InvocationType="Event", Payload=b"{}")
    record = json.loads(next_message(sqs, url)["Body"])
    assert record["requestContext"]["functionArn"].endswith(f"function:{name}:live")
    assert record["responseContext"]["executedVersion"] == "1"


@pytest.fixture
def elsewhere():
    """Clients of moto, which has every kind of destination, and a queue of its own to hear through."""
    sqs = boto3.client("sqs", region_name=REGION, endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])
    url = sqs.create_queue(QueueName=unique("heard"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return sqs, url, arn


def test_a_topic_as_destination(lam, function, elsewhere):
    sqs, url, arn = elsewhere
    sns = client("sns")
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    name = function()["FunctionName"]
    lam.put_function_event_invoke_config(FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": topic}})
    request = submit(lam, name, {"n": 1})
    record = json.loads(json.loads(next_message(sqs, url)["Body"])["Message"])
    assert (record["requestContext"]["requestId"], record["responsePayload"]) == (request, {"n": 1})


def test_a_bus_as_destination(lam, function, elsewhere):
    sqs, url, arn = elsewhere
    events = client("events")
    bus = unique("bus")
    bus_arn = events.create_event_bus(Name=bus)["EventBusArn"]
    events.put_rule(Name=bus, EventBusName=bus, EventPattern=json.dumps({"source": ["lambda"]}))
    events.put_targets(Rule=bus, EventBusName=bus, Targets=[{"Id": "1", "Arn": arn}])
    made = function(FAILS)
    lam.put_function_event_invoke_config(
        FunctionName=made["FunctionName"], MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": bus_arn}},
    )
    submit(lam, made["FunctionName"], {"n": 1})
    event = json.loads(next_message(sqs, url)["Body"])
    assert event["detail-type"] == "Lambda Function Invocation Result - Failure"
    assert event["resources"] == [bus_arn, f"{made['FunctionArn']}:$LATEST"]
    assert event["detail"]["requestContext"]["condition"] == "RetriesExhausted"


def test_a_bucket_as_destination(lam, function):
    s3 = client("s3")
    bucket = unique("bucket")
    s3.create_bucket(Bucket=bucket)
    name = function(FAILS)["FunctionName"]
    lam.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}
    )
    request = submit(lam, name, {"n": 1})
    (found,) = eventually(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents"), 60)
    when = r"\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d"
    assert re.fullmatch(rf"aws/lambda/async/{name}/{when}-[0-9a-f-]{{36}}", found["Key"])
    record = json.loads(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    assert record["requestContext"]["requestId"] == request
