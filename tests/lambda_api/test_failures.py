"""What goes wrong in a function, and how Lambda tells it: the document, the status, the lines in the log."""

import base64
import json
import os
import re
import time

import pytest

from conftest import make_zip

PYTHON = """
import os, sys, time

def handler(event, context):
    do = event["do"]
    if do == "chain":
        try:
            {}["missing"]
        except KeyError as error:
            raise RuntimeError("outer") from error
    if do == "sys.exit":
        sys.exit(event["code"])
    if do == "os._exit":
        os._exit(event["code"])
    if do == "kill":
        os.kill(os.getpid(), event["signal"])
    if do == "sleep":
        time.sleep(30)
    if do == "answer":
        return "x" * event["length"]
    if do == "set":
        return {1}
    return do
"""
NODE = """
exports.handler = async (event) => {
  if (event.do === "throw") throw new TypeError("as asked");
  if (event.do === "reject") return Promise.reject("text");
  if (event.do === "exit") process.exit(2);
  if (event.do === "nothing") return;
  return event;
};
"""


def invoke(lam, name, event):
    """The answer's document, its request id, and the end of the log."""
    answer = lam.invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail")
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
    document = json.loads(answer["Payload"].read())
    log = base64.b64decode(answer["LogResult"]).decode()
    return answer.get("FunctionError"), document, answer["ResponseMetadata"]["RequestId"], log


def report(log):
    """The numbers of a report."""
    line = next(line for line in log.splitlines() if line.startswith("REPORT "))
    return {name: float(number) for name, number in re.findall(r"\t([A-Z][A-Za-z ]+): ([0-9.]+) m?[sB]", line.replace("MB", "B"))}


def test_an_initialisation_is_billed_with_the_first_invocation(lam, function):
    name = function("import time\ntime.sleep(0.5)\n" + PYTHON)["FunctionName"]
    first, second = (report(invoke(lam, name, {"do": "go on"})[3]) for _ in range(2))
    assert first["Init Duration"] > 500 and "Init Duration" not in second
    # Each of them is rounded for itself, the bill is of what they are.
    assert -0.011 <= first["Billed Duration"] - first["Duration"] - first["Init Duration"] <= 1.011
    assert -0.011 <= second["Billed Duration"] - second["Duration"] <= 1.011


def test_a_traceback_reads_as_in_var_task(lam, function):
    name = function(PYTHON)["FunctionName"]
    error, document, request, log = invoke(lam, name, {"do": "chain"})
    assert error == "Unhandled" and set(document) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (document["errorMessage"], document["errorType"], document["requestId"]) == ("outer", "RuntimeError", request)
    assert document["stackTrace"][0].startswith('  File "/var/task/app.py", line 10, in handler\n    raise RuntimeError')
    lines = log.splitlines()
    assert f"START RequestId: {request} Version: $LATEST" in lines
    assert "[ERROR] RuntimeError: outer" in log and f"END RequestId: {request}" in lines
    # That a function fails is nothing its environment has to report.
    assert "Status: " not in log


