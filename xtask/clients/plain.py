"""Plain WebSocket clients: Python `websockets`, and bare sockets where a library is too well-behaved.

    python plain.py HOST:PORT [PROMTOOL]

The server must be started with `client.stale_close_delay = "1s"` and `shutdown.close_timeout = "30s"`. Writes one line {"check", "ms", "error"} for each check.
"""

import asyncio
import contextlib
import http.client
import json
import os
import socket
import sys
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

ADDRESS, PROMTOOL = sys.argv[1], sys.argv[2:]
WS = f"ws://{ADDRESS}"
LIMIT = 20
CHECKS = []


def check(name):
    def register(function):
        CHECKS.append((name, function))
        return function

    return register


def ws(path, **options):
    return connect(WS + path, proxy=None, **{"compression": None, "max_size": 32 << 20, **options})


async def receive(socket):
    return await asyncio.wait_for(socket.recv(), LIMIT)


async def closed(socket):
    """The close code and reason that the server gives."""
    try:
        while True:
            await receive(socket)
    except ConnectionClosed as end:
        assert end.rcvd is not None, "the connection ended without a close frame"
        return end.rcvd.code, end.rcvd.reason


async def protocol(*frames):
    """A connection of the JSON protocol to which these frames were sent."""
    socket = await ws("/connection/websocket")
    for frame in frames:
        await socket.send(frame if isinstance(frame, str) else json.dumps(frame))
    return socket


CONNECT = {"id": 1, "connect": {}}


async def replies(socket, count):
    """That many replies; a frame may hold several."""
    found = []
    while len(found) < count:
        found += [json.loads(line) for line in (await receive(socket)).split("\n")]
    return found


# The echo


@check("a close that the client begins is answered, and then the server ends the connection")
async def closing():
    def end(path):
        # The server's own deadline for closing is longer than the wait here.
        with upgraded(path) as (raw, _):
            raw.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
            rest = b""
            while part := raw.recv(4096):
                rest += part
            return rest

    for path in ("/echo", "/relay/closing", "/connection/websocket"):
        assert await asyncio.to_thread(end, path) == b"\x88\x02\x03\xe8", path


@check("echo: messages of 0 bytes to 8 MiB come back")
async def echo_sizes():
    async with ws("/echo") as socket:
        for size in (0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20, 8 << 20):
            data = os.urandom(size)
            await socket.send(data)
            assert await receive(socket) == data, size
        for text in ("", "plain", "Grüße, 世界, 🦀" * 1000):
            await socket.send(text)
            assert await receive(socket) == text
    assert socket.close_code == 1000


@check("echo: fragments are put together, and pings are answered between them")
async def echo_fragments():
    async with ws("/echo") as socket:
        pongs = []

        async def parts():
            for number in range(100):
                if number % 10 == 0:
                    pongs.append(await socket.ping(f"ping {number}"))
                yield f"part {number}, "

        await socket.send(parts())
        assert await receive(socket) == "".join(f"part {number}, " for number in range(100))
        await asyncio.wait_for(asyncio.gather(*pongs), LIMIT)


@check("echo: 300 clients at once")
async def echo_many():
    sockets = await asyncio.gather(*[ws("/echo", open_timeout=LIMIT) for _ in range(300)])
    await asyncio.gather(*[socket.send(str(number)) for number, socket in enumerate(sockets)])
    assert [await receive(socket) for socket in sockets] == [str(number) for number in range(300)]
    await asyncio.gather(*[socket.close() for socket in sockets])
    assert {socket.close_code for socket in sockets} == {1000}


@check("echo: 20,000 messages in flight keep their order")
async def echo_pipeline():
    async with ws("/echo") as socket:

        async def send():
            for number in range(20_000):
                await socket.send(str(number))

        sending = asyncio.create_task(send())
        for number in range(20_000):
            assert await receive(socket) == str(number), number
        await sending


@check("echo: an offer of compression is declined, not misunderstood")
async def echo_compression():
    async with ws("/echo", compression="deflate") as socket:
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        await socket.send("x" * 1000)
        assert await receive(socket) == "x" * 1000


# The relay


