"""Mappings of a self-managed Kafka topic, over a broker."""

import base64
import json
import os
import time

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from conftest import client, eventually, refused, unique
from test_mappings import mapping, queue, reach, sqs, told  # noqa: F401 (fixtures)

BROKER = os.environ["KAFKA"]
NETWORK = [
    {"Type": "VPC_SUBNET", "URI": "subnet:subnet-1"},
    {"Type": "VPC_SECURITY_GROUP", "URI": "security_group:sg-1"},
]


@pytest.fixture(scope="module")
def producer():
    return KafkaProducer(bootstrap_servers=BROKER, acks="all")


@pytest.fixture
def topic():
    name = unique("topic")
    KafkaAdminClient(bootstrap_servers=BROKER).create_topics([NewTopic(name, 2, 1)])
    return name


def source(topic, **settings):
    return {
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [BROKER]}}, "Topics": [topic],
        "SourceAccessConfigurations": NETWORK, "StartingPosition": "LATEST", **settings,
    }


def send(producer, topic, value, **settings):
    return producer.send(topic, value, **settings).get(10)


def test_a_topic_begins_at_its_end(lam, told, topic, producer, mapping):  # noqa: F811
    name, hear = told()
    send(producer, topic, b"before", partition=0)
    begin = time.time()
    made = mapping(**source(topic, FunctionName=name))
    assert time.time() - begin < 20
    assert (made["State"], made["BatchSize"], made["LastProcessingResult"]) == ("Creating", 100, "No records processed")
    assert made["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": made["UUID"]}
    sent = send(producer, topic, b"after", key=b"k", partition=0, headers=[("h", b"\x00\xff")])
    (event,) = hear_events(hear)
    assert event["eventSource"] == "SelfManagedKafka" and event["bootstrapServers"] == BROKER
    assert "eventSourceArn" not in event
    ((partition, records),) = event["records"].items()
    assert partition == f"{topic}-0"
    (record,) = records
    assert record.pop("timestamp") == sent.timestamp
    assert record == {
        "topic": topic, "partition": 0, "offset": 1, "timestampType": "CREATE_TIME",
        "key": base64.b64encode(b"k").decode(), "value": base64.b64encode(b"after").decode(),
        "headers": [{"h": [0, -1]}],
    }
    said = lambda: lam.get_event_source_mapping(UUID=made["UUID"])["LastProcessingResult"]  # noqa: E731
    eventually(lambda: said() == "OK")


def test_it_is_enabled_within_two_seconds(told, topic, mapping):  # noqa: F811
    def took():
        name, _ = told()
        begin = time.time()
        mapping(**source(topic, FunctionName=name))
        return time.time() - begin

    # The machine may be busy with something else for a while.
    assert any(took() < 2 for _ in range(5))


def test_what_is_given_up_goes_to_the_destination(lam, sqs, queue, told, topic, producer, mapping):  # noqa: F811
    failed, arn = queue()
    name, _ = told()
    mapping(**source(
        topic, FunctionName=name, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=1, BatchSize=1,
        DestinationConfig={"OnFailure": {"Destination": arn}},
        ProvisionedPollerConfig={"MinimumPollers": 1, "MaximumPollers": 1},
    ))
    # The function sees base64; its key is what it fails on.
    send(producer, topic, b"x", key=base64.b64decode("fail"), partition=1)
    answer = eventually(lambda: sqs.receive_message(QueueUrl=failed, WaitTimeSeconds=1).get("Messages") or None, 60)
    record = json.loads(answer[0]["Body"])
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responseContext"]["functionError"] == "Unhandled"
    batch = record["KafkaBatchInfo"]
    assert (batch["batchSize"], batch["bootstrapServers"]) == (1, BROKER) and "eventSourceArn" not in batch
    assert batch["recordsInfo"][f"{topic}-1"]["firstRecordOffset"] == "0"


def test_a_filter_looks_into_values(lam, told, topic, producer, mapping):  # noqa: F811
    name, hear = told()
    pattern = json.dumps({"value": {"kind": ["wanted"]}})
    mapping(**source(topic, FunctionName=name, FilterCriteria={"Filters": [{"Pattern": pattern}]}))
    for kind in ("other", "wanted"):
        send(producer, topic, json.dumps({"kind": kind}).encode(), partition=0)
    (event,) = hear_events(hear)
    (records,) = event["records"].values()
    assert [json.loads(base64.b64decode(one["value"]))["kind"] for one in records] == ["wanted"]


def test_the_same_again_is_a_conflict(lam, told, topic, mapping):  # noqa: F811
    name, _ = told()
    made = mapping("Disabled", **source(topic, FunctionName=name, Enabled=False))
    message = refused("ResourceConflictException", lam.create_event_source_mapping, **source(topic, FunctionName=name))
    assert message == (
        f'An event source mapping with event source ("{BROKER}"), function ("{made["FunctionArn"]}"), topics ("{topic}") '
        f"already exists. Please update or delete the existing mapping with UUID {made['UUID']}"
    )


def hear_events(hear):
    """The next events, whole: a Kafka event has no `Records`."""
    return hear(of=lambda event: [event])
