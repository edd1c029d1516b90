#!/usr/bin/env python3
"""A runtime client that takes AWS_LAMBDA_MAX_CONCURRENCY invocations at a time, each worker a thread."""
import http.client, json, os, threading, time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
BASE = "/2018-06-01/runtime/invocation/"
statuses = []


def work():
    connection = http.client.HTTPConnection(API)
    while True:
        connection.request("GET", BASE + "next")
        answer = connection.getresponse()
        payload = answer.read()
        event = json.loads(payload)
        if "sleep" in event:
            time.sleep(event["sleep"])
        if event.get("exit"):
            os._exit(event["exit"])
        told = {"pid": os.getpid(), "statuses": statuses, "env": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], **event}
        id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        # Some clients echo which attempt they answer, and some do not.
        echo = "Lambda-Runtime-Invocation-Id"
        headers = {echo: answer.headers[echo]} if event.get("echo") else {}
        connection.request("POST", BASE + id + "/response", json.dumps(told), headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 202:
            statuses.append(answer.status)


for _ in range(int(os.environ["AWS_LAMBDA_MAX_CONCURRENCY"])):
    threading.Thread(target=work).start()