@check("relay: the others get each message in order, as text or bytes; the sender and other rooms get nothing")
async def relay():
    ann, bob, cy = [await ws("/relay/plain") for _ in range(3)]
    other = await ws("/relay/plain2")
    sent = [f"message {number}" for number in range(500)] + [b"\x00\xff", "", b"", "end"]
    for message in sent:
        await ann.send(message)
    for member in (bob, cy):
        assert [await receive(member) for _ in sent] == sent
    # What comes next shows that nothing came before it.
    await bob.send("answer")
    await (beside := await ws("/relay/plain2")).send("beside")
    assert await receive(ann) == "answer"
    assert await receive(other) == "beside"
    for member in (ann, bob, cy, other, beside):
        await member.close()
        assert member.close_code == 1000


@check("relay: / is the room lobby, and a room's name is percent-decoded")
async def relay_rooms():
    async with ws("/") as root, ws("/relay/lobby") as lobby, ws("/relay/%6Cobb%79") as encoded:
        await root.send("hello")
        assert await receive(lobby) == await receive(encoded) == "hello"


@check("relay: bad room names are refused with 400")
async def relay_names():
    for room in ("", "%24x", "a%3Ab", "%23x", "x" * 250, "caf%C3%A9", "%zz"):
        try:
            async with ws(f"/relay/{room}"):
                raise AssertionError(f"{room!r} was let in")
        except InvalidStatus as refused:
            assert refused.response.status_code == 400, (room, refused)


@check("relay: pings are answered, and a message over the limit ends its sender with 1009 alone")
async def relay_limits():
    async with ws("/relay/limits") as ann, ws("/relay/limits") as bob:
        await asyncio.wait_for(await ann.ping(b"payload"), LIMIT)
        await ann.send("x" * 65_536)
        assert await receive(bob) == "x" * 65_536
        await ann.send("x" * 65_537)
        code, reason = await closed(ann)
        assert code == 1009, (code, reason)
        await asyncio.wait_for(await bob.ping(), LIMIT)


# The JSON protocol, line by line


@check("protocol: the handshake names the connection, and the subprotocol only if it was offered")
async def handshake():
    async with ws("/connection/websocket") as socket:
        assert socket.response.headers["X-Request-Id"]
        assert "Sec-WebSocket-Protocol" not in socket.response.headers
    for offered in ("centrifuge-json", "centrifuge-protobuf"):
        async with ws("/connection/websocket", subprotocols=["unknown", offered]) as socket:
            assert socket.subprotocol == offered


@check("protocol: an empty Sec-WebSocket-Protocol header counts as none")
async def empty_subprotocol():
    head = await asyncio.to_thread(raw_head, "/connection/websocket", "Sec-WebSocket-Protocol: \r\n")
    assert head.startswith("HTTP/1.1 101 "), head
    assert "sec-websocket-protocol" not in head.lower(), head


@check("protocol: commands in one frame are answered in order")
async def one_frame():
    subscribe = {"id": 2, "subscribe": {"channel": "frame"}}
    publish = {"id": 3, "publish": {"channel": "frame", "data": {"n": 1}}}
    rpc = {"id": 4, "rpc": {"method": "none"}}
    frame = "\n".join(json.dumps(command) for command in (CONNECT, subscribe, publish, rpc))
    async with await protocol(frame) as socket:
        found = await replies(socket, 5)
        pushes = [reply for reply in found if "push" in reply]
        answers = [reply for reply in found if "push" not in reply]
        assert answers[0]["connect"]["client"] and answers[0]["connect"]["version"], found
        subscribed = answers[1]["subscribe"]
        assert answers[1]["id"] == 2 and subscribed["recoverable"] and len(subscribed["epoch"]) == 8, found
        assert answers[2] == {"id": 3, "publish": {}}, found
        assert answers[3]["id"] == 4 and answers[3]["error"]["code"] == 108, found
        # Where the own publication stands among the answers is free, but for the subscription's, which comes first.
        assert [push["push"]["pub"]["data"] for push in pushes] == [{"n": 1}], found
        assert found.index(pushes[0]) > found.index(answers[1]), found


