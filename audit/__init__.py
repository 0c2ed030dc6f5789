"""Health checks on a dataset; their verdict gates its release."""

from audit.checks import all_checks
from audit.data import AuditData
from audit.report import AuditReport, audit_dataset
from audit.result import Check, CheckResult, Threshold
from audit.verify import verify_audit

__all__ = [
    "AuditData",
    "AuditReport",
    "Check",
    "CheckResult",
    "Threshold",
    "all_checks",
    "audit_dataset",
    "verify_audit",
]
