"""Run shards of work on several devices of this machine or on a Ray cluster; results equal those of one process."""

from headatlas.cluster.base import BACKENDS, Shard, Shared, Workers, connect
from headatlas.cluster.local import Local
from headatlas.cluster.processes import Processes
from headatlas.cluster.ray_cluster import RayWorkers

__all__ = ["BACKENDS", "Local", "Processes", "RayWorkers", "Shard", "Shared", "Workers", "connect"]
