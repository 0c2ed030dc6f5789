# A host of the lab: Python, the protocol libraries of the lab programs, and the tools to look at it.
FROM debian:bookworm-slim

# This machine's own Debian mirror, for this build alone; empty means the base image's.
ARG MIRROR=""
# What the kinds of activity that a lab names use besides.
ARG PACKAGES=""

RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; \
    printf 'path-exclude /usr/share/%s/*\n' doc info locale man > /etc/dpkg/dpkg.cfg.d/gsta; \
    if [ -n "$MIRROR" ]; then \
        echo "deb $MIRROR bookworm main" > /tmp/sources.list; \
        set -- -o Dir::Etc::SourceList=/tmp/sources.list -o Dir::Etc::SourceParts=/dev/null; \
    fi; \
    apt-get "$@" update; \
    apt-get "$@" install -y --no-install-recommends \
        python3 python3-aiosmtpd python3-asyncssh python3-cryptography python3-dnslib python3-h2 \
        curl ethtool iproute2 tcpdump $PACKAGES; \
    rm -rf /tmp/sources.list /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log

COPY lab /opt/gsta
RUN python3 -m compileall -q /opt/gsta
