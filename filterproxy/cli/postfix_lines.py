"""The lines that put Postfix and the filter together, in each of the four ways; `init` prints them, docs quote them.

The rule: the ports are those of the configuration that `init` writes for the same mode.
"""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """How mail reaches the filter."""

    MILTER = "milter"
    PROXY = "proxy"
    CONTENT_FILTER = "content-filter"
    FRONT = "front"


MILTER = """\
# main.cf
# tempfail: while the filter is down mail waits at the sender; accept would let it through unfiltered
smtpd_milters = { inet:127.0.0.1:11332, connect_timeout=10s, default_action=tempfail }
non_smtpd_milters = $smtpd_milters
milter_protocol = 6
"""

PROXY = """\
# master.cf: mail from the network goes through the filter before Postfix takes responsibility for it
smtp      inet  n       -       n       -       20      smtpd
  -o smtpd_proxy_filter=127.0.0.1:10025
  -o smtpd_client_connection_count_limit=10
# master.cf: where the filter hands mail back; it trusts the filter's word about the client
127.0.0.1:10026 inet n  -       n       -       -       smtpd
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_client_restrictions=
  -o smtpd_helo_restrictions=
  -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o smtpd_data_restrictions=
  -o mynetworks=127.0.0.0/8
  -o receive_override_options=no_unknown_recipient_checks
"""

CONTENT_FILTER = """\
# main.cf: mail is accepted and queued first, so the filter marks it and never rejects it
content_filter = scan:localhost:10025
receive_override_options = no_address_mappings
# master.cf: to the filter
scan      unix  -       -       n       -       10      smtp
  -o smtp_send_xforward_command=yes
  -o disable_mime_output_conversion=yes
  -o smtp_generic_maps=
# master.cf: back from the filter
127.0.0.1:10026 inet n  -       n       -       -       smtpd
  -o content_filter=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_client_restrictions=
  -o smtpd_helo_restrictions=
  -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o smtpd_data_restrictions=
  -o mynetworks=127.0.0.0/8
"""

FRONT = """\
# master.cf: Postfix leaves port 25 to the filter; by XCLIENT it still sees each client and decides who may send where
# Without the two lines of XCLIENT and relay restrictions everybody who reaches port 25 would relay as 127.0.0.1.
#smtp     inet  n       -       n       -       -       smtpd
127.0.0.1:10026 inet n  -       n       -       -       smtpd
  -o smtpd_authorized_xclient_hosts=127.0.0.1
  -o smtpd_relay_restrictions=permit_mynetworks,permit_sasl_authenticated,reject_unauth_destination
"""

LINES = {Mode.MILTER: MILTER, Mode.PROXY: PROXY, Mode.CONTENT_FILTER: CONTENT_FILTER, Mode.FRONT: FRONT}
