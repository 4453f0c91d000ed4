"""DynamoDB tables: on demand, warm from the start if wanted, or provisioned; with a TTL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.aws.account import Absent, Account, as_pairs, from_pairs
from cli.aws.change import Present, Properties, Resource
from cli.aws.environment import Environment, Table
from cli.aws.errors import AwsRefused
from cli.aws.waiting import until

KIND = "table"
ON_DEMAND, PROVISIONED = "on demand", "provisioned"


def wanted(env: Environment) -> list[Resource]:
    return [
        Resource(
            KIND,
            f"{env.prefix}{name}",
            _properties(table),
            fixed=frozenset({"key"}),
            at_least=frozenset({"warm_reads", "warm_writes"}),  # traffic warms it further
        )
        for name, table in env.tables.items()
    ]


def _properties(table: Table) -> dict[str, Any]:
    properties: dict[str, Any] = {"key": dict(table.key), "billing": ON_DEMAND, "ttl": table.ttl}
    if table.provisioned:
        units = {"reads": table.provisioned.reads, "writes": table.provisioned.writes}
        properties |= {"billing": PROVISIONED, **units}
    if table.warm:
        properties |= {"warm_reads": table.warm.reads, "warm_writes": table.warm.writes}
    return properties


class Tables:
    """Implements kind.Kind."""

    def __init__(self, account: Account, tags: Mapping[str, str]) -> None:
        self._account = account
        self._tags = dict(tags)

    def names(self, prefix: str) -> list[str]:
        found = self._account.all("dynamodb", "list_tables", "TableNames")
        return [name for name in found if name.startswith(prefix)]

    def look(self, name: str) -> Present | None:
        try:
            table = self._describe(name)
            properties = {**_as_it_is(table), "ttl": self._ttl(name)}
        except Absent:
            return None
        if table["TableStatus"] == "DELETING":
            return None
        return Present(self._owns(table["TableArn"]), properties)

    def create(self, wanted: Resource) -> None:
        key = wanted.properties["key"]
        self._call(
            "create_table",
            TableName=wanted.name,
            KeySchema=[
                {"AttributeName": name, "KeyType": kind}
                for name, kind in zip(key, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": kind} for name, kind in key.items()
            ],
            Tags=as_pairs(self._tags),
            **_billing(wanted.properties),
            **_warm(wanted.properties),
        )
        self._wait(wanted.name)
        if wanted.properties["ttl"]:
            self._set_ttl(wanted.name, wanted.properties["ttl"])

    def change(self, wanted: Resource, differs: Properties) -> None:
        for part, keys in (
            (_billing(wanted.properties), {"billing", "reads", "writes"}),
            (_warm(wanted.properties), {"warm_reads", "warm_writes"}),
        ):
            if keys & differs.keys():
                self._call("update_table", TableName=wanted.name, **part)
                self._wait(wanted.name)
        if "ttl" in differs:
            self._set_ttl(wanted.name, differs["ttl"])

    def holds(self, name: str) -> str:
        some = self._call("scan", TableName=name, Limit=1, Select="COUNT")
        return "items" if some["Count"] else ""

    def delete(self, name: str) -> None:
        self._call("delete_table", TableName=name)

    def _set_ttl(self, name: str, attribute: str | None) -> None:
        """From one attribute to another goes by way of none."""
        before = self._ttl(name)
        for on, one in ((False, before), (True, attribute)):
            if one:
                setting = {"Enabled": on, "AttributeName": one}
                self._call("update_time_to_live", TableName=name, TimeToLiveSpecification=setting)

    def _ttl(self, name: str) -> str | None:
        said = self._call("describe_time_to_live", TableName=name)["TimeToLiveDescription"]
        on = said["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
        return said["AttributeName"] if on else None

    def _wait(self, name: str) -> None:
        """Until it can be used, and changed further."""
        until(lambda: self._describe(name)["TableStatus"] == "ACTIVE", f"table {name}")

    def _owns(self, arn: str) -> bool:
        try:
            tags = self._account.all("dynamodb", "list_tags_of_resource", "Tags", ResourceArn=arn)
        except AwsRefused as error:
            if "UnknownOperationException" in error.why:  # DynamoDB Local has no tags
                return True
            raise
        return self._tags.items() <= from_pairs(tags).items()

    def _describe(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._call("describe_table", TableName=name)["Table"]
        return found

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self._account.call("dynamodb", operation, **arguments)


def _as_it_is(table: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    schema = sorted(table["KeySchema"], key=lambda one: str(one["KeyType"]))  # HASH, RANGE
    on_demand = table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    units = table["ProvisionedThroughput"]
    properties: dict[str, Any] = {
        "key": {one["AttributeName"]: kinds[one["AttributeName"]] for one in schema},
        "billing": ON_DEMAND if on_demand else PROVISIONED,
        "reads": None if on_demand else units["ReadCapacityUnits"],
        "writes": None if on_demand else units["WriteCapacityUnits"],
    }
    if warm := table.get("WarmThroughput"):
        properties["warm_reads"] = warm["ReadUnitsPerSecond"]
        properties["warm_writes"] = warm["WriteUnitsPerSecond"]
    return properties


def _billing(properties: Properties) -> dict[str, Any]:
    if properties["billing"] == ON_DEMAND:
        return {"BillingMode": "PAY_PER_REQUEST"}
    units = {
        "ReadCapacityUnits": properties["reads"],
        "WriteCapacityUnits": properties["writes"],
    }
    return {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units}


def _warm(properties: Properties) -> dict[str, Any]:
    if "warm_reads" not in properties:
        return {}
    units = {
        "ReadUnitsPerSecond": properties["warm_reads"],
        "WriteUnitsPerSecond": properties["warm_writes"],
    }
    return {"WarmThroughput": units}
