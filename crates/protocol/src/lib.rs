//! The wire of throng: Centrifuge client protocol messages, JSON and Protobuf codecs, and the server side of RFC 6455.
