"""The demo's function: an ordinary Lambda handler that knows nothing of klr."""

import base64
import json


def handler(event, context):
    if "records" in event:  # Kafka: records by topic and partition, values in base64
        orders = [json.loads(base64.b64decode(r["value"])) for rs in event["records"].values() for r in rs]
        return {"orders": len(orders), "total": sum(order["amount"] for order in orders)}
    objects = [f'{r["s3"]["bucket"]["name"]}/{r["s3"]["object"]["key"]}' for r in event["Records"]]
    return {"objects": objects}
