"""What no lab program leaves: the range of the lab's addresses (RFC 2544)."""

from __future__ import annotations

from ipaddress import IPv4Network

LAB = IPv4Network("198.18.0.0/15")
