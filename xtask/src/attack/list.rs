//! All attacks, with what each may cost the server.

use super::{
    Attack, AttackStage, addresses,
    arena::Ground,
    commands,
    crowd::{self, CROWD},
    doors, frames, limits, proxies, readers, requests, tls, tokens,
    verdict::Bounds,
};

/// What an attack of few connections may cost.
const FEW: Bounds = Bounds { rss_mib: 16, descriptors: 64 };

/// The servers that are attacked, and the attacks in their order.
pub(super) const STAGES: &[AttackStage] = &[
    AttackStage { name: "open", ground: Ground { client: "", tables: "", tls: false }, attacks: OPEN },
    AttackStage {
        name: "keys",
        ground: Ground { client: "", tables: tokens::CONFIG, tls: false },
        attacks: KEYS,
    },
    AttackStage { name: "addresses", ground: addresses::GROUND, attacks: ADDRESSES },
    AttackStage { name: "proxies", ground: proxies::GROUND, attacks: PROXIES },
    AttackStage { name: "limits", ground: limits::GROUND, attacks: LIMITS },
    AttackStage { name: "tls", ground: tls::GROUND, attacks: TLS },
];

/// On a server that lets anybody in.
const OPEN: &[Attack] = &[
    Attack {
        name: "half_open",
        what: "2,000 connections that say nothing",
        bounds: Bounds { rss_mib: 32, descriptors: CROWD as u64 + 16 },
        run: |target| Box::pin(crowd::half_open(target)),
    },
    Attack {
        name: "half_sent",
        what: "2,000 handshakes that are never finished",
        bounds: Bounds { rss_mib: 64, descriptors: CROWD as u64 + 16 },
        run: |target| Box::pin(crowd::half_sent(target)),
    },
    Attack {
        name: "trickle",
        what: "handshakes and messages in single bytes",
        bounds: Bounds { rss_mib: 16, descriptors: 300 },
        run: |target| Box::pin(crowd::trickle(target)),
    },
    Attack {
        name: "churn",
        what: "connections that come and go in every way",
        bounds: Bounds { rss_mib: 32, descriptors: 400 },
        run: |target| Box::pin(crowd::churn(target)),
    },
    Attack {
        name: "never_read",
        what: "subscribers that never read",
        bounds: Bounds { rss_mib: readers::MEMORY_MIB, descriptors: 64 },
        run: |target| Box::pin(readers::never_read(target)),
    },
    Attack {
        name: "pings",
        what: "pings without end",
        bounds: FEW,
        run: |target| Box::pin(frames::pings(target)),
    },
    Attack {
        name: "pongs",
        what: "pongs that nobody asked for",
        bounds: FEW,
        run: |target| Box::pin(frames::pongs(target)),
    },
    Attack {
        name: "fragments",
        what: "messages in fragments of one byte and of none",
        bounds: FEW,
        run: |target| Box::pin(frames::fragments(target)),
    },
    Attack {
        name: "claims",
        what: "frames that claim 16 MiB and more",
        bounds: Bounds { rss_mib: 32, descriptors: 320 },
        run: |target| Box::pin(frames::claims(target)),
    },
    Attack {
        name: "invalid_utf8",
        what: "texts that are no UTF-8",
        bounds: FEW,
        run: |target| Box::pin(frames::invalid_utf8(target)),
    },
    Attack {
        name: "unmasked",
        what: "unmasked frames",
        bounds: FEW,
        run: |target| Box::pin(frames::unmasked(target)),
    },
    Attack {
        name: "reserved",
        what: "reserved bits and opcodes, and broken rules",
        bounds: FEW,
        run: |target| Box::pin(frames::reserved(target)),
    },
    Attack {
        name: "json",
        what: "giant, nested and broken JSON",
        bounds: FEW,
        run: |target| Box::pin(commands::json(target)),
    },
    Attack {
        name: "protobuf",
        what: "wild lengths, field numbers and wire types",
        bounds: FEW,
        run: |target| Box::pin(commands::protobuf(target)),
    },
    Attack {
        name: "subscribes",
        what: "thousands of subscriptions by each client",
        bounds: FEW,
        run: |target| Box::pin(commands::subscribes(target)),
    },
    Attack {
        name: "channel_names",
        what: "channel names of every kind of byte",
        bounds: FEW,
        run: |target| Box::pin(commands::channel_names(target)),
    },
    Attack {
        name: "origins",
        what: "pages of other origins",
        bounds: FEW,
        run: |target| Box::pin(doors::origins(target)),
    },
    Attack {
        name: "smuggling",
        what: "requests that can be read in two ways",
        bounds: FEW,
        run: |target| Box::pin(requests::smuggling(target)),
    },
    Attack {
        name: "slow_bodies",
        what: "bodies that come slowly or never",
        bounds: Bounds { rss_mib: 16, descriptors: 320 },
        run: |target| Box::pin(requests::slow_bodies(target)),
    },
];

