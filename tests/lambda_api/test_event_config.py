"""Settings of asynchronous invocation."""

import datetime

from conftest import ACCOUNT, REGION, refused, unique

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:failures"


def test_life(lam, function):
    name = function()["FunctionName"]
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}:$LATEST"
    put = lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    assert isinstance(put["LastModified"], datetime.datetime)
    assert put["FunctionArn"] == arn and put["MaximumRetryAttempts"] == 0
    assert "MaximumEventAgeInSeconds" not in put
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    updated = lam.update_function_event_invoke_config(
        FunctionName=name, MaximumEventAgeInSeconds=60, DestinationConfig={"OnFailure": {"Destination": QUEUE}}
    )
    assert updated["MaximumRetryAttempts"] == 0 and updated["MaximumEventAgeInSeconds"] == 60
    got = lam.get_function_event_invoke_config(FunctionName=name)
    got.pop("ResponseMetadata")
    assert got["DestinationConfig"]["OnFailure"] == {"Destination": QUEUE}
    assert lam.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"] == [got]
    lam.delete_function_event_invoke_config(FunctionName=name)
    for call in (lam.get_function_event_invoke_config, lam.delete_function_event_invoke_config):
        message = refused("ResourceNotFoundException", call, FunctionName=name)
        assert message == f"The function {arn} doesn't have an EventInvokeConfig"


def test_qualifiers(lam, function):
    name = function(Publish=True)["FunctionName"]
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for qualifier in ("1", "live", "$LATEST"):
        put = lam.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=1)
        assert put["FunctionArn"].endswith(f":{name}:{qualifier}")
    assert len(lam.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]) == 3
    lam.delete_alias(FunctionName=name, Name="live")
    assert len(lam.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]) == 2


def test_refusals(lam, function):
    name = function()["FunctionName"]
    put = lam.put_function_event_invoke_config
    assert refused("InvalidParameterValueException", put, FunctionName=name) == (
        "You must specify at least one of error handling or destination setting."
    )
    missing = unique("none")
    assert refused("ResourceNotFoundException", put, FunctionName=missing, MaximumRetryAttempts=1) == (
        "The function doesn't exist."
    )

    def destination(arn):
        config = {"OnSuccess": {"Destination": arn}}
        return refused("InvalidParameterValueException", put, FunctionName=name, DestinationConfig=config)

    me = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    assert destination(me) == "You can't specify the function as a destination for itself."
    other = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{missing}"
    assert destination(other) == f"The destination ARN {other} is invalid."
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    assert destination(role) == (
        f"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination={role}), onFailure=null) is "
        "invalid."
    )