@check("protocol: nothing of a channel follows the answer to its unsubscribe, while others flood it")
async def unsubscribe_is_final():
    publisher = await protocol(CONNECT)
    await replies(publisher, 1)
    done = asyncio.Event()

    async def flood():
        number = 1
        while not done.is_set():
            number += 1
            await publisher.send(json.dumps({"id": number, "publish": {"channel": "flood", "data": number}}))
            await receive(publisher)

    flooding = asyncio.create_task(flood())
    socket = await protocol(CONNECT)
    await replies(socket, 1)
    for turn in range(100):
        subscribe, unsubscribe = 10 * turn + 2, 10 * turn + 3
        await socket.send(json.dumps({"id": subscribe, "subscribe": {"channel": "flood"}}))
        while True:
            (first, *rest) = await replies(socket, 1)
            assert first.get("id") == subscribe, f"{first} came before the answer to subscribe"
            if rest or await replies(socket, 1):
                break
        await socket.send(json.dumps({"id": unsubscribe, "unsubscribe": {"channel": "flood"}}))
        await socket.send(json.dumps({"id": unsubscribe + 1, "rpc": {"method": "barrier"}}))
        left = False
        while True:
            found = await replies(socket, 1)
            for reply in found:
                left = left or reply.get("id") == unsubscribe
                assert not left or "push" not in reply, f"{reply} came after the answer to unsubscribe"
            if found[-1].get("id") == unsubscribe + 1:
                break
    done.set()
    await flooding
    await asyncio.gather(socket.close(), publisher.close())


@check("protocol: what breaks it is closed with 3501 and a reason in words")
async def violations():
    pong = "{}"
    for frames in (
        ["no JSON"],
        [""],
        ['{"id":1,"connect":{}'],
        [{"id": 1, "subscribe": {"channel": "early"}}],
        [CONNECT, CONNECT],
        [CONNECT, pong],
        [CONNECT, {"id": 2}],
        [CONNECT, {"id": 2, "subscribe": {"channel": ""}}],
        [CONNECT, {"id": 2, "publish": {"channel": "", "data": 1}}],
    ):
        code, reason = await closed(await protocol(*frames))
        assert code == 3501 and reason and not reason.startswith("{"), (frames, code, reason)


@check("protocol: send is closed with 3508, and a silent connection with 3502")
async def endings():
    assert (await closed(await protocol(CONNECT, {"send": {"data": 1}})))[0] == 3508
    assert (await closed(await protocol()))[0] == 3502


# Plain HTTP


def request(method, path):
    connection = http.client.HTTPConnection(ADDRESS, timeout=LIMIT)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


@contextlib.contextmanager
def upgraded(path, headers=""):
    """A bare socket after a WebSocket handshake with these extra headers, and the head of the answer."""
    host, port = ADDRESS.rsplit(":", 1)
    with socket.create_connection((host, int(port)), LIMIT) as raw:
        raw.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            part = raw.recv(4096)
            assert part, head
            head += part
        yield raw, head.decode()


def raw_head(path, headers):
    with upgraded(path, headers) as (_, head):
        return head


@check("http: each path gives its status and type, and each answer an X-Request-Id")
async def http_paths():
    for method, path, status, kind in (
        ("GET", "/", 200, "text/html"),
        ("GET", "/health", 200, "application/json"),
        ("GET", "/metrics", 200, "text/plain; version=0.0.4"),
        ("GET", "/echo", 426, ""),
        ("GET", "/connection/websocket", 426, ""),
        ("GET", "/nowhere", 404, ""),
        ("POST", "/health", 405, ""),
    ):
        got, headers, body = await asyncio.to_thread(request, method, path)
        assert got == status and headers["Content-Type"].startswith(kind), (path, got, headers["Content-Type"])
        assert headers["X-Request-Id"], path
        if kind == "application/json":
            json.loads(body)


@check("http: a page of another site cannot connect")
async def origins():
    for origin, status in (("http://evil.example", "403"), (f"http://{ADDRESS}", "101")):
        head = await asyncio.to_thread(raw_head, "/relay/origin", f"Origin: {origin}\r\n")
        assert head.split(" ")[1] == status, (origin, head)


async def metrics():
    """After all the traffic of the other checks."""
    _, _, before = await asyncio.to_thread(request, "GET", "/metrics")
    promtool = await asyncio.create_subprocess_exec(
        *PROMTOOL, "check", "metrics", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await promtool.communicate(before)
    assert promtool.returncode == 0 and not said.strip(), said.decode()
    for needed in (b"throng_connections", b"throng_build_info"):
        assert needed in before, needed


if PROMTOOL:
    check("metrics: promtool has nothing to say against them")(metrics)


async def main():
    for name, function in CHECKS:
        began, error = time.monotonic(), None
        try:
            await asyncio.wait_for(function(), 100)
        except Exception as fault:
            error = f"{type(fault).__name__}: {fault}"[:500]
        print(json.dumps({"check": name, "ms": int(1000 * (time.monotonic() - began)), "error": error}), flush=True)


asyncio.run(main())
