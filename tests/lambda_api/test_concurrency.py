"""Reserved and provisioned concurrency, and what the account has."""

from conftest import ACCOUNT, REGION, eventually, refused, unique


def unreserved(lam):
    return lam.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]


def test_reserved(lam, function):
    name = function()["FunctionName"]
    free = unreserved(lam)
    assert "ReservedConcurrentExecutions" not in lam.get_function_concurrency(FunctionName=name)
    put = lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=10)
    assert put["ReservedConcurrentExecutions"] == 10
    assert lam.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 10
    assert lam.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 10}
    assert unreserved(lam) == free - 10
    message = refused(
        "InvalidParameterValueException", lam.put_function_concurrency,
        FunctionName=name, ReservedConcurrentExecutions=free - 99,
    )
    assert message == (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    refused("TooManyRequestsException", lam.invoke, FunctionName=name)
    lam.delete_function_concurrency(FunctionName=name)
    assert lam.invoke(FunctionName=name, Payload="1")["Payload"].read() == b"1"
    assert unreserved(lam) == free
    missing = unique("none")
    assert refused(
        "ResourceNotFoundException", lam.put_function_concurrency, FunctionName=missing, ReservedConcurrentExecutions=1
    ) == f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:{missing}:$LATEST"


def test_provisioned(lam, function):
    name = function(Publish=True)["FunctionName"]
    which = {"FunctionName": name, "Qualifier": "1"}
    lam.get_waiter("published_version_active").wait(**which)
    message = refused(
        "ProvisionedConcurrencyConfigNotFoundException", lam.get_provisioned_concurrency_config, **which
    )
    assert message == "No Provisioned Concurrency Config found for this function"
    put = lam.put_provisioned_concurrency_config(ProvisionedConcurrentExecutions=1, **which)
    assert put["Status"] == "IN_PROGRESS" and put["AllocatedProvisionedConcurrentExecutions"] == 0
    ready = eventually(lambda: lam.get_provisioned_concurrency_config(**which)["Status"] == "READY")
    assert ready
    listed = lam.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"]
    assert [item["FunctionArn"].rsplit(":", 1)[1] for item in listed] == ["1"]
    assert listed[0]["AvailableProvisionedConcurrentExecutions"] == 1
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert refused(
        "ResourceConflictException", lam.put_provisioned_concurrency_config,
        FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=1,
    ) == "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    assert refused(
        "InvalidParameterValueException", lam.put_provisioned_concurrency_config,
        FunctionName=name, Qualifier="$LATEST", ProvisionedConcurrentExecutions=1,
    ) == "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    lam.delete_provisioned_concurrency_config(**which)
    lam.delete_provisioned_concurrency_config(**which)


def test_usage(lam, function):
    before = lam.get_account_settings()["AccountUsage"]
    made = function()
    after = lam.get_account_settings()
    assert after["AccountUsage"]["FunctionCount"] == before["FunctionCount"] + 1
    assert after["AccountUsage"]["TotalCodeSize"] == before["TotalCodeSize"] + made["CodeSize"]
    assert after["AccountLimit"]["ConcurrentExecutions"] == 1000
