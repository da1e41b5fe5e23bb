"""One client of PyPI `centrifuge-python`, driven over standard input and output.

    python agent.py URL json|protobuf USER [SECRET]

With a secret the client brings tokens that it signs itself, and without one a header that a proxy would set.
Each line of input is {"id", "op", ...}; it is answered by one line {"id", "ok": ...} or
{"id", "error": {"code", "message"}}. What happens meanwhile is written as lines {"event", ...}.
The process ends with its input.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time
from collections import Counter

import centrifuge
from centrifuge.filter import FilterNode
from centrifuge.types import StreamPosition

URL, FORMAT, USER, *SECRET = sys.argv[1:]
BINARY = FORMAT == "protobuf"


def write(line):
    print(json.dumps(line), flush=True)


def encode(data):
    return json.dumps(data).encode() if BINARY else data


def decode(data):
    return json.loads(data) if BINARY else data


def received(pub):
    sender = pub.info.client if pub.info else None
    return {"data": decode(pub.data), "from": sender, "offset": pub.offset, "tags": pub.tags}


def position(ctx):
    told = {"was_recovering": ctx.was_recovering, "recovered": ctx.recovered}
    if ctx.stream_position:
        told |= {"offset": ctx.stream_position.offset, "epoch": ctx.stream_position.epoch}
    return told


def member(event, channel, info):
    return {"event": event, "channel": channel, "from": info.client, "user": info.user}


# Seconds that tokens last, per kind; those not named for ever. A kind that is None is not to be had. With "forged" they are wrong.
LASTING = {}


def token(kind, **claims):
    """A token of that kind, when the library asks for one; each is told."""
    write({"event": f"{kind}_token", **claims})
    if kind in LASTING:
        if LASTING[kind] is None:
            raise RuntimeError("no token is to be had")
        claims["exp"] = int(time.time()) + LASTING[kind]

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    header, claims = {"alg": "HS256", "typ": "JWT"}, {"sub": USER, **claims}
    signed = b".".join(part(json.dumps(value).encode()) for value in (header, claims))
    secret = "guessed" if "forged" in LASTING else SECRET[0]
    return b".".join([signed, part(hmac.digest(secret.encode(), signed, hashlib.sha256))]).decode()


async def connection_token():
    return token("connection")


async def subscription_token(channel):
    return token("subscription", channel=channel)


class Refused(Exception):
    """The server, or the library, ended a subscription with this code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class ClientEvents(centrifuge.ClientEventHandler):
    async def on_connecting(self, ctx):
        write({"event": "connecting", "code": ctx.code, "reason": ctx.reason})

    async def on_connected(self, ctx):
        write({"event": "connected", "client": ctx.client})

    async def on_disconnected(self, ctx):
        write({"event": "disconnected", "code": ctx.code, "reason": ctx.reason})

    # Subscriptions that the server made.

    async def on_subscribed(self, ctx):
        data = decode(ctx.data) if ctx.data else None
        write({"event": "server_subscribed", "channel": ctx.channel, "data": data, **position(ctx)})

    async def on_unsubscribed(self, ctx):
        write({"event": "server_unsubscribed", "channel": ctx.channel})

    async def on_publication(self, ctx):
        write({"event": "publication", "channel": ctx.channel, **received(ctx.pub)})

    async def on_join(self, ctx):
        write(member("join", ctx.channel, ctx.info))

    async def on_leave(self, ctx):
        write(member("leave", ctx.channel, ctx.info))


