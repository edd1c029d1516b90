"""Event source mappings, over real queues and streams: ElasticMQ, kinesis-mock, DynamoDB Local."""

import json
import os
import time

import pytest

from conftest import ACCOUNT, REGION, client, eventually, refused, unique

# Sends what it gets to a queue of the test's; it fails on what says so.
TELL = """
import json, os
import boto3

sqs = boto3.client("sqs", endpoint_url=os.environ["SQS"], region_name="us-east-1", aws_access_key_id="t",
                   aws_secret_access_key="t")

def handler(event, context):
    sqs.send_message(QueueUrl=os.environ["OUT"], MessageBody=json.dumps({**event, "known": context.aws_request_id}))
    if "fail" in json.dumps(event):
        raise ValueError("as it was told")
"""


@pytest.fixture(scope="session")
def sqs():
    return client("sqs")


@pytest.fixture
def queue(sqs):
    """Makes queues: their URL and ARN."""

    def make(**attributes):
        name = unique("queue") + (".fifo" if "FifoQueue" in attributes else "")
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"

    return make


@pytest.fixture
def told(sqs, queue, function):
    """A function that tells what it gets, and how to hear it."""

    def make(**settings):
        out, _ = queue()
        endpoint = os.environ["AWS_ENDPOINT_URL_SQS"]
        environment = {"Variables": {"OUT": out, "SQS": endpoint}}
        name = function(TELL, Environment=environment, **settings)["FunctionName"]

        def hear(count=1, within=60, of=lambda event: event["Records"]):
            """The records of the next events, until there are so many."""
            heard = []
            end = time.time() + within
            while len(heard) < count and time.time() < end:
                answer = sqs.receive_message(QueueUrl=out, WaitTimeSeconds=1, MaxNumberOfMessages=10)
                for message in answer.get("Messages", []):
                    heard += of(json.loads(message["Body"]))
                    sqs.delete_message(QueueUrl=out, ReceiptHandle=message["ReceiptHandle"])
            return heard

        return name, hear

    return make


@pytest.fixture
def mapping(lam):
    """Makes mappings, and deletes them in the end."""
    made = []

    def make(wait="Enabled", **request):
        answer = lam.create_event_source_mapping(**request)
        made.append(answer["UUID"])
        if wait:
            reach(lam, answer["UUID"], wait)
        return answer

    yield make
    for uuid in made:
        try:
            eventually(lambda: settled(lam, uuid))
            lam.delete_event_source_mapping(UUID=uuid)
        except lam.exceptions.ResourceNotFoundException:
            pass


def settled(lam, uuid):
    return lam.get_event_source_mapping(UUID=uuid)["State"] in ("Enabled", "Disabled")


def reach(lam, uuid, state, within=60):
    def seen():
        answer = lam.get_event_source_mapping(UUID=uuid)
        return answer if answer["State"] == state else None

    return eventually(seen, within)


def gone(lam, uuid):
    def seen():
        try:
            lam.get_event_source_mapping(UUID=uuid)
        except lam.exceptions.ResourceNotFoundException:
            return True

    eventually(seen, 60)


def test_a_queue_is_read_changed_disabled_and_deleted(lam, sqs, queue, told, mapping):
    url, arn = queue()
    name, hear = told()
    made = mapping(EventSourceArn=arn, FunctionName=name)
    assert made["State"] == "Creating" and made["BatchSize"] == 10
    sqs.send_message(QueueUrl=url, MessageBody="one")
    assert [record["body"] for record in hear()] == ["one"]
    uuid = made["UUID"]
    changed = lam.update_event_source_mapping(UUID=uuid, BatchSize=1)
    assert (changed["State"], changed["BatchSize"]) == ("Updating", 1)
    reach(lam, uuid, "Enabled")
    assert lam.update_event_source_mapping(UUID=uuid, Enabled=False)["State"] == "Disabling"
    reach(lam, uuid, "Disabled")
    sqs.send_message(QueueUrl=url, MessageBody="two")
    assert hear(within=3) == []
    assert lam.update_event_source_mapping(UUID=uuid, Enabled=True)["State"] == "Enabling"
    assert [record["body"] for record in hear()] == ["two"]
    reach(lam, uuid, "Enabled")
    assert lam.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    gone(lam, uuid)


@pytest.fixture
def source(sqs, queue):
    """Makes sources with one record each: what a request says of them."""

    def a_queue():
        url, arn = queue()
        sqs.send_message(QueueUrl=url, MessageBody="one")
        return {"EventSourceArn": arn}

    def a_stream():
        kinesis, stream = client("kinesis"), unique("stream")
        kinesis.create_stream(StreamName=stream, ShardCount=1)
        kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
        kinesis.put_record(StreamName=stream, PartitionKey="a", Data=b"one")
        arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}"
        return {"EventSourceArn": arn, "StartingPosition": "TRIM_HORIZON"}

    def a_table():
        dynamodb, table = client("dynamodb"), unique("table")
        made = dynamodb.create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        dynamodb.put_item(TableName=table, Item={"id": {"S": "one"}})
        return {"EventSourceArn": made["TableDescription"]["LatestStreamArn"], "StartingPosition": "TRIM_HORIZON"}

    return {"queue": a_queue, "stream": a_stream, "table": a_table}


