"""All ports of a local stack follow from PORT, NATS_PORT and S3_PORT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.ports import MAX_REPLICAS, SettingsError, derive_ports


def ports_of(port: int, nats: int, s3: int, replicas: int = MAX_REPLICAS) -> list[int]:
    environ = {"PORT": str(port), "NATS_PORT": str(nats), "S3_PORT": str(s3)}
    return list(derive_ports(environ, replicas).by_name.values())


def test_the_defaults_are_the_documented_ones() -> None:
    """Without settings, the gateway is on 8080, NATS on 4222 and S3 on 8333."""
    ports = derive_ports({}, 2)
    assert (ports["gateway"], ports["nats"], ports["s3"]) == (8080, 4222, 8333)
    assert len(ports.generate()) == 2


def test_a_second_stack_fits_beside_the_first() -> None:
    """Other values, a hundred apart, give a stack that shares no port with the default one."""
    assert set(ports_of(8080, 4222, 8333)).isdisjoint(ports_of(8180, 4322, 8433))


@given(st.integers(1024, 55_000), st.integers(1024, 55_000), st.integers(1024, 55_000))
def test_no_two_listeners_share_a_port(port: int, nats: int, s3: int) -> None:
    """Whatever is chosen, the ports are different and valid, or the choice is refused."""
    try:
        ports = ports_of(port, nats, s3)
    except SettingsError as error:
        assert "further apart" in str(error)  # noqa: PT017 - most choices raise nothing
    else:
        assert len(set(ports)) == len(ports)
        assert max(ports) <= 65_535


def test_a_collision_names_both_settings() -> None:
    """Who puts NATS onto a port of the functions reads which two settings to move apart."""
    with pytest.raises(SettingsError, match=r"port 8081 .* choose NATS_PORT and PORT further"):
        ports_of(8080, 8081, 8333)


@pytest.mark.parametrize("value", ["http", "-1", "80", "65535", "8080.0", "٨٠٨٠"])
def test_what_is_no_usable_port_is_refused_by_name(value: str) -> None:
    """The message names the setting, its limits and the value."""
    with pytest.raises(SettingsError, match=f"PORT must be a whole number from 1024 .*{value!r}"):
        derive_ports({"PORT": value}, 2)
