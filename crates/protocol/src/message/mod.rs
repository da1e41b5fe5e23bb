//! What clients and servers say to each other, as plain data.

#[macro_use]
mod table;
mod command;
mod parts;
mod push;
mod reply;

pub use command::*;
pub use parts::*;
pub use push::*;
pub use reply::*;