@pytest.mark.parametrize("kind", ["queue", "stream", "table"])
def test_it_delivers_within_two_seconds(lam, told, mapping, source, kind):
    name, hear = told()
    # The first environment takes as long as it takes, whoever calls.
    lam.invoke(FunctionName=name, Payload=json.dumps({"Records": []}))

    def took():
        request = source[kind]()
        begin = time.time()
        mapping(FunctionName=name, **request)
        assert len(hear()) == 1
        return time.time() - begin

    # The machine may be busy with something else for a while.
    assert any(took() < 2 for _ in range(5))


def test_another_function_and_batch_size_from_now_on(lam, sqs, queue, told, mapping):
    url, arn = queue()
    (before, _), (after, hear) = told(), told()
    uuid = mapping(EventSourceArn=arn, FunctionName=before)["UUID"]
    changed = lam.update_event_source_mapping(UUID=uuid, FunctionName=after, BatchSize=1)
    assert (changed["State"], changed["FunctionArn"].rsplit(":", 1)[1]) == ("Updating", after)
    # A poll is under way, and is waited for.
    reach(lam, uuid, "Enabled", 10)
    entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(3)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    events = hear(3, of=lambda event: [event["Records"]])
    assert sorted(record["body"] for records in events for record in records) == ["0", "1", "2"]
    assert [len(records) for records in events] == [1, 1, 1]


def test_messages_come_with_all_they_have(sqs, queue, told, mapping):
    url, arn = queue(FifoQueue="true")
    name, hear = told()
    mapping(EventSourceArn=arn, FunctionName=name)
    attributes = {
        "text": {"DataType": "String", "StringValue": "v"}, "number": {"DataType": "Number", "StringValue": "1"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    for n in range(3):
        sqs.send_message(
            QueueUrl=url, MessageBody=str(n), MessageGroupId="g", MessageDeduplicationId=str(n), MessageAttributes=attributes
        )
    records = hear(3)
    assert [record["body"] for record in records] == ["0", "1", "2"]
    first = records[0]
    assert first["eventSourceARN"] == arn and first["attributes"]["MessageGroupId"] == "g"
    assert {"SequenceNumber", "MessageDeduplicationId", "SentTimestamp"} <= set(first["attributes"])
    lists = {"stringListValues": [], "binaryListValues": []}
    assert first["messageAttributes"] == {
        "text": {"stringValue": "v", "dataType": "String", **lists},
        "number": {"stringValue": "1", "dataType": "Number", **lists},
        "bytes": {"binaryValue": "AP8=", "dataType": "Binary", **lists},
    }


@pytest.mark.parametrize(
    "pattern", ["text", "{}", "[]", '{"body": "text"}', '{"body": []}', '{"body": {"a": [{"unheard-of": 1}]}}']
)
def test_filters_that_are_none(lam, queue, told, pattern):
    _, arn = queue()
    name, _ = told()
    message = refused(
        "InvalidParameterValueException", lam.create_event_source_mapping,
        EventSourceArn=arn, FunctionName=name, FilterCriteria={"Filters": [{"Pattern": pattern}]},
    )
    assert message == "Invalid filter pattern definition."


def test_a_filter_keeps_out_what_does_not_match(lam, sqs, queue, told, mapping):
    url, arn = queue()
    name, hear = told()
    pattern = json.dumps({"body": {"kind": ["wanted"]}})
    made = mapping(
        EventSourceArn=arn, FunctionName=name, FilterCriteria={"Filters": [{"Pattern": pattern}]},
        FunctionResponseTypes=["ReportBatchItemFailures"], Tags={"team": "orders"},
    )
    assert made["FilterCriteria"] == {"Filters": [{"Pattern": pattern}]}
    assert lam.list_tags(Resource=made["EventSourceMappingArn"])["Tags"] == {"team": "orders"}
    for kind in ("other", "wanted"):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"kind": kind}))
    assert [json.loads(record["body"])["kind"] for record in hear()] == ["wanted"]


def test_an_alias_may_point_elsewhere_at_the_next_batch(lam, sqs, queue, told, mapping):
    url, arn = queue()
    name, hear = told()
    lam.publish_version(FunctionName=name)
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    made = mapping(EventSourceArn=arn, FunctionName=f"{name}:live")
    assert made["FunctionArn"].endswith(f":{name}:live")
    sqs.send_message(QueueUrl=url, MessageBody="through the alias")
    assert len(hear()) == 1
    assert refused(
        "InvalidParameterValueException", lam.create_event_source_mapping,
        EventSourceArn=arn, FunctionName=f"{name}:other",
    ) == "Function does not exist"


