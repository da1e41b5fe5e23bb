"""PyPI `cent`, the library for the HTTP API: each of its methods once, and what they do to a connected client.

    python cent_checks.py HOST:PORT KEY

The server must be started with `throng.toml`. Writes one line {"check", "ms", "error"} for each check.
"""

import asyncio
import json
import sys
import time

import cent
import centrifuge
import requests

ADDRESS, KEY = sys.argv[1:]
URL = f"http://{ADDRESS}/api"
LIMIT = 20
CHECKS = []


def check(name):
    def register(function):
        CHECKS.append((name, function))
        return function

    return register


class Events(centrifuge.ClientEventHandler, centrifuge.SubscriptionEventHandler):
    """Everything that happens to a client, in its order."""

    def __init__(self):
        self.seen = asyncio.Queue()

    def __getattribute__(self, name):
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        async def note(ctx):
            self.seen.put_nowait((name[3:], ctx))

        return note

    async def wait(self, wanted):
        """The next event of that name; those before it are dropped."""
        while True:
            name, ctx = await asyncio.wait_for(self.seen.get(), LIMIT)
            if name == wanted:
                return ctx


async def connected(user, channel=None):
    """A connected client of that user, subscribed to the channel if one is given."""
    events = Events()
    client = centrifuge.Client(
        f"ws://{ADDRESS}/connection/websocket",
        events=events,
        headers={"X-User-ID": user},
        min_reconnect_delay=0.05,
        proxy=None,
    )
    await client.connect()
    await client.ready(LIMIT)
    if channel:
        subscription = client.new_subscription(channel, events=events)
        await subscription.subscribe()
        await subscription.ready(LIMIT)
    return client, events


async def refused(call, code):
    try:
        result = await call
    except cent.CentApiResponseError as error:
        assert error.code == code and error.message, error
    else:
        raise AssertionError(f"{result} instead of error {code}")


