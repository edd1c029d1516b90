"""The test function under awslambdaric. The event says what to do."""
import os
import time

if os.environ.get("FAIL_INIT"):
    raise RuntimeError("no start")


def handler(event, context):
    do = event.get("do") if isinstance(event, dict) else None
    if do == "error":
        raise ValueError("as asked")
    if do == "exit":
        os._exit(event["code"])
    if do == "sleep":
        time.sleep(event["seconds"])
        return None
    if do == "size":
        return "x" * (event["bytes"] - 2)
    if do == "print":
        for _ in range(event["lines"]):
            print(event["line"])
        return os.getpid()
    if do == "context":
        client = context.client_context
        return {
            "id": context.aws_request_id,
            "arn": context.invoked_function_arn,
            "left": context.get_remaining_time_in_millis(),
            "custom": client.custom if client else None,
            "trace": os.environ.get("_X_AMZN_TRACE_ID"),
            "env": dict(os.environ),
        }
    return event
