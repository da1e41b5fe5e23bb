//! Who is connected to a throng node, who is subscribed to what, and the fan-out to all of them.
