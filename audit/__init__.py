"""Health checks on a dataset; their verdict gates its release."""

from audit.checks import all_checks
from audit.data import AuditData
from audit.dataset import load_dataset
from audit.foreign import ForeignTable, load_foreign
from audit.report import AuditReport, audit_dataset, audit_table
from audit.result import Check, CheckResult, Threshold
from audit.verify import verify_audit

__all__ = [
    "AuditData",
    "AuditReport",
    "Check",
    "CheckResult",
    "ForeignTable",
    "Threshold",
    "all_checks",
    "audit_dataset",
    "audit_table",
    "load_dataset",
    "load_foreign",
    "verify_audit",
]