async def eventually(condition):
    """Clients that have gone are counted until the server has noticed: asks again until the condition holds."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return await condition()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.02)


async def offsets(api, channel, **parameters):
    result = await api.history(cent.HistoryRequest(channel=channel, **parameters))
    return [publication.offset for publication in result.publications]


@check("cent: publish tells offset and epoch, and reaches a subscriber with its tags")
async def publish(api):
    client, events = await connected("reader", "recovery:cent")
    for offset in (1, 2):
        request = cent.PublishRequest(channel="recovery:cent", data={"n": offset}, tags={"k": "v"})
        result = await api.publish(request)
        assert result.offset == offset and result.epoch, result
        pub = (await events.wait("publication")).pub
        assert (pub.data, pub.offset, pub.tags, pub.info) == ({"n": offset}, offset, {"k": "v"}, None), pub
    result = await api.publish(cent.PublishRequest(channel="plain", data=1))
    assert (result.offset, result.epoch) == (0, ""), result
    # dGV4dA== is no JSON, eyJhIjoxfQ== is {"a":1}.
    await refused(api.publish(cent.PublishRequest(channel="recovery:cent", data=0, b64data="dGV4dA==")), 107)
    await api.publish(cent.PublishRequest(channel="recovery:cent", data=0, b64data="eyJhIjoxfQ=="))
    assert (await events.wait("publication")).pub.data == {"a": 1}
    await client.disconnect()


@check("cent: skip_history reaches subscribers and leaves the stream alone")
async def skip_history(api):
    client, events = await connected("reader", "recovery:skipped")
    request = cent.PublishRequest(channel="recovery:skipped", data="passing", skip_history=True)
    assert (await api.publish(request)).offset == 0
    assert (await events.wait("publication")).pub.data == "passing"
    assert await offsets(api, "recovery:skipped", limit=-1) == []
    await client.disconnect()


@check("cent: errors have the API's codes")
async def errors(api):
    await refused(api.publish(cent.PublishRequest(channel="nowhere:a", data=1)), 102)
    await refused(api.publish(cent.PublishRequest(channel="", data=1)), 107)
    await refused(api.broadcast(cent.BroadcastRequest(channels=[], data=1)), 107)
    await refused(api.history(cent.HistoryRequest(channel="plain", limit=1)), 108)
    await refused(api.history_remove(cent.HistoryRemoveRequest(channel="plain")), 108)
    await refused(api.presence(cent.PresenceRequest(channel="plain")), 108)
    await refused(api.presence_stats(cent.PresenceStatsRequest(channel="nowhere:a")), 102)


@check("cent: an idempotency key publishes once, and gives the same answer again")
async def idempotency(api):
    client, events = await connected("reader", "recovery:once")
    for key in ("a", "a", "b", "a"):
        request = cent.PublishRequest(channel="recovery:once", data=key, idempotency_key=key)
        result = await api.publish(request)
        assert result.offset == {"a": 1, "b": 2}[key], (key, result)
    for expected in ("a", "b"):
        assert (await events.wait("publication")).pub.data == expected
    assert await offsets(api, "recovery:once", limit=-1) == [1, 2]
    await client.disconnect()


@check("cent: broadcast answers for each channel in its order, and once for one key")
async def broadcast(api):
    channels = ["recovery:b1", "nowhere:b", "recovery:b2", "plain"]
    for _ in range(2):
        request = cent.BroadcastRequest(channels=channels, data={"b": 1}, idempotency_key="k")
        first, unknown, second, plain = (await api.broadcast(request)).responses
        assert first.result.offset == second.result.offset == 1, (first, second)
        assert unknown.error.code == 102 and plain.error is None, (unknown, plain)
    assert await offsets(api, "recovery:b1", limit=-1) == [1]


@check("cent: subscribe and unsubscribe a connected client")
async def subscribe(api):
    client, events = await connected("pushed")
    channel = "recovery:cent-pushed"
    request = cent.SubscribeRequest(user="pushed", channel=channel, data={"hello": 1}, info={"role": "guest"})
    await api.subscribe(request)
    ctx = await events.wait("subscribed")
    while ctx.channel != channel:
        ctx = await events.wait("subscribed")
    assert ctx.data == {"hello": 1} and ctx.recoverable, ctx
    await api.publish(cent.PublishRequest(channel=channel, data="in"))
    assert (await events.wait("publication")).pub.data == "in"
    await api.unsubscribe(cent.UnsubscribeRequest(user="pushed", channel=channel))
    assert (await events.wait("unsubscribed")).channel == channel
    channels = (await api.channels(cent.ChannelsRequest(pattern="recovery:cent-*"))).channels
    assert channels == {}, channels
    await client.disconnect()


@check("cent: presence and its stats")
async def presence(api):
    channel = "presence:cent"
    assert (await api.presence(cent.PresenceRequest(channel=channel))).presence == {}
    clients = [await connected(user, channel) for user in ("one", "two", "two")]
    there = (await api.presence(cent.PresenceRequest(channel=channel))).presence
    assert sorted(info.user for info in there.values()) == ["one", "two", "two"], there
    assert all(client == info.client for client, info in there.items()), there
    stats = await api.presence_stats(cent.PresenceStatsRequest(channel=channel))
    assert (stats.num_clients, stats.num_users) == (3, 2), stats
    for client, _ in clients:
        await client.disconnect()


@check("cent: history in pages, forwards and backwards, and its removal")
async def history(api):
    channel = "recovery:pages"
    for number in range(1, 6):
        await api.publish(cent.PublishRequest(channel=channel, data=number))
    top = await api.history(cent.HistoryRequest(channel=channel))
    assert (top.publications, top.offset) == ([], 5) and top.epoch, top
    since = cent.StreamPosition(offset=2, epoch=top.epoch)
    assert await offsets(api, channel, limit=-1) == [1, 2, 3, 4, 5]
    assert await offsets(api, channel, limit=2) == [1, 2]
    assert await offsets(api, channel, limit=2, since=since) == [3, 4]
    assert await offsets(api, channel, limit=2, reverse=True) == [5, 4]
    assert await offsets(api, channel, limit=9, reverse=True, since=since) == [1]
    await refused(offsets(api, channel, limit=1, since=cent.StreamPosition(offset=2, epoch="other")), 112)
    await api.history_remove(cent.HistoryRemoveRequest(channel=channel))
    assert await offsets(api, channel, limit=-1) == []
    result = await api.publish(cent.PublishRequest(channel=channel, data=6))
    assert (result.offset, result.epoch) == (6, top.epoch), result


@check("cent: channels by pattern, and info")
async def channels(api):
    clients = [await connected("counted", channel) for channel in ("recovery:x1", "recovery:x2", "recovery:x2")]
    found = (await api.channels(cent.ChannelsRequest(pattern="recovery:x*"))).channels
    assert {name: info.num_clients for name, info in found.items()} == {"recovery:x1": 1, "recovery:x2": 2}, found
    everything = (await api.channels(cent.ChannelsRequest())).channels
    assert set(found) < set(everything) and "personal:#counted" in everything, everything

    async def info():
        [node] = (await api.info(cent.InfoRequest())).nodes
        assert node.uid and node.name and node.version, node
        assert node.num_clients == 3 and node.num_users == 1 and node.num_subs == 6, node

    await eventually(info)
    for client, _ in clients:
        await client.disconnect()


@check("cent: disconnect, with a code of one's own and of the server's")
async def disconnect(api):
    client, events = await connected("moved")
    code = cent.Disconnect(code=4200, reason="moved")
    await api.disconnect(cent.DisconnectRequest(user="moved", disconnect=code))
    while (ctx := await events.wait("connecting")).code == 0:
        pass
    assert (ctx.code, ctx.reason) == (4200, "moved"), ctx
    await client.ready(LIMIT)
    await api.disconnect(cent.DisconnectRequest(user="moved"))
    ctx = await events.wait("disconnected")
    assert ctx.code == 3503, ctx


@check("cent: disconnect spares whom the whitelist names")
async def whitelist(api):
    (spared, spared_events), (ended, ended_events) = [await connected("listed") for _ in range(2)]
    keep = (await spared_events.wait("connected")).client
    await api.disconnect(cent.DisconnectRequest(user="listed", whitelist=[keep]))
    assert (await ended_events.wait("disconnected")).code == 3503
    await spared.presence_stats("quiet:nobody")
    await spared.disconnect()


@check("cent: refresh lets a connection go on, or ends it with 3005")
async def refresh(api):
    client, events = await connected("refreshed")
    await api.refresh(cent.RefreshRequest(user="refreshed", expire_at=int(time.time()) + 600))
    await client.presence_stats("quiet:nobody")
    await api.refresh(cent.RefreshRequest(user="refreshed", expired=True))
    while (ctx := await events.wait("connecting")).code == 0:
        pass
    assert ctx.code == 3005, ctx
    await client.disconnect()


@check("cent: a batch is answered in its order, one by one and side by side")
async def batch(api):
    for parallel in (False, True):
        channel = f"recovery:batch-{parallel}"
        commands = [cent.PublishRequest(channel=channel, data=number) for number in range(20)]
        commands += [cent.HistoryRequest(channel="recovery:pages", limit=1), cent.InfoRequest()]
        result = await api.batch(cent.BatchRequest(requests=commands, parallel=parallel))
        *published, page, info = result.replies
        told = [reply.offset for reply in published]
        assert (sorted(told) if parallel else told) == list(range(1, 21)), told
        assert page.offset == 6 and len(info.nodes) == 1, (page, info)


@check("http: an unknown rpc method is 104, and one without a name 107")
async def rpc(_):
    def call(body):
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(f"{URL}/rpc", json=body, headers={"Authorization": f"apikey {KEY}"}, timeout=LIMIT)
        assert answer.status_code == 200, answer
        return answer.json()

    assert (await asyncio.to_thread(call, {"method": "sum", "params": {}}))["error"]["code"] == 104
    assert (await asyncio.to_thread(call, {"method": ""}))["error"]["code"] == 107


@check("cent: the synchronous client does the same")
async def synchronous(_):
    def calls():
        session = requests.Session()
        session.trust_env = False
        with cent.Client(URL, KEY, session=session) as api:
            api.publish(cent.PublishRequest(channel="recovery:sync", data=1))
            return api.history(cent.HistoryRequest(channel="recovery:sync", limit=10)).publications

    assert [publication.data for publication in await asyncio.to_thread(calls)] == [1]


@check("cent: a wrong key is refused")
async def key(_):
    api = cent.AsyncClient(URL, KEY + "x")
    try:
        await api.info(cent.InfoRequest())
    except cent.CentUnauthorizedError:
        return
    finally:
        await api.close()
    raise AssertionError("the call succeeded")


async def main():
    api = cent.AsyncClient(URL, KEY)
    for name, function in CHECKS:
        began, error = time.monotonic(), None
        try:
            await asyncio.wait_for(function(api), 100)
        except Exception as fault:
            error = f"{type(fault).__name__}: {fault}"[:500]
        print(json.dumps({"check": name, "ms": int(1000 * (time.monotonic() - began)), "error": error}), flush=True)
    await api.close()


asyncio.run(main())
