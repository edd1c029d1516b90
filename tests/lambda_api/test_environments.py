"""Execution environments: what they keep, what they share, what they are told of themselves."""

import concurrent.futures
import json
import os
import tempfile

import pytest

from conftest import ECHO, eventually, make_zip, unique

SOURCE = """
import os, time, uuid

ME = uuid.uuid4().hex

def write(path):
    try:
        with open(path, "w") as file:
            file.write(ME)
        return True
    except OSError:
        return False

def handler(event, context):
    if "mark" in event:
        open(event["mark"], "w").close()
    time.sleep(event.get("sleep", 0))
    before = open("/tmp/who").read() if os.path.exists("/tmp/who") else None
    written = [path for path in ("/tmp/who", "/var/task/who", "/opt/who") if write(path)]
    if event.get("exit"):
        os._exit(1)
    return {
        "me": ME, "before": before, "written": written, "cwd": os.getcwd(), "version": context.function_version,
        "arn": context.invoked_function_arn, "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "variable": os.environ.get("VARIABLE"), "memory": context.memory_limit_in_mb,
        "left": context.get_remaining_time_in_millis(), "stream": context.log_stream_name,
    }
"""


def call(lam, name, event=None, **settings):
    answer = lam.invoke(FunctionName=name, Payload=json.dumps(event or {}), **settings)
    return json.loads(answer["Payload"].read())


def calls(lam, name, count, event, **settings):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: call(lam, name, event, **settings), range(count)))


@pytest.fixture
def begin(lam):
    """Calls a function, which runs when this returns: what it will answer with."""
    # Not in /tmp, where the function has one of its own.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, concurrent.futures.ThreadPoolExecutor(1) as pool:

        def make(name, event):
            mark = os.path.join(folder, "mark")
            answer = pool.submit(call, lam, name, {**event, "mark": mark})
            eventually(lambda: os.path.exists(mark))
            return answer

        yield make


def updated(lam, name):
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def test_one_is_used_again_and_keeps_its_files_through_a_crash(lam, function):
    name = function(SOURCE)["FunctionName"]
    first, second = call(lam, name), call(lam, name)
    assert first["me"] == second["me"] == second["before"] and first["before"] is None
    assert first["cwd"] == "/var/task" and first["written"] == ["/tmp/who"]
    assert 8000 < first["left"] <= 10_000
    assert call(lam, name, {"exit": True})["errorType"] == "Runtime.ExitError"
    third = call(lam, name)
    # AWS: a reset starts the runtime anew and does not clear /tmp.
    assert third["me"] != first["me"] and third["before"]
    assert first["stream"] == second["stream"] == third["stream"]


def test_a_daemon_goes_with_the_process_it_is_of(lam, function):
    source = """
import os, subprocess, time

def handler(event, context):
    if event.get("leave"):
        subprocess.Popen(["sh", "-c", "while :; do date +%s%N > /tmp/alive; sleep 0.05; done"], start_new_session=True)
        while not os.path.exists("/tmp/alive"):
            time.sleep(0.05)
        os._exit(1)
    seen = open("/tmp/alive").read()
    time.sleep(0.5)
    return seen == open("/tmp/alive").read()
"""
    name = function(source)["FunctionName"]
    assert call(lam, name, {"leave": True})["errorType"] == "Runtime.ExitError"
    # The next has the same log stream, by which such are found, and /tmp.
    assert call(lam, name) is True and call(lam, name) is True


def test_each_has_a_tmp_of_its_own(lam, function):
    name = function(SOURCE)["FunctionName"]
    told = calls(lam, name, 2, {"sleep": 1})
    assert len({one["me"] for one in told}) == 2 and [one["before"] for one in told] == [None, None]