class ChannelEvents(centrifuge.SubscriptionEventHandler):
    def __init__(self, channel):
        self.channel = channel
        self.settled = None
        self.payloads = Counter()

    async def on_subscribing(self, ctx):
        write({"event": "subscribing", "channel": self.channel, "code": ctx.code})

    async def on_subscribed(self, ctx):
        write({"event": "subscribed", "channel": self.channel, **position(ctx)})
        if self.settled and not self.settled.done():
            self.settled.set_result(None)

    async def on_unsubscribed(self, ctx):
        write({"event": "unsubscribed", "channel": self.channel, "code": ctx.code})
        if self.settled and not self.settled.done():
            self.settled.set_exception(Refused(ctx.code, ctx.reason))

    async def on_publication(self, ctx):
        self.payloads["delta" if ctx.pub.delta else "full"] += 1
        write({"event": "publication", "channel": self.channel, **received(ctx.pub)})

    async def on_join(self, ctx):
        write(member("join", self.channel, ctx.info))

    async def on_leave(self, ctx):
        write(member("leave", self.channel, ctx.info))


class Agent:
    def __init__(self):
        self.client = centrifuge.Client(
            URL,
            events=ClientEvents(),
            use_protobuf=BINARY,
            min_reconnect_delay=0.05,
            max_reconnect_delay=0.5,
            max_server_ping_delay=2.0,
            # A browser would send a cookie; here a proxy in front of the server is imitated.
            headers=None if SECRET else {"X-User-ID": USER},
            get_token=connection_token if SECRET else None,
            proxy=None,
        )
        self.events = {}

    async def lasting(self, **seconds):
        LASTING.clear()
        LASTING.update(seconds)

    async def connect(self):
        await self.client.connect()
        await self.client.ready()

    async def disconnect(self):
        await self.client.disconnect()

    async def subscribe(self, channel, delta=False, filter=None, join_leave=False, without_token=False):
        subscription = self.client.get_subscription(channel)
        if subscription is None:
            self.events[channel] = ChannelEvents(channel)
            subscription = self.client.new_subscription(
                channel,
                events=self.events[channel],
                min_resubscribe_delay=0.05,
                max_resubscribe_delay=0.5,
                delta=centrifuge.DeltaType.FOSSIL if delta else None,
                tags_filter=FilterNode(filter) if filter else None,
                join_leave=join_leave,
                get_token=subscription_token if SECRET and not without_token else None,
            )
        self.events[channel].settled = asyncio.get_running_loop().create_future()
        await subscription.subscribe()
        await self.events[channel].settled

    async def unsubscribe(self, channel):
        await self.client.get_subscription(channel).unsubscribe()
        # What follows a command of one connection is answered after it.
        try:
            await self.client.rpc("barrier", encode({}))
        except centrifuge.ReplyError:
            pass

    async def publish(self, channel, messages):
        # All are sent before the first answer is awaited; tasks start in the order of their creation.
        await asyncio.gather(*[self.client.publish(channel, encode(data)) for data in messages])

    async def publish_bytes(self, channel, **parameters):
        await self.client.publish(channel, bytes(parameters["bytes"]))

    async def rpc(self, method):
        await self.client.rpc(method, encode({}))

    async def history(self, channel, limit=10, since=None, reverse=False):
        since = StreamPosition(**since) if since else None
        result = await self.client.history(channel, limit=limit, since=since, reverse=reverse)
        publications = [received(pub) for pub in result.publications]
        return {"publications": publications, "offset": result.offset, "epoch": result.epoch}

    async def presence(self, channel):
        result = await self.client.presence(channel)
        return {client: info.user for client, info in result.clients.items()}

    async def presence_stats(self, channel):
        result = await self.client.presence_stats(channel)
        return {"clients": result.num_clients, "users": result.num_users}

    async def delta_stats(self, channel):
        payloads = self.events[channel].payloads
        return {"full": payloads["full"], "delta": payloads["delta"]}

    async def perform(self, line):
        request = json.loads(line)
        number, operation = request.pop("id"), request.pop("op")
        try:
            result = await getattr(self, operation)(**request)
            write({"id": number, "ok": {} if result is None else result})
        except Exception as error:
            write({"id": number, "error": {"code": getattr(error, "code", 0), "message": repr(error)}})


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    agent = Agent()
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(agent.perform(line))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
