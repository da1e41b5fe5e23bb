mod call;
mod connection;
mod server;

pub use self::{call::Call, connection::MockConnection, server::MockServer};
