"""What clients send in the tests of several files."""

import time
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

NOW_NS = time.time_ns() // 1_000_000 * 1_000_000
TP2 = "/snowplow/com.snowplowanalytics.snowplow/tp2"
PAYLOAD_DATA = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
PROTOBUF = {"Content-Type": "application/x-protobuf"}


def otlp(*records: LogRecord, **resource: str) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    for key, text in resource.items():
        logs.resource.attributes.add(key=key).value.string_value = text
    logs.scope_logs.add(log_records=records).scope.name = "scope"
    return request


def record(number: int = 0, **members: Any) -> LogRecord:
    return LogRecord(time_unix_nano=NOW_NS + number, **members)
