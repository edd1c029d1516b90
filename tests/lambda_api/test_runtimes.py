"""Functions in languages that are compiled: what host/tests/clients has, as a deployment package."""

import json
import os
import pathlib

import pytest

from conftest import make_zip


def package(folder, *patterns):
    folder = pathlib.Path(folder)
    files = [file for pattern in patterns for file in folder.glob(pattern)]
    return make_zip(**{str(file.relative_to(folder)): file.read_bytes() for file in files})


@pytest.mark.parametrize(
    "language, files, settings",
    [
        ("GO", ["bootstrap"], {"Runtime": "provided.al2023", "Handler": "bootstrap"}),
        ("JAVA", ["example/*.class", "lib/*.jar"], {"Runtime": "java17", "Handler": "example.Fn::handleRequest"}),
    ],
)
def test_a_function(lam, function, language, files, settings):
    code = {"ZipFile": package(os.environ[language], *files)}
    made = function(Code=code, MemorySize=512, Timeout=60, **settings)
    assert made["Runtime"] == settings["Runtime"]

    def invoke(event):
        answer = lam.invoke(FunctionName=made["FunctionName"], Payload=json.dumps(event))
        return answer.get("FunctionError"), json.loads(answer["Payload"].read())

    assert invoke({"n": 1}) == (None, {"n": 1})
    error, said = invoke({"do": "error"})
    assert (error, said["errorMessage"]) == ("Unhandled", "as asked")
    _, told = invoke({"do": "context"})
    assert told["arn"] == made["FunctionArn"]
    assert told["env"]["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
