"""How near two endpoints are, by the labels that Kubernetes gives nodes and that operators copy to pods."""

import enum
from collections.abc import Mapping

from epp.plugin import Endpoint


class Level(enum.Enum):
    """What two endpoints share at most, the nearest first."""

    HOST = "host"
    RACK = "rack"
    ZONE = "zone"
    REGION = "region"


LABELS: Mapping[Level, str] = {
    Level.HOST: "kubernetes.io/hostname",
    Level.RACK: "topology.kubernetes.io/rack",
    Level.ZONE: "topology.kubernetes.io/zone",
    Level.REGION: "topology.kubernetes.io/region",
}


def shared_level(one: Endpoint, other: Endpoint) -> Level | None:
    """Return the nearest level that two endpoints share; ``None``: none, or their labels do not say."""
    for level, label in LABELS.items():
        value = one.labels.get(label)
        if value is not None and value == other.labels.get(label):
            return level
    return None
