"""A bridge that was told whose functions it has, whose keys are good, and how many calls a second it answers: see cli.rs."""

import json
import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import check_answer, make_zip, refused

ACCOUNT, REGION = "111122223333", "eu-west-1"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
TELL = """
import os

def handler(event, context):
    return [context.invoked_function_arn, os.environ["AWS_REGION"]]
"""


def caller(key, secret):
    config = Config(retries={"max_attempts": 0})
    made = boto3.client(
        "lambda", region_name=REGION, config=config, aws_access_key_id=key, aws_secret_access_key=secret
    )
    made.meta.events.register("after-call.lambda", check_answer)
    return made


@pytest.fixture(scope="module")
def lam():
    made = caller("second", "two")
    code = {"ZipFile": make_zip(app__py=TELL)}
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    request = {"FunctionName": "f", "Runtime": "python3.12", "Handler": "app.handler", "Role": role, "Code": code}
    assert made.create_function(**request)["FunctionArn"] == ARN
    made.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})
    return made


def test_its_functions_are_that_accounts(lam):
    assert json.loads(lam.invoke(FunctionName=ARN)["Payload"].read()) == [ARN, REGION]
    elsewhere = ARN.replace(REGION, "us-east-1")
    assert refused("ResourceNotFoundException", lam.get_function, FunctionName=elsewhere) == (
        f"Functions from 'us-east-1' are not reachable in this region ('{REGION}')"
    )
    foreign = ARN.replace(ACCOUNT, "000000000000")
    assert refused("AccessDeniedException", lam.get_function, FunctionName=foreign) == (
        f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: lambda:GetFunction on resource: {foreign} because "
        "no resource-based policy allows the lambda:GetFunction action"
    )


@pytest.mark.parametrize(
    "key, secret, error",
    [
        ("first", "one", None),
        ("first", "two", "InvalidSignatureException"),
        # The chain's own, which a file takes the place of.
        ("test", "test", "UnrecognizedClientException"),
    ],
)
def test_its_callers_are_those_of_the_file(lam, key, secret, error):
    call = caller(key, secret).get_account_settings
    refused(error, call) if error else call()


def test_who_calls_too_often_is_told(lam):
    def said():
        try:
            lam.list_functions()
        except ClientError as refusal:
            return refusal.response["Error"]["Code"], refusal.response.get("Reason")

    heard = [said() for _ in range(100)]
    assert set(heard) == {None, ("TooManyRequestsException", "CallerRateLimitExceeded")}
    assert lam.invoke(FunctionName="f")["StatusCode"] == 200, "invocations do not count"
    time.sleep(1)
    assert said() is None