def test_another_configuration_is_another_environment_and_a_version_keeps_its_own(lam, function):
    name = function(SOURCE, Environment={"Variables": {"VARIABLE": "one"}})["FunctionName"]
    before = call(lam, name)
    version = lam.publish_version(FunctionName=name)["Version"]
    lam.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"VARIABLE": "two"}}, MemorySize=256
    )
    updated(lam, name)
    after, kept = call(lam, name), call(lam, name, Qualifier=version)
    assert (before["variable"], after["variable"], kept["variable"]) == ("one", "two", "one")
    assert (before["memory"], after["memory"], kept["memory"]) == ("128", "256", "128")
    assert after["me"] != before["me"] and (after["version"], kept["version"]) == ("$LATEST", "1")


def test_what_runs_ends_with_the_code_it_began_with(lam, function, begin):
    name = function(SOURCE)["FunctionName"]
    slow = begin(name, {"sleep": 2})
    lam.update_function_code(FunctionName=name, ZipFile=make_zip(app__py=ECHO))
    updated(lam, name)
    assert call(lam, name, {"new": True}) == {"new": True}
    assert slow.result()["version"] == "$LATEST"


def test_what_runs_ends_though_its_function_is_deleted(lam, function, begin):
    name = function(SOURCE)["FunctionName"]
    slow = begin(name, {"sleep": 2})
    lam.delete_function(FunctionName=name)
    assert slow.result()["version"] == "$LATEST"


def test_those_beyond_what_is_provisioned_are_on_demand(lam, function):
    name = function(SOURCE, Publish=True)["FunctionName"]
    lam.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 1})
    which = {"FunctionName": name, "Qualifier": "1"}
    assert call(lam, name, Qualifier="1")["kind"] == "on-demand"
    lam.put_provisioned_concurrency_config(ProvisionedConcurrentExecutions=1, **which)
    eventually(lambda: lam.get_provisioned_concurrency_config(**which)["Status"] == "READY")
    told = calls(lam, name, 2, {"sleep": 1.5}, Qualifier="1")
    assert sorted(one["kind"] for one in told) == ["on-demand", "provisioned-concurrency"]
    lam.delete_provisioned_concurrency_config(**which)
    assert call(lam, name, Qualifier="1")["kind"] == "on-demand"


def test_no_more_at_once_than_are_reserved(lam, function, begin):
    name = function(SOURCE)["FunctionName"]
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    slow = begin(name, {"sleep": 5})
    try:
        call(lam, name)
        raise AssertionError("let in")
    except lam.exceptions.TooManyRequestsException as error:
        assert error.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    slow.result()
    assert call(lam, name)["version"] == "$LATEST"


def test_functions_call_each_other(lam, function):
    inner = function()["FunctionName"]
    source = """
import boto3, json

def handler(event, context):
    answer = boto3.client("lambda").invoke(FunctionName=event["call"], Payload=json.dumps({"from": "outside"}))
    return json.loads(answer["Payload"].read())
"""
    outer = function(source, Timeout=30)["FunctionName"]
    assert call(lam, outer, {"call": inner}) == {"from": "outside"}


def test_layers_in_their_order(lam, function):
    def layer(**files):
        content = {"ZipFile": make_zip(**files)}
        return lam.publish_layer_version(LayerName=unique("layer"), Content=content)["LayerVersionArn"]

    one = layer(**{"python/shared__py": "WHO = 'one'", "bin/tool": "#!/bin/sh\necho tool", "data__txt": "one"})
    two = layer(**{"python/shared__py": "WHO = 'two'", "data__txt": "two"})
    source = """
import os, shared, subprocess

def handler(event, context):
    return [shared.WHO, shared.__file__, open("/opt/data.txt").read(), subprocess.check_output("tool").decode().strip()]
"""
    name = function(source, Layers=[one, two])["FunctionName"]
    assert call(lam, name) == ["two", "/opt/python/shared.py", "two", "tool"]
    lam.update_function_configuration(FunctionName=name, Layers=[two, one])
    updated(lam, name)
    assert call(lam, name) == ["one", "/opt/python/shared.py", "one", "tool"]
