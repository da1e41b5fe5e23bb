//! Load scenarios, an open-loop generator, baselines and reports for throng and for any other WebSocket server.
