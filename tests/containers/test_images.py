"""What is in the images, and how they run."""

import json

import pytest

from tests.containers.stack import Stack, run

OURS = ("gateway", "django", "archiver", "relay", "proxy")


@pytest.mark.parametrize("service", OURS)
def test_least_privilege(stack: Stack, service: str) -> None:
    for container in stack.containers(service):
        found = stack.inspect(container)
        assert found["Config"]["User"] == "10001:10001"
        assert found["HostConfig"]["ReadonlyRootfs"] is True
        assert found["HostConfig"]["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in found["HostConfig"]["SecurityOpt"]
        assert found["HostConfig"]["Memory"] > 0
        said = run("docker", "exec", container, "sh", "-c", "touch /x 2>&1 || true")
        assert "Read-only file system" in said


def test_the_broker_runs_without_root(stack: Stack) -> None:
    [container] = stack.containers("rabbitmq")
    said = run(
        "docker", "exec", container, "sh", "-c", "ps -o user= -C beam.smp || ps -o user,comm"
    )
    assert "rabbitmq" in said or "root" not in said


@pytest.mark.parametrize("service", ["gateway", "django"])
def test_nothing_is_built_inside(stack: Stack, service: str) -> None:
    container = stack.containers(service)[0]
    for tool in ("gcc", "cc", "make", "git"):
        said = run("docker", "exec", container, "sh", "-c", f"command -v {tool} || echo none")
        assert said.strip() == "none", tool
    packages = "import importlib.metadata as m; print(sorted(d.name for d in m.distributions()))"
    installed = run("docker", "exec", container, "python", "-I", "-c", packages)
    assert "'roomline'" in installed
    assert "pytest" not in installed


@pytest.mark.parametrize("service", ["gateway", "django", "proxy", "rabbitmq"])
def test_labels(stack: Stack, service: str) -> None:
    labels = stack.inspect(stack.containers(service)[0])["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"]
    assert labels["org.opencontainers.image.title"].startswith(
        ("Roomline", "RabbitMQ for Roomline")
    )


def test_secrets_are_in_no_image(stack: Stack) -> None:
    for service in ("gateway", "django", "proxy", "rabbitmq"):
        image = stack.inspect(stack.containers(service)[0])["Image"]
        text = run("docker", "history", "--no-trunc", image) + run("docker", "inspect", image)
        for name in ("GATEWAY_PASSWORD", "DJANGO_SECRET_KEY", "ROOMLINE_KEYS", "OPS_PASSWORD"):
            assert stack.secret(name) not in text


def test_what_is_reachable_from_outside(stack: Stack) -> None:
    """The proxy; on this machine the console and the inspectors; no Django past the proxy."""
    published: dict[str, set[tuple[str, bool]]] = {service: set() for service in OURS}
    published["rabbitmq"] = set()
    for service, found in published.items():
        for container in stack.containers(service):
            ports = stack.inspect(container)["NetworkSettings"]["Ports"]
            for port, bound in ports.items():
                found |= {(port, where["HostIp"] == "127.0.0.1") for where in bound or ()}
    assert published.pop("gateway") == {("8002/tcp", True)}
    assert published.pop("rabbitmq") == {("15672/tcp", True)}
    assert {port for port, _ in published.pop("proxy")} == {"8080/tcp"}
    assert not any(published.values())
    for path in ("/metrics", "/readyz", "/live/../metrics"):
        said = run("curl", "-s", "--path-as-is", "-w", "%{http_code}", f"{stack.url}{path}")
        assert said.endswith("404"), path
        assert "roomline_" not in said


def test_definitions_were_loaded(stack: Stack) -> None:
    [container] = stack.containers("rabbitmq")
    listed = run(
        "docker", "exec", container, "rabbitmqctl", "-q", "list_users", "--formatter", "json"
    )
    assert {user["user"] for user in json.loads(listed)} == {"gateway", "django", "ops", "monitor"}


def test_commands_run_in_a_gateways_container(stack: Stack) -> None:
    """As the handbook says: with the node's settings."""
    inside = ("exec", "--no-TTY", "gateway", "roomline")
    examined = json.loads(stack.compose(*inside, "doctor", "--json"))
    assert examined["healthy"], examined
    stack.compose(*inside, "publish", "chat.lobby", '{"text": "from inside"}')
    followed = stack.compose(*inside, "tail", "chat.lobby", "--since", "first", "--no-follow")
    assert "from inside" in followed
