"""What nodes cost beside their instances, calculated: their disks, and traffic between zones.

Between a node and SQS, DynamoDB or S3 of its region no zone is billed, and nodes send each other
nothing of events. What remains is a load balancer before the collectors, which evctl doesn't make:
some are billed for what they pass into other zones, some are not.
"""

from __future__ import annotations

from scaling.prices import HOURS_A_MONTH, Prices

DISK_GB = 8  # of gp3: what an image of Debian has
ZONES = 3
HOUR_S = 3600


def disk_usd_per_hour(prices: Prices) -> float:
    """Of one node."""
    return prices.usd("ebs_gp3_gb_month", DISK_GB) / HOURS_A_MONTH


def zones_usd_per_hour(rate: float, event_bytes: float, prices: Prices) -> float:
    """At most: of events as they are sent, spread evenly over collectors in so many zones."""
    passed = rate * event_bytes * HOUR_S * (1 - 1 / ZONES)
    return prices.usd("between_zones_gb", passed / 1e9)