def test_a_mapping_outlives_its_function(lam, sqs, queue, told, mapping):
    url, arn = queue()
    name, _ = told()
    uuid = mapping(EventSourceArn=arn, FunctionName=name)["UUID"]
    lam.delete_function(FunctionName=name)
    assert lam.get_event_source_mapping(UUID=uuid)["State"] == "Enabled"
    sqs.send_message(QueueUrl=url, MessageBody="nobody there")
    said = eventually(lambda: lam.get_event_source_mapping(UUID=uuid).get("LastProcessingResult"), 60)
    assert said == "PROBLEM: Function does not exist"


def test_a_stream_begins_at_its_end(lam, told, mapping):
    kinesis = client("kinesis")
    stream = unique("stream")
    kinesis.create_stream(StreamName=stream, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}"
    name, hear = told()
    kinesis.put_record(StreamName=stream, PartitionKey="a", Data=b"before")
    made = mapping(EventSourceArn=arn, FunctionName=name, StartingPosition="LATEST")
    assert made["LastProcessingResult"] == "No records processed"
    kinesis.put_record(StreamName=stream, PartitionKey="a", Data=b"after")
    assert [record["kinesis"]["data"] for record in hear()] == ["YWZ0ZXI="]
    assert lam.get_event_source_mapping(UUID=made["UUID"])["LastProcessingResult"] == "OK"


def test_what_a_function_fails_on_goes_to_the_destination(lam, sqs, queue, told, mapping):
    kinesis = client("kinesis")
    stream = unique("stream")
    kinesis.create_stream(StreamName=stream, ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
    arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}"
    failed, failed_arn = queue()
    name, hear = told()
    mapping(
        EventSourceArn=arn, FunctionName=name, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=1, BatchSize=1,
        DestinationConfig={"OnFailure": {"Destination": failed_arn}},
    )
    # Its data is base64: the key is what the function sees.
    kinesis.put_record(StreamName=stream, PartitionKey="fail", Data=b"x")
    answer = eventually(lambda: sqs.receive_message(QueueUrl=failed, WaitTimeSeconds=1).get("Messages") or None, 60)
    record = json.loads(answer[0]["Body"])
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestContext"]["functionArn"].endswith(f"function:{name}")
    known = hear(2, of=lambda event: [event["known"]])
    assert known[0] != known[1] and record["requestContext"]["requestId"] == known[1]


def test_a_tables_changes(lam, told, mapping):
    dynamodb = client("dynamodb")
    table = unique("table")
    made = dynamodb.create_table(
        TableName=table, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    arn = made["TableDescription"]["LatestStreamArn"]
    name, hear = told()
    mapping(EventSourceArn=arn, FunctionName=name, StartingPosition="LATEST")
    dynamodb.put_item(TableName=table, Item={"id": {"S": "a"}})
    assert [record["dynamodb"]["Keys"] for record in hear()] == [{"id": {"S": "a"}}]


def test_what_is_not_there_is_refused(lam, queue, told):
    name, _ = told()
    missing = f"arn:aws:sqs:{REGION}:{ACCOUNT}:missing"
    assert refused(
        "InvalidParameterValueException", lam.create_event_source_mapping, EventSourceArn=missing, FunctionName=name
    ) == (
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
        "SQS Error Message: The specified queue does not exist."
    )
    for arn in (
        f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/missing",
        f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/missing/stream/2026-01-01T00:00:00.000",
    ):
        said = refused(
            "InvalidParameterValueException", lam.create_event_source_mapping,
            EventSourceArn=arn, FunctionName=name, StartingPosition="LATEST",
        )
        assert said == f"Stream not found: {arn}"
    _, short = queue(VisibilityTimeout="5")
    assert refused(
        "InvalidParameterValueException", lam.create_event_source_mapping, EventSourceArn=short, FunctionName=name
    ) == "Queue visibility timeout: 5 seconds is less than Function timeout: 10 seconds"
    unknown = "1c9a1a8e-0000-4000-8000-000000000000"
    assert refused("ResourceNotFoundException", lam.get_event_source_mapping, UUID=unknown)


def test_mappings_are_listed_page_by_page(lam, queue, told, mapping):
    name, _ = told()
    made = {mapping("Disabled", EventSourceArn=queue()[1], FunctionName=name, Enabled=False)["UUID"] for _ in range(5)}
    pages = lam.get_paginator("list_event_source_mappings").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    seen = [one["UUID"] for page in pages for one in page["EventSourceMappings"]]
    assert sorted(seen) == sorted(made)
