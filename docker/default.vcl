# SPDX-License-Identifier: MIT
# Varnish in front of HAProxy: keeps what a worker lets it keep, host by host.
vcl 4.1;

backend router {
    .host = "haproxy";
    .port = "8000";
}
