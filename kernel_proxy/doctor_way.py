"""The way to the runtime and what is at its end, checked one by one: rows of the doctor's second table.

    Patient -> WAY -> verdicts        Patient -> far_side -> the runtime's own findings, for admins
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from kernel_proxy import admin, outside
from kernel_proxy.discovery import LOOPBACK
from kernel_proxy.errors import NotRunning, WarmcellError
from kernel_proxy.findings import Finding, Patient, Verdict, ok
from remote_runtime.wire import messages_pb2 as pb

DIAL_S = 10.0
SKEW_S = 30.0
"""Clocks that differ by more make tokens and certificates end at another time than they say."""

DAY_S = 86400.0
TOKEN_DAYS, CERTIFICATE_DAYS = 7, 14
"""An end that is nearer is a warning."""


def proxies(patient: Patient) -> Verdict:
    """Whether the environment sends what is meant for the runtime through a proxy."""
    place = urlsplit(patient.settings.url)
    if patient.settings.embedded or place.hostname in LOOPBACK:
        return ok("none is used on this machine")
    if patient.settings.over_ssh:
        return ok("ssh has its own rules")
    proxy = outside.proxy_for(patient.settings.url)
    if proxy is None:
        return ok(f"none stands before {place.hostname}")
    shown = f"what goes to {place.hostname} takes the proxy {outside.shown(proxy)}"
    return ok(shown) if patient.info is not None else ("warn", shown, f"export NO_PROXY={place.hostname}")


def certificate(patient: Patient) -> Verdict:
    """Whether the runtime's certificate holds, for whom, and until when."""
    settings, place = patient.settings, urlsplit(patient.settings.url)
    if place.scheme != "https":
        return ok("no TLS is spoken" if settings.url else "no TLS is needed on this machine")
    try:
        context = outside.tls(settings)
        plain = socket.create_connection((place.hostname or "", place.port or 443), DIAL_S)
        with plain, context.wrap_socket(plain, server_hostname=place.hostname) as spoken:
            found = spoken.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return "fail", f"the certificate of {settings.url} does not hold: {error.verify_message}", \
            f"`warmcell login {settings.url}`"
    except OSError as error:
        state = "warn" if patient.info is None else "ok"  # behind a proxy it cannot be looked at from here
        return state, f"it could not be looked at: {error}", "see the check of the runtime" if state == "warn" else ""
    left_days = (ssl.cert_time_to_seconds(str(found["notAfter"])) - time.time()) / DAY_S
    by = settings.ca_file or "this machine's authorities"
    sentence = f"it is for {place.hostname}, good for {left_days:.0f} days, by {by}"
    if left_days < CERTIFICATE_DAYS:
        return "warn", sentence, "ask who runs the runtime to renew it; a runtime renews its own"
    return ok(sentence)


def access(patient: Patient) -> Verdict:
    """Who one is at the runtime, what the token allows, and until when."""
    if patient.info is None:
        return "warn", "not known while no runtime answers", "see the check of the runtime"
    caller = patient.info.caller
    sentence = f"{caller.token_id or 'the token'} is {caller.user}'s and may {', '.join(caller.scopes)}"
    if not caller.HasField("expires_at"):
        return ok(sentence)
    left_days = (caller.expires_at - patient.info.now_at) / DAY_S
    sentence = f"{sentence}, for {left_days:.1f} more days"
    if left_days < TOKEN_DAYS:
        return "warn", sentence, f"ask an admin for another: `warmcell user token {caller.user}`"
    return ok(sentence)


def clock(patient: Patient) -> Verdict:
    """Whether both clocks agree."""
    if patient.info is None or not patient.info.now_at:
        return "warn", "not known while no runtime answers", "see the check of the runtime"
    early_s = patient.asked_at - patient.info.now_at
    late_s = patient.info.now_at - patient.told_at
    off_s = max(early_s, late_s, 0.0)  # the runtime's time should lie between asking and being told
    if off_s > SKEW_S:
        which = "ahead of" if early_s > late_s else "behind"
        return "warn", f"this machine's clock is {off_s:.0f} s {which} the runtime's", \
            "let both follow NTP (`timedatectl set-ntp true`)"
    return ok("this machine's and the runtime's agree")


def runtime(patient: Patient) -> Verdict:
    """Whether the runtime answers, and its versions fit."""
    if patient.settings.embedded and patient.gateway is None:
        return "warn", "no runtime runs", "nothing to do: the first `%%gpu` cell starts it, or `warmcell up`"
    try:
        notice = patient.runtime.version_notice
    except NotRunning as error:
        return "warn", error.message, "nothing to do: the first `%%gpu` cell starts it"
    except WarmcellError as error:
        return "fail", error.message, error.hint
    if notice:
        return "warn", f"versions differ between here and the runtime\n{notice}", "install the same on both"
    return ok(f"it answers at {patient.runtime.http}, and its versions fit")


def devices(patient: Patient) -> Verdict:
    """What the runtime offers."""
    if patient.info is None:
        return "warn", "not known while no runtime answers", "start one with `warmcell up`"
    broken = [device.id for device in patient.info.devices if device.state == "failed"]
    if broken:
        return "warn", f"{', '.join(broken)} failed", "see `nvidia-smi` on the runtime's machine"
    names = [d.model + (" (simulated)" if d.simulated else "") for d in patient.info.devices]
    if not any(device.id != "cpu" for device in patient.info.devices):
        return "warn", "the runtime has no GPU, only `cpu`", "use `%%gpu cpu`, or a machine with one"
    return ok(", ".join(names))


def starting(patient: Patient) -> Verdict:
    """How the runtime's workers start."""
    if patient.info is None:
        return "warn", "not known while no runtime answers", "start one with `warmcell up`"
    if not patient.info.start:
        return ok("not known yet")
    return ok(f"by {patient.info.start}: {patient.info.start_why}")


WAY: Mapping[str, Callable[[Patient], Verdict]] = {
    "runtime": runtime,
    "proxies": proxies,
    "certificate": certificate,
    "access": access,
    "clock": clock,
    "devices": devices,
    "workers": starting,
}
"""Name -> check, in the order in which they are shown."""


def far_side(patient: Patient) -> list[Finding]:
    """Return what the runtime finds on its own side; it tells admins alone."""
    if patient.info is None:
        return []
    if "admin" not in patient.info.caller.scopes:
        told = "its own checks are shown to admins; the token of this client is not an admin's"
        return [Finding("server", "ok", told)]
    try:
        found = admin.ask(patient.settings, "Doctor", pb.DoctorRequest()).findings
    except WarmcellError as error:
        return [Finding("server", "warn", error.message, error.hint)]
    return [Finding(f"server: {one.name}", one.state, one.sentence, one.fix) for one in found]
