"""Calls the host through boto3, and prints what it got as JSON.   usage: sdk.py ENDPOINT"""
import base64, json, sys

import boto3
from botocore.config import Config

ARN = "arn:aws:lambda:us-east-1:123456789012:function:orders"
config = Config(retries={"max_attempts": 0}, read_timeout=60)
keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": "none"}
client = boto3.client("lambda", endpoint_url=sys.argv[1], region_name="us-east-1", config=config, **keys)


def invoke(payload, **more):
    answer = client.invoke(FunctionName="orders", Payload=json.dumps(payload), **more)
    told = {k: v for k, v in answer.items() if k in ("StatusCode", "FunctionError", "ExecutedVersion")}
    body = answer["Payload"].read()
    told["Payload"] = json.loads(body) if body else None
    if "LogResult" in answer:
        told["Log"] = base64.b64decode(answer["LogResult"]).decode()
    return told


def stream(payload):
    answer = client.invoke_with_response_stream(FunctionName="orders", Payload=json.dumps(payload))
    told = {"payload": "", "status": answer["StatusCode"], "complete": None}
    for event in answer["EventStream"]:
        if "PayloadChunk" in event:
            told["payload"] += event["PayloadChunk"]["Payload"].decode()
        elif "InvokeComplete" in event:
            told["complete"] = event["InvokeComplete"]
    return told


def refused(**call):
    try:
        client.invoke(**call)
    except client.exceptions.ClientError as error:
        return [type(error).__name__, error.response["ResponseMetadata"]["HTTPStatusCode"]]


context = base64.b64encode(json.dumps({"custom": {"k": "é"}}).encode()).decode()
json.dump({
    "reply": invoke({"text": "é😀"}, Qualifier="live"),
    "tail": invoke({"do": "print", "line": "said"}, LogType="Tail"),
    "error": invoke({"do": "error"}),
    "event": invoke({}, InvocationType="Event"),
    "dry": invoke({}, InvocationType="DryRun"),
    "context": invoke({"do": "context"}, ClientContext=context),
    "by arn": client.invoke(FunctionName=ARN)["ResponseMetadata"]["HTTPHeaders"],
    "streamed": stream({"do": "stream"}),
    "buffered": stream([1]),
    "failed": stream({"do": "stream and fail"}),
    "unknown": refused(FunctionName="nowhere", Payload="{}"),
    "no json": refused(FunctionName="orders", Payload="{half"),
    "too large": refused(FunctionName="orders", Payload=json.dumps("x" * 6_291_455)),
}, sys.stdout)
