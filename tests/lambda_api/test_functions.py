"""The life of a function."""

from conftest import ACCOUNT, ROLE, make_zip, refused, unique


def test_life(lam, function):
    made = function()
    name = made["FunctionName"]
    assert made["State"] == "Pending" and made["StateReasonCode"] == "Creating"
    got = lam.get_function(FunctionName=name)
    assert got["Configuration"]["State"] == "Active"
    assert got["Configuration"]["CodeSha256"] == made["CodeSha256"]
    lam.delete_function(FunctionName=name)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    message = refused("ResourceNotFoundException", lam.get_function, FunctionName=name)
    assert message == f"Function not found: {arn}"


def test_a_name_is_taken_once(lam, function):
    name = function()["FunctionName"]
    message = refused(
        "ResourceConflictException", lam.create_function, FunctionName=name, Runtime="python3.12",
        Handler="app.handler", Role=ROLE, Code={"ZipFile": make_zip(app__py="")},
    )
    assert message == f"Function already exist: {name}"


def test_no_function(lam):
    name = unique("none")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    for call in (lam.get_function, lam.get_function_configuration, lam.delete_function):
        assert refused("ResourceNotFoundException", call, FunctionName=name) == f"Function not found: {arn}"


def test_a_network_goes_whole_and_stays_while_a_file_system_needs_it(lam, function):
    name = function()["FunctionName"]
    point = f"arn:aws:elasticfilesystem:us-east-1:{ACCOUNT}:access-point/fsap-0123456789abcdef0"
    mount = [{"Arn": point, "LocalMountPath": "/mnt/a"}]
    none = {"SubnetIds": [], "SecurityGroupIds": []}

    def change(**settings):
        return refused("InvalidParameterValueException", lam.update_function_configuration, FunctionName=name, **settings)

    half = {"SubnetIds": ["subnet-12345678"], "SecurityGroupIds": []}
    assert change(VpcConfig=half) == "SubnetIds and SecurityIds must coexist or be both empty list."
    assert change(FileSystemConfigs=mount) == (
        f"Function must be configured to execute in a VPC to reference access point {point}."
    )
    whole = {"SubnetIds": ["subnet-12345678"], "SecurityGroupIds": ["sg-12345678"]}
    lam.update_function_configuration(FunctionName=name, VpcConfig=whole, FileSystemConfigs=mount)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert change(VpcConfig=none) == (
        f"Function VPC configuration cannot be removed with access point {point} referenced."
    )
    bare = lam.update_function_configuration(FunctionName=name, VpcConfig=none, FileSystemConfigs=[])
    assert bare["VpcConfig"]["VpcId"] == "" and "FileSystemConfigs" not in bare


def test_what_is_wrong_is_told_by_its_place(lam):
    new = {"Runtime": "python3.12", "Handler": "app.handler", "Role": ROLE}
    said = refused(
        "ValidationException", lam.create_function, FunctionName=unique("f"),
        Code={"S3Bucket": "b" * 64, "S3Key": "k"}, **new,
    )
    assert f"Value '{'b' * 64}' at 'code.s3Bucket' failed to satisfy constraint" in said
    said = refused("ValidationException", lam.create_function, FunctionName="a.b", Code={"ZipFile": b"x"}, **new)
    assert said.startswith("1 validation error detected: Value 'a.b' at 'functionName' failed to satisfy constraint")
    said = refused("ValidationException", lam.get_function_recursion_config, FunctionName="f:live")
    assert said.endswith("(function:)?([a-zA-Z0-9-_]+)")
    said = refused("ValidationException", lam.list_layers, MaxItems=51)
    assert said.endswith("Member must have value less than or equal to 50")


def test_no_function_here_is_durable(lam, function):
    name = function()["FunctionName"]
    assert lam.list_durable_executions_by_function(FunctionName=name)["DurableExecutions"] == []
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}:1/durable-execution/a/b"
    refused("ResourceNotFoundException", lam.get_durable_execution, DurableExecutionArn=arn)
