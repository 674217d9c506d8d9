"""Truth tests on a user's own data: is something shared, what would a leak have added, which labels are doubtful."""

from distill.audit.earlier import Earlier, is_run, read_earlier
from distill.audit.report import Audit, Unmeasured, audit

__all__ = ["Audit", "Earlier", "Unmeasured", "audit", "is_run", "read_earlier"]