/// On a server that has a key for tokens.
const KEYS: &[Attack] = &[
    Attack {
        name: "tokens",
        what: "forged, expired and swapped connection tokens",
        bounds: FEW,
        run: |target| Box::pin(tokens::connections(target)),
    },
    Attack {
        name: "channel_tokens",
        what: "forged, expired and swapped subscription tokens",
        bounds: FEW,
        run: |target| Box::pin(tokens::subscriptions(target)),
    },
    Attack {
        name: "replayed",
        what: "tokens that were revoked, and those of users that were",
        bounds: FEW,
        run: |target| Box::pin(tokens::replayed(target)),
    },
    Attack {
        name: "relay_tokens",
        what: "forged and expired tokens at the relay",
        bounds: FEW,
        run: |target| Box::pin(tokens::relay(target)),
    },
];

/// On a server that limits what comes from one address, loopback included, and has a proxy that speaks HTTP.
const ADDRESSES: &[Attack] = &[
    Attack {
        name: "address_crowd",
        what: "one address that takes all the room",
        bounds: Bounds { rss_mib: 16, descriptors: addresses::SEATS as u64 + 80 },
        run: |target| Box::pin(addresses::crowd(target)),
    },
    Attack {
        name: "address_rate",
        what: "one address that comes and goes without end",
        bounds: FEW,
        run: |target| Box::pin(addresses::rate(target)),
    },
    Attack {
        name: "address_failures",
        what: "one address whose handshakes fail",
        bounds: FEW,
        run: |target| Box::pin(addresses::failures(target)),
    },
    Attack {
        name: "forwarded",
        what: "X-Forwarded-For from strangers, and malformed from a proxy",
        bounds: Bounds { rss_mib: 16, descriptors: 200 },
        run: |target| Box::pin(proxies::forwarded(target)),
    },
];

/// On a server whose proxy speaks the PROXY protocol.
const PROXIES: &[Attack] = &[Attack {
    name: "proxy_headers",
    what: "PROXY headers from strangers, and malformed, huge and slow from a proxy",
    bounds: Bounds { rss_mib: 16, descriptors: 300 },
    run: |target| Box::pin(proxies::headers(target)),
}];

/// On a server that limits what clients do, loopback included.
const LIMITS: &[Attack] = &[
    Attack {
        name: "connection_limits",
        what: "one connection that does too much",
        bounds: FEW,
        run: |target| Box::pin(limits::connection(target)),
    },
    Attack {
        name: "error_limit",
        what: "commands that fail without end",
        bounds: FEW,
        run: |target| Box::pin(limits::errors(target)),
    },
    Attack {
        name: "shared_limits",
        what: "users and channels that do too much over many connections",
        bounds: FEW,
        run: |target| Box::pin(limits::shared(target)),
    },
];

/// On a server that speaks TLS.
const TLS: &[Attack] = &[
    Attack {
        name: "tls_stalled",
        what: "2,000 handshakes of TLS that stop at every place",
        bounds: Bounds { rss_mib: 96, descriptors: tls::DESCRIPTORS },
        run: |target| Box::pin(tls::stalled(target)),
    },
    Attack {
        name: "tls_garbage",
        what: "what is no TLS, and what must not come in it",
        bounds: Bounds { rss_mib: 48, descriptors: 400 },
        run: |target| Box::pin(tls::garbage(target)),
    },
    Attack {
        name: "tls_churn",
        what: "connections over TLS that come and go",
        bounds: Bounds { rss_mib: 32, descriptors: 200 },
        run: |target| Box::pin(tls::churn(target)),
    },
];
