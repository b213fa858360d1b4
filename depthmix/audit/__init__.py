"""How good the quality of a source really is: measured on its samples, with findings in plain words."""

from depthmix.audit.findings import Finding
from depthmix.audit.run import Audit, audit_source, compare_audits

__all__ = ["Audit", "Finding", "audit_source", "compare_audits"]