@pytest.mark.parametrize(
    "event, why",
    [
        ({"do": "sys.exit", "code": 0}, "exited without providing a reason"),
        ({"do": "sys.exit", "code": 3}, "exited with error: exit status 3"),
        ({"do": "os._exit", "code": 5}, "exited with error: exit status 5"),
        ({"do": "kill", "signal": 9}, "exited with error: signal: killed"),
    ],
)
def test_a_process_that_ends(lam, function, event, why):
    name = function(PYTHON)["FunctionName"]
    error, document, request, log = invoke(lam, name, event)
    assert error == "Unhandled"
    assert document == {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {request} Error: Runtime {why}"}
    assert f"RequestId: {request} Error: Runtime {why}\nRuntime.ExitError\n" in log
    assert log.rstrip("\n").endswith("Status: error\tError Type: Runtime.ExitError")
    # The environment is made anew for who comes next, which is no initialisation of its own.
    _, document, _, log = invoke(lam, name, {"do": "go on"})
    assert document == "go on" and "Init Duration" not in log


def test_a_timeout(lam, function):
    name = function(PYTHON, Timeout=1)["FunctionName"]
    error, document, request, log = invoke(lam, name, {"do": "sleep"})
    assert error == "Unhandled"
    assert document == {
        "errorType": "Sandbox.Timedout", "errorMessage": f"RequestId: {request} Error: Task timed out after 1.00 seconds"
    }
    assert f"Z {request} Task timed out after 1.00 seconds" in log
    assert report(log)["Duration"] == 1000 and log.rstrip("\n").endswith("Status: timeout")
    assert invoke(lam, name, {"do": "go on"})[1] == "go on"


def test_an_answer_that_is_too_large_or_none(lam, function):
    name = function(PYTHON)["FunctionName"]
    fits = lam.invoke(FunctionName=name, Payload=json.dumps({"do": "answer", "length": 6_291_554}))
    assert "FunctionError" not in fits and len(fits["Payload"].read()) == 6_291_556
    error, document, _, _ = invoke(lam, name, {"do": "answer", "length": 6_291_555})
    assert (error, document) == ("Unhandled", {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    })
    error, document, request, _ = invoke(lam, name, {"do": "set"})
    assert (error, document["errorType"], document["requestId"]) == ("Unhandled", "Runtime.MarshalError", request)
    assert document["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"


@pytest.mark.parametrize(
    "source, settings, kind, message",
    [
        ("import nowhere", {}, "Runtime.ImportModuleError", "Unable to import module 'app': No module named 'nowhere'"),
        ("", {"Handler": "none.handler"}, "Runtime.ImportModuleError", "Unable to import module 'none': No module named 'none'"),
        ("x = 1", {}, "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ("def handler(:", {}, "Runtime.UserCodeSyntaxError", "Syntax error in module 'app': "),
        ("", {"Handler": "handler"}, "Runtime.MalformedHandlerName", "Bad handler 'handler': "),
        ("raise ValueError('at the start')", {}, "ValueError", "at the start"),
    ],
)
def test_a_function_that_cannot_begin(lam, function, source, settings, kind, message):
    name = function(source, **settings)["FunctionName"]
    for _ in range(2):
        error, document, request, log = invoke(lam, name, {})
        assert (error, document["errorType"]) == ("Unhandled", kind)
        assert document["errorMessage"].startswith(message), document
        assert f"START RequestId: {request} Version: $LATEST" in log
        # What Lambda has no name for is unknown to it.
        told = kind if kind.startswith("Runtime.") else "Runtime.Unknown"
        assert log.rstrip("\n").endswith(f"Status: error\tError Type: {told}")
        # It was tried once more, on the invocation's own time.
        assert report(log)["Duration"] > 10


def test_a_process_that_ends_at_its_start(lam, function):
    name = function("import sys\nsys.exit(4)")["FunctionName"]
    error, document, request, _ = invoke(lam, name, {})
    assert error == "Unhandled"
    assert document == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request} Error: Runtime exited with error: exit status 4",
    }


def memory_is_limited():
    """Whether this machine lets us."""
    folder = f"/sys/fs/cgroup/memory/klr-trial-{os.getpid()}"
    try:
        os.mkdir(folder)
        os.rmdir(folder)
        return True
    except OSError:
        return os.path.exists("/sys/fs/cgroup/memory.max") and os.access("/sys/fs/cgroup/cgroup.subtree_control", os.W_OK)


def test_memory_is_a_limit(lam, function):
    if not memory_is_limited():
        pytest.skip("no control group can be made here")
    source = "def handler(event, context):\n    return len(bytearray(event['mb'] << 20))\n"
    name = function(source, MemorySize=128)["FunctionName"]
    assert invoke(lam, name, {"mb": 50})[1] == 50 << 20
    error, document, request, log = invoke(lam, name, {"mb": 300})
    assert (error, document) == ("Unhandled", {
        "errorType": "Runtime.OutOfMemory",
        "errorMessage": f"RequestId: {request} Error: Runtime exited with error: signal: killed",
    })
    assert report(log)["Max Memory Used"] == 128
    assert log.rstrip("\n").endswith("Status: error\tError Type: Runtime.OutOfMemory")
    assert invoke(lam, name, {"mb": 50})[1] == 50 << 20


def test_nothing_is_started_for_nobody(lam, function):
    source = """
import pathlib
path = pathlib.Path("/tmp/starts")
starts = len(path.read_text()) + 1 if path.exists() else 1
path.write_text("x" * starts)
raise ValueError(f"start {starts}")
"""
    name = function(source)["FunctionName"]
    # As on AWS: one before the invocation, and one on its time.
    assert invoke(lam, name, {})[1]["errorMessage"] == "start 2"
    time.sleep(4)
    assert invoke(lam, name, {})[1]["errorMessage"] == "start 3"


def test_a_start_that_takes_too_long(lam, function):
    name = function("import time\ntime.sleep(60)", Timeout=1)["FunctionName"]
    error, document, request, log = invoke(lam, name, {})
    assert (error, document["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert document["errorMessage"] == f"RequestId: {request} Error: Task timed out after 1.00 seconds"
    assert report(log)["Duration"] == 1000 and log.rstrip("\n").endswith("Status: timeout")


def test_node(lam, function):
    settings = {"Runtime": "nodejs20.x", "Handler": "index.handler"}
    name = function(Code={"ZipFile": make_zip(index__js=NODE)}, **settings)["FunctionName"]
    error, document, _, _ = invoke(lam, name, {"do": "throw"})
    assert (error, document["errorType"], document["errorMessage"]) == ("Unhandled", "TypeError", "as asked")
    assert document["trace"][0] == "TypeError: as asked" and "/var/task/index.js:3:" in document["trace"][1]
    error, document, _, _ = invoke(lam, name, {"do": "reject"})
    assert (error, document) == ("Unhandled", {"errorType": "string", "errorMessage": "text", "trace": []})
    assert invoke(lam, name, {"do": "exit"})[1]["errorMessage"].endswith("Runtime exited with error: exit status 2")
    assert invoke(lam, name, {"do": "nothing"})[:2] == (None, None)
    missing = function(Code={"ZipFile": make_zip(other__js="")}, **settings)["FunctionName"]
    document = invoke(lam, missing, {})[1]
    assert document["errorType"] == "Runtime.ImportModuleError"
    assert document["errorMessage"].startswith("Error: Cannot find module 'index'")
